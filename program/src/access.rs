//! Options for connections to pools: whom to trust, whom to connect through.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use net::proxy::ProxyError;
use net::{Access, Fingerprint, Proxy, Trust};
use task::{PoolAccess, ProxyAccess};

use crate::causes::chain;
use crate::discreet::Discreet;
use crate::exit::Usage;
use crate::password::read_password;

/// The environment variable with the proxy's password.
const PROXY_PASSWORD: &str = "MINER_PROXY_PASSWORD";

/// How to connect to pools.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessArgs {
    /// Authorities to trust for stratum+ssl:// pools, a PEM file [default: those that the system trusts]
    #[arg(long, alias = "cert", env = "MINER_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// SHA-256 fingerprint of the certificate that a stratum+ssl:// pool must have, whoever has signed it; give several
    /// for several pools
    #[arg(long, env = "MINER_TLS_FINGERPRINT", value_name = "SHA256", value_delimiter = ',')]
    #[arg(conflicts_with = "tls_ca")]
    pub tls_fingerprint: Vec<Fingerprint>,
    /// SOCKS5 proxy to connect to pools through, socks5://HOST:PORT or socks5://USER@HOST:PORT; it looks the pools'
    /// names up. Its password comes from MINER_PROXY_PASSWORD or --proxy-password-file
    #[arg(short = 'x', long, env = "MINER_PROXY", value_name = "URL", hide_env_values = true)]
    #[arg(value_parser = Discreet(proxy))]
    pub proxy: Option<Proxy>,
    /// File with the proxy's password
    #[arg(long, env = "MINER_PROXY_PASSWORD_FILE", value_name = "FILE", requires = "proxy")]
    pub proxy_password_file: Option<PathBuf>,
}

impl AccessArgs {
    /// The first option that was given, if any was.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--tls-ca", self.tls_ca.is_some()),
            ("--tls-fingerprint", !self.tls_fingerprint.is_empty()),
            ("--proxy", self.proxy.is_some()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }

    /// What was chosen, with the contents of files. `environment` looks a variable up.
    ///
    /// # Errors
    /// [`Usage`] if a file can't be read or is not what it should be.
    pub fn access(&self, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Access> {
        let trust = match &self.tls_ca {
            Some(path) => {
                Trust::in_file(path).map_err(|error| Usage(format!("--tls-ca: {}", chain(&error))))?
            }
            None if self.tls_fingerprint.is_empty() => Trust::System,
            None => Trust::Pinned(self.tls_fingerprint.clone()),
        };
        let password = match &self.proxy_password_file {
            Some(path) => {
                let password = read_password(path)
                    .with_context(|| format!("cannot read the proxy's password file {}", path.display()));
                Some(password.map_err(|error| Usage(format!("{error:#}")))?)
            }
            None => environment(PROXY_PASSWORD),
        };
        let proxy = match (self.proxy.clone(), password) {
            (Some(proxy), Some(password)) => {
                Some(proxy.with_password(password).map_err(|error| Usage(error.to_string()))?)
            }
            (proxy, _) => proxy,
        };
        Ok(Access { trust, proxy })
    }
}

fn proxy(text: &str) -> Result<Proxy, ProxyError> {
    text.parse()
}

/// The same for a task's specification.
pub fn spec_of(access: &Access) -> PoolAccess {
    let (authorities, fingerprints) = match &access.trust {
        Trust::System => (None, Vec::new()),
        Trust::Authorities(pem) => (Some(pem.clone()), Vec::new()),
        Trust::Pinned(fingerprints) => (None, fingerprints.iter().map(|fingerprint| fingerprint.0).collect()),
    };
    let proxy =
        access.proxy.clone().map(|Proxy { host, port, credentials }| ProxyAccess { host, port, credentials });
    PoolAccess { authorities, fingerprints, proxy }
}

/// What a task's specification says.
pub fn access_of(spec: &PoolAccess) -> Access {
    let trust = match &spec.authorities {
        _ if !spec.fingerprints.is_empty() => {
            Trust::Pinned(spec.fingerprints.iter().copied().map(Fingerprint).collect())
        }
        Some(pem) => Trust::Authorities(pem.clone()),
        None => Trust::System,
    };
    let proxy =
        spec.proxy.clone().map(|ProxyAccess { host, port, credentials }| Proxy { host, port, credentials });
    Access { trust, proxy }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        access: AccessArgs,
    }

    fn access(line: &str) -> anyhow::Result<Access> {
        let words = ["x"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words)?.access.access(|name| (name == PROXY_PASSWORD).then(|| "late".to_owned()))
    }

    #[test]
    fn options_become_access_and_a_specification_and_access_again() {
        let fingerprint = "ab".repeat(32);
        for line in [
            String::new(),
            format!("--tls-fingerprint {fingerprint},{fingerprint}"),
            format!("-x socks5://me@h:1080 --tls-fingerprint {fingerprint}"),
        ] {
            let access = access(&line).unwrap();
            assert_eq!(access_of(&spec_of(&access)), access, "{line}");
        }
        let credentials = access("-x socks5://me@h:1080").unwrap().proxy.and_then(|proxy| proxy.credentials);
        assert_eq!(credentials, Some(("me".into(), "late".into())));
    }

    #[test]
    fn bad_values_are_named() {
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
            let error = format!("{:#}", access(line).expect_err(line));
            assert!(error.contains(part) && !error.contains("s3cret"), "{line}: {error}");
        }
    }
}
