//! Options for connections to pools: TLS trust, the proxy, and the rules for what is sent to a pool and when it is left.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use net::{DialOptions, Fingerprint, HostPort, Proxy, Trust};
use task::{PoolAccess, PoolRules, ProxyAccess};

use crate::exit::UsageError;
use crate::hangup::Reread;
use crate::values::{RedactedParser, duration, first_given, password, read_password};

/// The environment variable for the proxy's password.
const PROXY_PASSWORD: &str = "MINER_PROXY_PASSWORD";

/// The options for connections to pools.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectionArgs {
    /// PEM file with the authorities to trust for stratum+ssl:// pools [default: the system's authorities]
    #[arg(long, alias = "cert", env = "MINER_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// SHA-256 fingerprint of the certificate that a stratum+ssl:// pool must have, regardless of its issuer; give several for
    /// several pools
    #[arg(long, env = "MINER_TLS_FINGERPRINT", value_name = "SHA256", value_delimiter = ',')]
    #[arg(conflicts_with = "tls_ca")]
    pub tls_fingerprint: Vec<Fingerprint>,
    /// SOCKS5 proxy for connections to pools, socks5://HOST:PORT or socks5://USER@HOST:PORT; the proxy resolves the pools'
    /// names. The proxy's password comes from MINER_PROXY_PASSWORD or --proxy-password-file
    #[arg(short = 'x', long, env = "MINER_PROXY", value_name = "URL", hide_env_values = true)]
    #[arg(value_parser = RedactedParser(Proxy::from_str))]
    pub proxy: Option<Proxy>,
    /// File with the proxy's password
    #[arg(long, env = "MINER_PROXY_PASSWORD_FILE", value_name = "FILE", requires = "proxy")]
    pub proxy_password_file: Option<PathBuf>,
    /// Do not send mining.extranonce.subscribe, except to pools whose address ends in #xnsub [default: it is sent after the first
    /// job, but not again to a pool that hangs up on it]
    #[arg(long, env = "MINER_NO_EXTRANONCE", value_parser = BoolishValueParser::new())]
    pub no_extranonce: bool,
    /// Do not send mining.suggest_difficulty [default: it is sent, but not again to a pool that hangs up on it]
    #[arg(long, env = "MINER_NO_SUGGEST", value_parser = BoolishValueParser::new())]
    pub no_suggest: bool,
    /// Do not roll version bits, and do not send mining.configure, except for --minimum-difficulty [default: it is sent, but not
    /// again to a pool that hangs up on it]
    #[arg(long, env = "MINER_NO_VERSION_ROLLING", value_parser = BoolishValueParser::new())]
    pub no_version_rolling: bool,
    /// Leave a pool that sends no new job for this time, if another pool is given [default: ten times the longest pause between
    /// the pool's last jobs, at least 5m, and 2h until those are known; on testnets and small chains never]. A pool on Bitcoin's main
    /// network whose jobs stay on one block is left after 3h, or after this time if it is longer
    #[arg(long, value_name = "TIME", env = "MINER_JOB_TIMEOUT", value_parser = duration)]
    pub job_timeout: Option<Duration>,
}

impl ConnectionArgs {
    /// The name of the first of these options that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        first_given([
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-fingerprint", !self.tls_fingerprint.is_empty()),
            ("--proxy", self.proxy.is_some()),
            ("--no-extranonce", self.no_extranonce),
            ("--no-suggest", self.no_suggest),
            ("--no-version-rolling", self.no_version_rolling),
            ("--job-timeout", self.job_timeout.is_some()),
        ])
    }

    /// The rules for pools.
    pub fn rules(&self) -> PoolRules {
        PoolRules {
            no_extranonce: self.no_extranonce,
            no_suggest: self.no_suggest,
            no_version_rolling: self.no_version_rolling,
            job_timeout: self.job_timeout,
        }
    }

    /// Converts the options to dial options; reads the files that the options name. `environment` looks up a variable.
    ///
    /// # Errors
    /// [`UsageError`] if a file cannot be read, or has the wrong content.
    pub fn dial_options(&self, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<DialOptions> {
        let trust = match &self.tls_ca {
            Some(path) => Trust::from_file(path)
                .map_err(|error| UsageError(format!("--tls-ca: {:#}", anyhow::Error::new(error))))?,
            None if self.tls_fingerprint.is_empty() => Trust::System,
            None => Trust::Pinned(self.tls_fingerprint.clone()),
        };
        let file = &self.proxy_password_file;
        let password = password("--proxy-password-file", file, PROXY_PASSWORD, environment)
            .map_err(|error| UsageError(format!("{error:#}")))?;
        let proxy = match (self.proxy.clone(), password) {
            (Some(proxy), Some(password)) => {
                Some(proxy.with_password(password).map_err(|error| UsageError(error.to_string()))?)
            }
            (proxy, _) => proxy,
        };
        Ok(DialOptions { trust, proxy })
    }
}

impl ConnectionArgs {
    /// Reads the files of the options again. What cannot be read stays as it was.
    pub fn reread(&self, options: &mut DialOptions) -> Vec<Reread> {
        let mut read = Vec::new();
        if let Some(path) = &self.tls_ca {
            let outcome = Trust::from_file(path).map_err(|error| format!("{:#}", anyhow::Error::new(error)));
            let outcome = outcome.map(|trust| replace(&mut options.trust, trust));
            read.push(Reread { what: format!("--tls-ca {}", path.display()), outcome });
        }
        if let (Some(path), Some(proxy)) = (&self.proxy_password_file, &self.proxy) {
            let outcome = read_password("--proxy-password-file", path)
                .and_then(|password| Ok(proxy.clone().with_password(password)?))
                .map_err(|error| format!("{error:#}"))
                .map(|proxy| replace(&mut options.proxy, Some(proxy)));
            read.push(Reread { what: format!("--proxy-password-file {}", path.display()), outcome });
        }
        read
    }
}

