//! Addresses that may hold a password, and `--zk`.

use std::ffi::OsStr;
use std::fs;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use mesos::masters::Masters;
use program::duration;

use crate::config::Zk;

/// Where several schedulers meet.
#[derive(Clone, Debug, Args)]
pub struct ZkArgs {
    /// Run several schedulers, of which one leads and the others wait: where in ZooKeeper they elect it and keep what
    /// the next one needs. zk://HOST:PORT,…/PATH, also with USER:PASSWORD@ in front; or file:///PATH of a file that says
    /// so, which keeps the password from the list of processes.
    #[arg(long, value_name = "ADDRESS", env = "MINER_ZK", hide_env_values = true)]
    #[arg(value_parser = MastersParser { option: "--zk <ADDRESS>" })]
    pub zk: Option<Masters>,
    /// A leader that ZooKeeper does not hear from for so long leads no more. Needs no more than a glitch of the network;
    /// ZooKeeper has limits of its own.
    #[arg(long, value_name = "TIME", env = "MINER_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub zk_session_timeout: Duration,
}

impl ZkArgs {
    /// Checks that it is a place of the schedulers' own.
    ///
    /// # Errors
    /// If it is no `zk://` address, or the masters' own node.
    pub fn check(self, master: &Masters) -> anyhow::Result<Option<Zk>> {
        let Some(zk) = self.zk else { return Ok(None) };
        let Some(ensemble) = zk.ensemble() else { bail!("--zk {zk}: write zk://HOST:PORT/PATH") };
        let masters = master.ensemble();
        ensure!(
            masters.is_none_or(
                |masters| masters.servers() != ensemble.servers() || masters.path() != ensemble.path()
            ),
            "--zk {zk}: there the Mesos masters stand for election; give the schedulers a path of their own"
        );
        Ok(Some(Zk { ensemble: ensemble.clone(), session_timeout: self.zk_session_timeout }))
    }
}

/// Unlike a function in its place it does not show the whole value in its errors: there may be a password in it.
#[derive(Clone)]
pub(super) struct MastersParser {
    /// As usage shows it.
    pub option: &'static str,
}

impl TypedValueParser for MastersParser {
    type Value = Masters;

    fn parse_ref(&self, cmd: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Masters, clap::Error> {
        parse_masters(&value.to_string_lossy()).map_err(|error| {
            let message = format!("invalid value for '{}': {error:#}\n", self.option);
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(cmd)
        })
    }
}

fn parse_masters(text: &str) -> anyhow::Result<Masters> {
    let Some(path) = text.strip_prefix("file://") else { return Ok(text.parse()?) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    text.trim().parse().with_context(|| format!("the file {path} holds no such address"))
}
