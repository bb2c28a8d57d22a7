//! Flags for mining at a pool instead of a server task.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use client::cli::PoolUrlError;
use program::{AccessArgs, Discreet, Usage, read_password, spec_of};

use crate::launch::Pool;

/// Where workers mine, if not at a server task.
#[derive(Clone, Debug, Args)]
pub struct PoolArgs {
    /// Have workers mine at this pool, [stratum+tcp://]HOST:PORT or stratum+ssl://HOST:PORT; no server is launched.
    #[arg(long, value_name = "URL", env = "MINER_POOL", value_parser = Discreet(parse_url), conflicts_with_all = ["server_constraint", "upstreams"])]
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
            Some(path) => read_password(path)
                .with_context(|| format!("cannot read the pool's password file {}", path.display()))?,
        };
        Ok(Some(Pool { url, user: self.pool_user, password, access }))
    }
}

/// Checks what a worker would only find out later.
fn parse_url(text: &str) -> Result<String, PoolUrlError> {
    client::cli::pool_url(text).map(|url| url.to_string())
}
