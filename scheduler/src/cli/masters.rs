//! Options for how to reach Mesos masters and ZooKeeper.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use command_line::{RedactedParser, duration, warn_if_password_exposed};
use mesos::address::Scheme;
use mesos::masters::Masters;
use mesos::tls::TlsFiles;
use mesos::zookeeper::Ensemble;

use crate::agent_access::AgentAccess;
use crate::election::ZkConfig;
use crate::master_access::MasterAccess;

/// The masters, and how to authenticate with them.
#[derive(Clone, Debug, Args)]
pub struct MasterArgs {
    /// The Mesos master: HOST:PORT, https://HOST:PORT, several separated by commas; or zk://HOST:PORT,…/PATH, or
    /// zk://USER:PASSWORD@HOST:PORT,…/PATH; or file:///PATH of a file with such an address, which keeps the password out of the
    /// process list.
    #[arg(long, value_name = "ADDRESS", env = "MINER_MASTER", hide_env_values = true)]
    #[arg(default_value = "127.0.0.1:5050", value_parser = RedactedParser(masters))]
    pub master: Masters,
    /// Principal with which the framework authenticates [default: none].
    #[arg(long, env = "MINER_PRINCIPAL", value_parser = NonEmptyStringValueParser::new())]
    pub principal: Option<String>,
    /// File with the principal's secret; it is read again for each subscription [default: no authentication].
    #[arg(long, value_name = "FILE", env = "MINER_SECRET_FILE", requires = "principal")]
    pub secret_file: Option<PathBuf>,
    /// Principal with which the scheduler reads the stderr of failed executors from agents that ask for credentials; the
    /// framework's own principal and secret are never sent to agents [default: none].
    #[arg(long, value_name = "NAME", env = "MINER_AGENT_PRINCIPAL", requires = "agent_secret_file")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub agent_principal: Option<String>,
    /// File with the secret of --agent-principal; it is read again on SIGHUP [default: none].
    #[arg(long, value_name = "FILE", env = "MINER_AGENT_SECRET_FILE", requires = "agent_principal")]
    pub agent_secret_file: Option<PathBuf>,
    /// PEM file of the authorities to trust for an https:// master [default: those that the system trusts]. With zk://, giving
    /// this file means that the masters use TLS.
    #[arg(long, value_name = "FILE", env = "MINER_CA_CERT")]
    pub ca_cert: Option<PathBuf>,
    /// PEM file with our certificate, for masters that ask for one.
    #[arg(long, value_name = "FILE", env = "MINER_CLIENT_CERT", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// PEM file with the private key of our certificate.
    #[arg(long, value_name = "FILE", env = "MINER_CLIENT_KEY", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
}

impl MasterArgs {
    /// The masters, and the credentials for masters and agents, read from their files.
    ///
    /// # Errors
    /// If a file cannot be read, or there are TLS files although the masters use plain HTTP.
    pub(super) fn check(self) -> anyhow::Result<(Masters, MasterAccess, AgentAccess)> {
        let files = TlsFiles { ca_cert: self.ca_cert, client: self.client_cert.zip(self.client_key) };
        let given = files != TlsFiles::default();
        ensure!(
            !given || self.master.scheme() != Some(Scheme::Http),
            "--ca-cert and --client-cert are for TLS, but --master {} is plain HTTP: write https://",
            self.master
        );
        // ZooKeeper does not store whether the masters use TLS. They are assumed to use TLS if TLS files are given.
        let tls = given || self.master.scheme() == Some(Scheme::Https);
        let access = MasterAccess::read(self.principal, self.secret_file, tls.then_some(files))?;
        let agents = AgentAccess::read(self.agent_principal.zip(self.agent_secret_file), access.clone())?;
        Ok((self.master, access, agents))
    }
}

/// The election among several schedulers.
#[derive(Clone, Debug, Args)]
pub struct ZkArgs {
    /// Where several schedulers elect one that leads, while the others wait, and where they share their state:
    /// zk://HOST:PORT,…/PATH, or zk://USER:PASSWORD@HOST:PORT,…/PATH, or file:///PATH of a file with such an address, which keeps
    /// the password out of the process list.
    #[arg(long, value_name = "ADDRESS", env = "MINER_ZK", hide_env_values = true, value_parser = RedactedParser(ensemble))]
    pub zk: Option<Ensemble>,
    /// A leader loses its leadership when ZooKeeper has received nothing from it for this time; ZooKeeper may enforce other
    /// limits.
    #[arg(long, value_name = "TIME", env = "MINER_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub zk_session_timeout: Duration,
}

impl ZkArgs {
    /// Where the election is held, if `--zk` is given.
    ///
    /// # Errors
    /// If `--zk` is the path where the Mesos masters hold their election.
    pub(super) fn check(self, masters: &Masters) -> anyhow::Result<Option<ZkConfig>> {
        let Some(ensemble) = self.zk else { return Ok(None) };
        if let Some(masters) = masters.ensemble() {
            ensure!(
                masters.servers() != ensemble.servers() || masters.path() != ensemble.path(),
                "--zk {ensemble} is the path where the Mesos masters hold their election; give the schedulers a path of \
                 their own"
            );
        }
        Ok(Some(ZkConfig { ensemble, session_timeout: self.zk_session_timeout }))
    }
}

/// Parses an ensemble's addresses and path in `--zk`, or reads a file that contains them.
pub(crate) fn ensemble(text: &str) -> anyhow::Result<Ensemble> {
    let masters = parse_masters("--zk", text)?;
    let ensemble = masters.ensemble().cloned();
    ensemble.with_context(|| format!("{masters}: write zk://HOST:PORT,HOST:PORT/PATH"))
}

/// Parses the masters' addresses in `--master`, or reads a file that contains them.
fn masters(text: &str) -> anyhow::Result<Masters> {
    parse_masters("--master", text)
}

fn parse_masters(option: &str, text: &str) -> anyhow::Result<Masters> {
    let Some(path) = text.strip_prefix("file://") else { return Ok(text.parse()?) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    warn_if_password_exposed(option, Path::new(path), &text);
    text.trim().parse().with_context(|| format!("the file {path} contains no valid address"))
}
