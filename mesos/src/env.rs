//! The environment variables that an agent sets for an executor.

use std::path::PathBuf;
use std::time::Duration;

use crate::address::{Endpoint, HostPort, Scheme, parse_host_port};
use crate::auth::Auth;
use crate::duration;
use crate::executor::calls::Identity;
use crate::tls::TlsFiles;
use crate::token;
use crate::v1::AgentId;

/// Mesos' defaults for the environment variables of the grace period, the recovery timeout and the pause between subscriptions,
/// which apply if a variable is not set.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);
const DEFAULT_RECOVERY: Duration = Duration::from_secs(15 * 60);
const DEFAULT_BACKOFF: Duration = Duration::from_secs(2);

/// The environment of an executor, read and checked.
#[derive(Debug, Clone)]
pub struct ExecutorEnv {
    /// The executor and its framework (`MESOS_FRAMEWORK_ID`, `MESOS_EXECUTOR_ID`).
    pub identity: Identity,
    /// The agent (`MESOS_SLAVE_ID`).
    pub agent_id: AgentId,
    /// The endpoint to which calls are sent (`MESOS_AGENT_ENDPOINT`, the prefix of `MESOS_SLAVE_PID`, and TLS if
    /// `LIBPROCESS_SSL_ENABLED` is `1` or `true`).
    pub endpoint: Endpoint,
    /// The folder that the executor may write to (`MESOS_SANDBOX`, else `MESOS_DIRECTORY`).
    pub sandbox: Option<PathBuf>,
    /// Whether the executor outlives a restart of the agent (`MESOS_CHECKPOINT`).
    pub checkpoint: bool,
    /// How long to try to reach an agent that has died (`MESOS_RECOVERY_TIMEOUT`). Zero without checkpointing, because then a
    /// restarted agent does not know this executor.
    pub recovery_timeout: Duration,
    /// Longest pause between two attempts to subscribe (`MESOS_SUBSCRIPTION_BACKOFF_MAX`). A restarted agent waits only this long
    /// for its executors to subscribe. So try more often, for instance four times in this period.
    pub subscription_backoff_max: Duration,
    /// Time from SHUTDOWN to SIGKILL (`MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`).
    pub shutdown_grace_period: Duration,
    /// Certificates for TLS (`LIBPROCESS_SSL_CA_FILE`, `LIBPROCESS_SSL_CERT_FILE`, `LIBPROCESS_SSL_KEY_FILE`). Agents set these
    /// variables only if their option `--executor_environment_variables` contains them.
    pub tls_files: TlsFiles,
    /// The credentials of calls (`MESOS_EXECUTOR_AUTHENTICATION_TOKEN`).
    pub auth: Auth,
    /// A Unix domain socket of the agent, preferred to `endpoint` (`MESOS_DOMAIN_SOCKET`).
    pub domain_socket: Option<PathBuf>,
}

/// All problems of an environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct EnvError {
    /// Variables that are not set, although an agent always sets them.
    pub missing: Vec<&'static str>,
    /// Variables with an invalid value.
    pub malformed: Vec<MalformedVariable>,
}

/// A variable with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {error}")]
pub struct MalformedVariable {
    /// The variable.
    pub name: &'static str,
    /// Why the variable's value is invalid.
    pub error: String,
}

impl EnvError {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.malformed.is_empty()
    }

    fn describe(&self) -> String {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            let (are, names) = (if self.missing.len() == 1 { "is" } else { "are" }, self.missing.join(", "));
            parts.push(format!("{names} {are} not set (a Mesos agent sets them: was this started by one?)"));
        }
        parts.extend(self.malformed.iter().map(ToString::to_string));
        parts.join("; ")
    }
}

impl ExecutorEnv {
    /// Reads the environment of this process. A token remains in it; see [`token::hide`].
    ///
    /// # Errors
    /// When variables are missing or malformed. The error lists all of them.
    pub fn from_process() -> Result<Self, EnvError> {
        Self::from_process_with_token(None)
    }

