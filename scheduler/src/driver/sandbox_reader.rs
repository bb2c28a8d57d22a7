//! Reads the end of executors' standard error from their agents, apart from the driver's thread.

use std::sync::Arc;
use std::time::Duration;

use logging::error_chain;
use mesos::address::{Endpoint, HostPort, Scheme};
use mesos::files::{self, FileError};
use mesos::v1::MasterInfo;
use text::InWords;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::agent_access::AgentAccess;
use crate::event::{Event, TaskEnd};
use crate::sandbox::{END, STDERR, Sandbox, StderrOutcome, StderrRead, shown};

/// Maximum time to read one file, from the first connection on.
const LIMIT: Duration = Duration::from_secs(3);
/// Maximum number of files that are read at once.
const AT_ONCE: usize = 4;

/// Reads files on another runtime than the driver's.
pub(crate) struct SandboxReader {
    runtime: Handle,
    access: AgentAccess,
    permits: Arc<Semaphore>,
    events: mpsc::UnboundedSender<Event>,
    /// The address of the leading master's web pages, if it is known.
    web_ui: Option<String>,
}

impl SandboxReader {
    /// A reader that uses the current runtime. `events` receives what it has read.
    pub fn new(access: AgentAccess, events: mpsc::UnboundedSender<Event>) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { runtime: Handle::current(), access, permits, events, web_ui: None }
    }

    /// Notes which master leads. Its pages use TLS if its API does.
    pub fn set_master(&mut self, master: Option<&MasterInfo>, secure: bool) {
        self.web_ui = master.and_then(|master| web_ui(master, secure));
    }

    /// Begins to read the standard error of an executor. The outcome becomes an event.
    pub fn read(&self, sandbox: Sandbox, end: TaskEnd) {
        let (access, permits, events) = (self.access.clone(), Arc::clone(&self.permits), self.events.clone());
        let url = self.web_ui.as_ref().map(|web_ui| sandbox.url(web_ui));
        self.runtime.spawn(async move {
            let Ok(_permit) = permits.acquire().await else { return };
            let outcome = match timeout(LIMIT, read(&access, &sandbox)).await {
                Ok(outcome) => outcome,
                Err(_) => StderrOutcome::Failed(format!("no answer within {}", InWords(LIMIT))),
            };
            let url = url.filter(|_| outcome != StderrOutcome::NoFile);
            let read = StderrRead { end, host: sandbox.host, url, outcome };
            // If the driver has ended, nobody wants to know.
            let _ = events.send(Event::StderrRead(Box::new(read)));
        });
    }
}

async fn read(access: &AgentAccess, sandbox: &Sandbox) -> StderrOutcome {
    let path = format!("{}/{STDERR}", files::sandbox(&sandbox.framework, &sandbox.task));
    let endpoints = endpoints(sandbox);
    let mut last = StderrOutcome::Failed("its agent's address is not known".to_owned());
    for agent in endpoints {
        let settings = access.settings(agent.scheme == Scheme::Https);
        last = match files::read_end(&settings, &agent, &path, END).await {
            Ok(end) => return StderrOutcome::Read(shown(&end.text, end.is_cut)),
            Err(FileError::NotFound) => return StderrOutcome::NoFile,
            Err(error @ (FileError::Unauthenticated | FileError::Forbidden)) => {
                return StderrOutcome::Refused(refused(access, &error));
            }
            Err(error) => StderrOutcome::Failed(error_chain(&error)),
        };
    }
    last
}

/// Where the agent may answer, best first. Its URL has its IP address, but certificates mostly have the host name.
fn endpoints(sandbox: &Sandbox) -> Vec<Endpoint> {
    let Some((scheme, rest)) = sandbox.agent_url.split_once("://") else { return Vec::new() };
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let authority = rest.split('/').next().unwrap_or_default();
    let Ok(address) = HostPort::parse(authority, None) else { return Vec::new() };
    let named = HostPort::parse_host(&sandbox.host).map(|host| HostPort { host, port: address.port });
    let named = named.filter(|named| scheme == Scheme::Https && *named != address);
    let endpoint = |address| Endpoint { scheme, address, path: String::new() };
    named.into_iter().chain([address]).map(endpoint).collect()
}

/// What to do so that agents show sandboxes. The text names no agent, since the others will most likely refuse it, too.
fn refused(access: &AgentAccess, error: &FileError) -> String {
    match (error, access.principal()) {
        (FileError::Forbidden, Some(principal)) => format!(
            "agents do not let --agent-principal {principal} read sandboxes (HTTP 403): allow it in their ACLs (access_sandboxes)"
        ),
        (FileError::Forbidden, None) => {
            "agents let nobody without credentials read sandboxes (HTTP 403): give --agent-principal and --agent-secret-file"
                .to_owned()
        }
        (_, Some(principal)) => format!(
            "agents do not know --agent-principal {principal} with the secret in --agent-secret-file (HTTP 401): compare both with \
             the agents' --http_credentials"
        ),
        (_, None) => {
            "agents ask for credentials to show sandboxes (HTTP 401): give --agent-principal and --agent-secret-file".to_owned()
        }
    }
}

/// The address of the master's web pages.
fn web_ui(master: &MasterInfo, secure: bool) -> Option<String> {
    let address = master.address.as_ref();
    let host = address.and_then(|address| address.hostname.as_deref()).or(master.hostname.as_deref());
    let host = host.filter(|host| !host.is_empty()).or(address.and_then(|address| address.ip.as_deref()))?;
    let port = address.map(|address| address.port)?;
    let address = HostPort { host: HostPort::parse_host(host)?, port: u16::try_from(port).ok()? };
    Some(format!("{}://{address}", if secure { "https" } else { "http" }))
}

#[cfg(test)]
mod tests {
    use mesos::v1::Address;

    use super::*;

    fn sandbox(host: &str, agent_url: &str) -> Sandbox {
        let [framework, task, agent] = ["f", "t", "a"].map(str::to_owned);
        Sandbox { framework, task, agent, host: host.to_owned(), agent_url: agent_url.to_owned() }
    }

    #[test]
    fn an_agent_is_asked_at_its_address_and_with_tls_first_by_its_name() {
        let said = |host, url| -> Vec<String> {
            let endpoints = endpoints(&sandbox(host, url));
            endpoints.iter().map(|it| format!("{}://{}", it.scheme, it.address)).collect()
        };
        assert_eq!(said("a.example", "http://10.0.0.1:5051/slave(1)"), ["http://10.0.0.1:5051"]);
        let secure = said("a.example", "https://[fd00::1]:5051/slave(1)");
        assert_eq!(secure, ["https://a.example:5051", "https://[fd00::1]:5051"]);
        assert!(said("a", "nonsense").is_empty() && said("a", "http://:x/").is_empty());
    }

    #[test]
    fn the_masters_pages_are_where_the_master_says_that_it_is() {
        let address = |hostname: &str| Address {
            hostname: Some(hostname.into()),
            ip: Some("10.0.0.1".into()),
            port: 5050,
        };
        let master = |hostname| MasterInfo { address: Some(address(hostname)), ..MasterInfo::default() };
        assert_eq!(web_ui(&master("m.example"), false).as_deref(), Some("http://m.example:5050"));
        assert_eq!(web_ui(&master(""), true).as_deref(), Some("https://10.0.0.1:5050"));
        assert_eq!(web_ui(&MasterInfo::default(), false), None);
    }
}
