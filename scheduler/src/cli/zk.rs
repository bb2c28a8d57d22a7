//! `--zk`, and addresses that may contain a password.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use command_line::{RedactedParser, duration};
use mesos::masters::Masters;
use mesos::zookeeper::Ensemble;

use crate::config::Zk;

/// The election among several schedulers.
#[derive(Clone, Debug, Args)]
pub struct ZkArgs {
    /// Run several schedulers, of which one leads and the others wait: where in ZooKeeper they elect it and keep what
    /// the next one needs. zk://HOST:PORT,…/PATH, also with USER:PASSWORD@ in front; or file:///PATH of a file that says
    /// so, which keeps the password from the list of processes.
    #[arg(long, value_name = "ADDRESS", env = "MINER_ZK", hide_env_values = true, value_parser = RedactedParser(ensemble))]
    pub zk: Option<Ensemble>,
    /// A leader that ZooKeeper does not hear from for so long no longer leads; ZooKeeper has limits of its own.
    #[arg(long, value_name = "TIME", env = "MINER_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub zk_session_timeout: Duration,
}

impl ZkArgs {
    /// Checks that the path in ZooKeeper, if one is given, is not the masters' own.
    ///
    /// # Errors
    /// If it is.
    pub fn check(self, master: &Masters) -> anyhow::Result<Option<Zk>> {
        if let (Some(zk), Some(masters)) = (&self.zk, master.ensemble()) {
            ensure!(
                masters.servers() != zk.servers() || masters.path() != zk.path(),
                "--zk {zk}: there the Mesos masters stand for election; give the schedulers a path of their own"
            );
        }
        Ok(self.place())
    }

    /// The path in ZooKeeper, if one is given.
    pub fn place(self) -> Option<Zk> {
        let session_timeout = self.zk_session_timeout;
        self.zk.map(|ensemble| Zk { ensemble, session_timeout })
    }
}

/// Reads an ensemble's addresses and path, or a file that contains them.
pub(crate) fn ensemble(text: &str) -> anyhow::Result<Ensemble> {
    let masters = parse_masters(text)?;
    let ensemble = masters.ensemble().cloned();
    ensemble.with_context(|| format!("{masters}: write zk://HOST:PORT,HOST:PORT/PATH"))
}

/// Reads the masters' addresses, or a file that contains them.
pub(super) fn parse_masters(text: &str) -> anyhow::Result<Masters> {
    let Some(path) = text.strip_prefix("file://") else { return Ok(text.parse()?) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    text.trim().parse().with_context(|| format!("the file {path} holds no such address"))
}