    /// Reads the environment of this process, with the token that [`token::hide`] returned, if any.
    ///
    /// # Errors
    /// When variables are missing or malformed. The error lists all of them.
    pub fn from_process_with_token(token: Option<String>) -> Result<Self, EnvError> {
        Self::from_lookup(|name| match &token {
            Some(token) if name == token::VARIABLE => Some(token.clone()),
            _ => std::env::var(name).ok(),
        })
    }

    /// Reads an environment given as a function from names to values. An empty value counts as missing.
    ///
    /// # Errors
    /// When variables are missing or malformed. The error lists all of them.
    pub fn from_lookup(get: impl Fn(&str) -> Option<String>) -> Result<Self, EnvError> {
        let mut reader = Reader { get, error: EnvError { missing: vec![], malformed: vec![] } };
        let identity = Identity {
            framework_id: reader.required("MESOS_FRAMEWORK_ID").into(),
            executor_id: reader.required("MESOS_EXECUTOR_ID").into(),
        };
        let agent_id = reader.required("MESOS_SLAVE_ID").into();
        let address = reader.address("MESOS_AGENT_ENDPOINT");
        let path = executor_path(reader.optional("MESOS_SLAVE_PID").as_deref());
        let checkpoint = reader.optional("MESOS_CHECKPOINT").is_some_and(|value| value == "1");
        let recovery_timeout = reader.duration("MESOS_RECOVERY_TIMEOUT", DEFAULT_RECOVERY);
        let backoff = reader.duration("MESOS_SUBSCRIPTION_BACKOFF_MAX", DEFAULT_BACKOFF);
        let grace = reader.duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", DEFAULT_GRACE);
        let sandbox = reader.optional("MESOS_SANDBOX").or_else(|| reader.optional("MESOS_DIRECTORY"));
        let ssl = reader.optional("LIBPROCESS_SSL_ENABLED");
        let scheme = if ssl.is_some_and(|value| value == "1" || value == "true") {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let file = |name| reader.optional(name).map(PathBuf::from);
        let tls_files = TlsFiles {
            ca_cert: file("LIBPROCESS_SSL_CA_FILE"),
            client: file("LIBPROCESS_SSL_CERT_FILE").zip(file("LIBPROCESS_SSL_KEY_FILE")),
        };
        let token = reader.optional(token::VARIABLE);
        let domain_socket = reader.optional("MESOS_DOMAIN_SOCKET").map(PathBuf::from);
        match address {
            Some(address) if reader.error.is_empty() => Ok(Self {
                identity,
                agent_id,
                endpoint: Endpoint { scheme, address, path },
                sandbox: sandbox.map(PathBuf::from),
                checkpoint,
                recovery_timeout: if checkpoint { recovery_timeout } else { Duration::ZERO },
                subscription_backoff_max: backoff,
                shutdown_grace_period: grace,
                tls_files,
                auth: token.map_or(Auth::None, Auth::bearer),
                domain_socket,
            }),
            _ => Err(reader.error),
        }
    }
}

/// The path of the executor API for a process id like `slave(1)@127.0.0.1:5051`.
fn executor_path(pid: Option<&str>) -> String {
    match pid.and_then(|pid| pid.split_once('@')) {
        Some((name, _)) if !name.is_empty() => format!("/{name}/api/v1/executor"),
        _ => "/api/v1/executor".to_owned(),
    }
}

/// Reads variables and collects the errors.
struct Reader<F> {
    get: F,
    error: EnvError,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &'static str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.error.missing.push(name);
            String::new()
        })
    }

    fn address(&mut self, name: &'static str) -> Option<HostPort> {
        let text = self.required(name);
        if text.is_empty() {
            return None;
        }
        parse_host_port(&text, None).map_err(|error| self.malformed(name, &error)).ok()
    }

    fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        let Some(text) = self.optional(name) else { return default };
        duration::parse(&text).unwrap_or_else(|error| {
            self.malformed(name, &error);
            default
        })
    }

    fn malformed(&mut self, name: &'static str, error: &impl ToString) {
        self.error.malformed.push(MalformedVariable { name, error: error.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recorded environment of an executor that an agent of Mesos 1.11 started.
    const RECORDED: &str = include_str!("../tests/data/executor-environment.txt");

    fn recorded(name: &str) -> Option<String> {
        RECORDED.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    #[test]
    fn reads_what_a_real_agent_sets() {
        let env = ExecutorEnv::from_lookup(recorded).unwrap();
        assert_eq!(env.identity.executor_id.value, "worker");
        assert_eq!(env.identity.framework_id.value, "ef807da1-7846-4b86-8a64-98222ed7d389-0000");
        assert_eq!(env.agent_id.value, "ef807da1-7846-4b86-8a64-98222ed7d389-S0");
        assert_eq!(env.endpoint.to_string(), "http://127.0.0.1:5051/slave(1)/api/v1/executor");
        assert!(env.checkpoint && env.sandbox.unwrap().starts_with("/tmp/mesos/agent1"));
        assert_eq!(env.recovery_timeout, Duration::from_secs(900));
        assert_eq!(env.subscription_backoff_max, Duration::from_secs(2));
        assert_eq!(env.shutdown_grace_period, Duration::from_secs(3));
        assert!(matches!(env.auth, Auth::None) && env.domain_socket.is_none());
    }

    #[test]
    fn few_variables_are_required() {
        let env = ExecutorEnv::from_lookup(|name| match name {
            "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".into()),
            "MESOS_AGENT_ENDPOINT" => Some("[::1]:5051".into()),
            "MESOS_EXECUTOR_AUTHENTICATION_TOKEN" => Some("abc".into()),
            // A certificate without a key has no effect.
            "LIBPROCESS_SSL_CERT_FILE" => Some("/cert".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(env.tls_files, TlsFiles::default());
        assert_eq!(env.endpoint.to_string(), "http://[::1]:5051/api/v1/executor");
        assert!(!env.checkpoint && env.recovery_timeout.is_zero());
        assert!(!format!("{env:?}").contains("abc"), "a secret must not get into logs");
    }

    #[test]
    fn an_agent_may_use_tls() {
        let env = ExecutorEnv::from_lookup(|name| match name {
            "LIBPROCESS_SSL_ENABLED" => Some("true".into()),
            "LIBPROCESS_SSL_CA_FILE" => Some("/ca".into()),
            "LIBPROCESS_SSL_CERT_FILE" => Some("/cert".into()),
            "LIBPROCESS_SSL_KEY_FILE" => Some("/key".into()),
            name => recorded(name),
        })
        .unwrap();
        assert_eq!(env.endpoint.to_string(), "https://127.0.0.1:5051/slave(1)/api/v1/executor");
        let client = Some(("/cert".into(), "/key".into()));
        assert_eq!(env.tls_files, TlsFiles { ca_cert: Some("/ca".into()), client });
    }

    #[test]
    fn reports_all_errors_at_once() {
        let error = ExecutorEnv::from_lookup(|name| match name {
            "MESOS_SLAVE_ID" => Some(String::new()),
            "MESOS_AGENT_ENDPOINT" => Some("nowhere".into()),
            "MESOS_RECOVERY_TIMEOUT" => Some("soon".into()),
            _ => None,
        })
        .unwrap_err();
        assert_eq!(error.missing, ["MESOS_FRAMEWORK_ID", "MESOS_EXECUTOR_ID", "MESOS_SLAVE_ID"]);
        let names: Vec<_> = error.malformed.iter().map(|malformed| malformed.name).collect();
        assert_eq!(names, ["MESOS_AGENT_ENDPOINT", "MESOS_RECOVERY_TIMEOUT"]);
        let text = error.to_string();
        assert!(
            text.starts_with(
                "MESOS_FRAMEWORK_ID, MESOS_EXECUTOR_ID, MESOS_SLAVE_ID are not set (a Mesos agent"
            )
        );
        assert!(text.contains("MESOS_AGENT_ENDPOINT: \"nowhere\" has no valid port"), "{text}");
    }
}