/// Replaces a value. Returns whether the new one differs.
fn replace<T: PartialEq>(value: &mut T, new: T) -> bool {
    let changed = *value != new;
    *value = new;
    changed
}

/// Converts connection options to the form in a task's specification.
pub fn pool_access(options: &DialOptions, rules: PoolRules) -> PoolAccess {
    let (authorities, fingerprints) = match &options.trust {
        Trust::System => (None, Vec::new()),
        Trust::Authorities(pem) => (Some(pem.clone()), Vec::new()),
        Trust::Pinned(fingerprints) => (None, fingerprints.iter().map(|fingerprint| fingerprint.0).collect()),
    };
    let proxy = options.proxy.clone().map(|Proxy { address: HostPort { host, port }, credentials }| {
        ProxyAccess { host, port, credentials }
    });
    PoolAccess { authorities, fingerprints, proxy, rules }
}

/// Converts the connection options in a task's specification back.
pub fn dial_options(spec: &PoolAccess) -> DialOptions {
    let trust = match &spec.authorities {
        _ if !spec.fingerprints.is_empty() => {
            Trust::Pinned(spec.fingerprints.iter().copied().map(Fingerprint).collect())
        }
        Some(pem) => Trust::Authorities(pem.clone()),
        None => Trust::System,
    };
    let proxy = spec.proxy.clone().map(|ProxyAccess { host, port, credentials }| Proxy {
        address: HostPort { host, port },
        credentials,
    });
    DialOptions { trust, proxy }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    fn parse(line: &str) -> anyhow::Result<DialOptions> {
        let words = ["x"].into_iter().chain(line.split_whitespace());
        let environment = |name: &str| (name == PROXY_PASSWORD).then(|| "late".to_owned());
        Cli::try_parse_from(words)?.connection.dial_options(environment)
    }

    #[test]
    fn options_survive_the_conversion_to_a_specification_and_back() {
        let fingerprint = "ab".repeat(32);
        for line in [
            String::new(),
            format!("--tls-fingerprint {fingerprint},{fingerprint}"),
            format!("-x socks5://me@h:1080 --tls-fingerprint {fingerprint}"),
        ] {
            let options = parse(&line).unwrap();
            assert_eq!(dial_options(&pool_access(&options, PoolRules::default())), options, "{line}");
        }
        let credentials = parse("-x socks5://me@h:1080").unwrap().proxy.and_then(|proxy| proxy.credentials);
        assert_eq!(credentials, Some(("me".into(), "late".into())));
    }

    #[test]
    fn each_rule_for_pools_has_its_option() {
        let rules = |line: &str| {
            let words = ["x"].into_iter().chain(line.split_whitespace());
            Cli::try_parse_from(words).unwrap().connection.rules()
        };
        let none = PoolRules::default();
        assert_eq!(rules(""), none);
        assert_eq!(rules("--no-extranonce"), PoolRules { no_extranonce: true, ..none });
        assert_eq!(rules("--no-suggest"), PoolRules { no_suggest: true, ..none });
        assert_eq!(rules("--no-version-rolling"), PoolRules { no_version_rolling: true, ..none });
        let job_timeout = Some(Duration::from_secs(90));
        assert_eq!(rules("--job-timeout 1.5m"), PoolRules { job_timeout, ..none });
    }

    #[test]
    fn files_are_read_again_and_what_cannot_be_read_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "old\n").unwrap();
        let line = format!("x -x socks5://me@h:1080 --proxy-password-file {}", file.display());
        let args = Cli::try_parse_from(line.split_whitespace()).unwrap().connection;
        let mut options = args.dial_options(|_| None).unwrap();
        let password = |options: &DialOptions| options.proxy.clone().unwrap().credentials.unwrap().1;
        assert_eq!(args.reread(&mut options)[0].outcome, Ok(false));
        std::fs::write(&file, "new\n").unwrap();
        assert_eq!(args.reread(&mut options)[0].outcome, Ok(true));
        assert_eq!(password(&options), "new");
        std::fs::write(&file, "").unwrap();
        assert!(args.reread(&mut options)[0].outcome.is_err());
        assert_eq!(password(&options), "new");
    }

    #[test]
    fn errors_name_bad_values_but_no_password() {
        for (line, part) in [
            ("--tls-fingerprint abc", "64 hexadecimal digits"),
            ("--tls-ca /nowhere/ca.pem", "/nowhere/ca.pem"),
            ("--proxy http://h:1", "only SOCKS5"),
            ("--proxy-password-file /nowhere", "--proxy"),
            ("--proxy socks5://me@h:1 --proxy-password-file /nowhere", "/nowhere"),
            ("--proxy socks5://h:1", "bad user or password"),
            ("--proxy http://me:s3cret@h:1", "http://h:1"),
            ("--proxy socks5://me:s3cret@h", "socks5://h"),
        ] {
            let error = format!("{:#}", parse(line).expect_err(line));
            assert!(error.contains(part) && !error.contains("s3cret"), "{line}: {error}");
        }
    }
}
