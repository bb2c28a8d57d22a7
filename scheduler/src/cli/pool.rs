//! Flags for mining at a pool instead of a server task.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use program::{AccessArgs, Usage, spec_of};

use crate::launch::Pool;

/// Where workers mine, if not at a server task.
#[derive(Clone, Debug, Args)]
pub struct PoolArgs {
    /// Have workers mine at this pool, [stratum+tcp://]HOST:PORT or stratum+ssl://HOST:PORT; no server is launched.
    #[arg(long, value_name = "URL", env = "MINER_POOL", value_parser = parse_url, conflicts_with_all = ["server_constraint", "upstreams"])]
    pub pool: Option<String>,
    /// The account there; workers call themselves USER.TASK [default: TASK].
    #[arg(long, value_name = "USER", env = "MINER_POOL_USER", requires = "pool")]
    pub pool_user: Option<String>,
    /// File with the password there [default: the password is x].
    #[arg(long, value_name = "FILE", env = "MINER_POOL_PASSWORD_FILE", requires = "pool")]
    pub pool_password_file: Option<PathBuf>,
    /// How to connect there.
    #[command(flatten)]
    pub access: AccessArgs,
}

impl PoolArgs {
    /// The pool, with the password from its file.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(super) fn check(self) -> anyhow::Result<Option<Pool>> {
        let Some(url) = self.pool else {
            let unused =
                "--tls-ca, --tls-fingerprint and --proxy are for the pool of --pool, which is not given";
            return if self.access.is_given() { Err(Usage(unused.into()).into()) } else { Ok(None) };
        };
        let access = spec_of(&self.access.access(|name| std::env::var(name).ok())?);
        let password = match &self.pool_password_file {
            None => "x".to_owned(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read the pool's password file {}", path.display()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        Ok(Some(Pool { url, user: self.pool_user, password, access }))
    }
}

/// Checks what a worker would only find out later.
fn parse_url(text: &str) -> anyhow::Result<String> {
    let rest = match text.split_once("://") {
        None => text,
        Some(("stratum+tcp" | "stratum+ssl" | "stratum+tls", rest)) => rest,
        Some((scheme, _)) => {
            bail!("unknown scheme {scheme:?}: write stratum+tcp://HOST:PORT or stratum+ssl://HOST:PORT")
        }
    };
    ensure!(!rest.contains('@'), "no user or password here: use --pool-user and --pool-password-file");
    let (host, port) = rest.rsplit_once(':').context("no port: write HOST:PORT")?;
    let port: u16 = port.parse().with_context(|| format!("bad port {port:?}: a number from 1 to 65535"))?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    ensure!(
        port > 0 && !host.is_empty() && (bracketed || !host.contains([':', '/'])),
        "write HOST:PORT, IPv6 in brackets"
    );
    Ok(if text == rest { format!("stratum+tcp://{text}") } else { text.to_owned() })
}
