//! Options for mining at a pool instead of a server task.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use command_line::{RedactedParser, pool_url, read_password};
use task::PoolAccess;

use crate::task_info::ExternalPool;

/// Where workers mine, if not at a server task.
#[derive(Clone, Debug, Args)]
pub struct PoolArgs {
    /// Have workers mine at this pool, [stratum+tcp://]HOST:PORT or stratum+ssl://HOST:PORT; no server is launched.
    #[arg(long, value_name = "URL", env = "MINER_POOL", hide_env_values = true, value_parser = RedactedParser(parse_url), conflicts_with_all = ["server_constraint", "upstreams"])]
    pub pool: Option<String>,
    /// The account there; workers call themselves USER.TASK [default: TASK].
    #[arg(long, value_name = "USER", env = "MINER_POOL_USER", requires = "pool")]
    pub pool_user: Option<String>,
    /// File with the password there [default: the password is x].
    #[arg(long, value_name = "FILE", env = "MINER_POOL_PASSWORD_FILE", requires = "pool")]
    pub pool_password_file: Option<PathBuf>,
}

impl PoolArgs {
    /// The pool, with the password from its file; `access` says how to connect there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn check(self, access: PoolAccess) -> anyhow::Result<Option<ExternalPool>> {
        let Some(url) = self.pool else { return Ok(None) };
        let password = match &self.pool_password_file {
            None => "x".to_owned(),
            Some(path) => read_password(path)
                .with_context(|| format!("cannot read the pool's password file {}", path.display()))?,
        };
        Ok(Some(ExternalPool { url, user: self.pool_user, password, access }))
    }
}

/// Checks the address here, so that it does not fail only in a worker.
fn parse_url(text: &str) -> Result<String, String> {
    pool_url(text).map(|url| url.to_string()).map_err(|error| error.to_string())
}
