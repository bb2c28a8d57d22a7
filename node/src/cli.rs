//! Options for mining on nodes, of every program that does it.

use std::path::PathBuf;

use anyhow::Context;
use bitcoin::Address;
use bitcoin::address::NetworkUnchecked;
use command_line::read_password;

use crate::network::Payout;
use crate::{Credentials, MinDifficultyTime, NodeUrl};

/// What goes into every coinbase where nothing else is asked for.
pub const TAG: &str = "/mesos-miner/";

/// The environment variable with the password that goes with `--rpc-user`.
const PASSWORD: &str = "MINER_RPC_PASSWORD";

/// Which nodes, how to prove to them who we are, and whom blocks pay.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Mining on a node")]
pub struct NodeArgs {
    /// JSON-RPC address of a Bitcoin node, as http://HOST:PORT; may be given again, the best node first; or
    /// file:///PATH of a file with such addresses, one a line, also with USER:PASSWORD@ in front of HOST
    #[arg(long, value_name = "URL", env = "MINER_BITCOIND", value_delimiter = ',', hide_env_values = true)]
    pub bitcoind: Vec<String>,
    /// The cookie file that Bitcoin Core writes in its data directory
    #[arg(long, value_name = "FILE", env = "MINER_COOKIE_FILE", conflicts_with_all = ["rpc_user", "rpc_password_file"])]
    pub cookie_file: Option<PathBuf>,
    /// User for the nodes' RPC; its password is in MINER_RPC_PASSWORD or in --rpc-password-file
    #[arg(long, value_name = "NAME", env = "MINER_RPC_USER")]
    pub rpc_user: Option<String>,
    /// File with the password of --rpc-user
    #[arg(long, value_name = "FILE", env = "MINER_RPC_PASSWORD_FILE", requires = "rpc_user")]
    pub rpc_password_file: Option<PathBuf>,
    /// Whom blocks pay; nobody gets a fee
    #[arg(long, value_enum, env = "MINER_PAYOUT", default_value = "address")]
    pub payout: PayoutKind,
    /// Address that all blocks pay, of the node's network
    #[arg(long, value_name = "ADDRESS", env = "MINER_ADDRESS", value_parser = address)]
    pub address: Option<String>,
    /// Text for the coinbase of each block, cut where there is no more room: after some 80 bytes
    #[arg(long, value_name = "TEXT", env = "MINER_TAG", default_value = TAG)]
    pub tag: String,
    /// On testnets, when to make a block of the lowest difficulty: honest, once 20 minutes have passed since the last
    /// one; early, as soon as nodes take a block that says so
    #[arg(long, value_name = "WHEN", env = "MINER_MIN_DIFFICULTY_TIME", default_value_t)]
    pub min_difficulty_time: MinDifficultyTime,
}

/// Nodes, and what blocks are to be: all that the options say, with passwords read from where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Nodes on one network, the best first.
    pub nodes: Vec<(NodeUrl, Credentials)>,
    /// Whom blocks pay.
    pub payout: Payout,
    /// Bytes for the end of each coinbase's script.
    pub tag: Vec<u8>,
    /// When to use the lowest difficulty of testnets.
    pub min_difficulty_time: MinDifficultyTime,
}

/// Whom blocks pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PayoutKind {
    /// All blocks pay --address
    Address,
    /// A block pays the address in the name of the worker who found it: ADDRESS or ADDRESS.WORKER
    User,
}

impl NodeArgs {
    /// The first option that was given, if any has no default.
    pub fn given(&self) -> Option<&'static str> {
        [
            ("--bitcoind", !self.bitcoind.is_empty()),
            ("--cookie-file", self.cookie_file.is_some()),
            ("--rpc-user", self.rpc_user.is_some()),
            ("--address", self.address.is_some()),
            ("--payout user", self.payout == PayoutKind::User),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }

    /// Whom blocks pay.
    ///
    /// # Errors
    /// What is wrong with the combination of options.
    pub fn payout(&self) -> Result<Payout, &'static str> {
        if self.bitcoind.is_empty() {
            return Err("mining on a node needs its address: --bitcoind URL");
        }
        match (self.payout, &self.address) {
            (PayoutKind::User, None) => Ok(Payout::User),
            (PayoutKind::User, Some(_)) => {
                Err("--payout user pays the addresses in the workers' names: leave out --address")
            }
            (PayoutKind::Address, Some(address)) => Ok(Payout::Address(address.clone())),
            (PayoutKind::Address, None) => Err(
                "mining on a node needs --address ADDRESS, or --payout user for addresses in the workers' names",
            ),
        }
    }

    /// All of this, with the password read from where it is.
    ///
    /// # Errors
    /// If an address is none, or the password can't be read.
    pub fn choose(&self, payout: Payout, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Choice> {
        Ok(Choice {
            nodes: self.nodes(env)?,
            payout,
            tag: self.tag.clone().into_bytes(),
            min_difficulty_time: self.min_difficulty_time,
        })
    }

    /// The nodes' addresses and what they know us by.
    ///
    /// # Errors
    /// If an address is none, or a file can't be read.
    pub fn nodes(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Vec<(NodeUrl, Credentials)>> {
        let common = self.credentials(env)?;
        let mut nodes = Vec::new();
        for text in &self.bitcoind {
            for line in lines(text)? {
                let (url, own) = NodeUrl::parse(&line).context("--bitcoind")?;
                nodes.push((url, own.unwrap_or_else(|| common.clone())));
            }
        }
        Ok(nodes)
    }

    fn credentials(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Credentials> {
        if let Some(path) = &self.cookie_file {
            return Ok(Credentials::Cookie(path.clone()));
        }
        let Some(user) = self.rpc_user.clone() else { return Ok(Credentials::None) };
        let password = match &self.rpc_password_file {
            Some(path) => read_password(path).with_context(|| {
                format!("cannot read the password in --rpc-password-file {}", path.display())
            })?,
            None => env(PASSWORD)
                .with_context(|| format!("--rpc-user needs {PASSWORD} or --rpc-password-file FILE"))?,
        };
        Ok(Credentials::Basic { user, password })
    }
}

/// What was given, or what stands in the file that was given.
fn lines(text: &str) -> anyhow::Result<Vec<String>> {
    let Some(path) = text.strip_prefix("file://") else { return Ok(vec![text.to_owned()]) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read --bitcoind {path}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    let lines: Vec<_> = lines.collect();
    anyhow::ensure!(!lines.is_empty(), "the file {path} of --bitcoind names no node");
    Ok(lines)
}

/// Only that it is an address: the node's network is not known yet.
fn address(text: &str) -> Result<String, String> {
    let parsed = text.parse::<Address<NetworkUnchecked>>();
    parsed.map(|_| text.to_owned()).map_err(|error| format!("{text:?} is no Bitcoin address: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[arg(long)]
        chain: Option<String>,
        #[command(flatten)]
        node: NodeArgs,
    }

    #[test]
    fn addresses_and_credentials_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        std::fs::write(&path, "http://me:s3cret@a:1\n\n http://b:2 \n").unwrap();
        let url = format!("file://{}", path.display());
        let args = Cli::parse_from(["x", "--chain", "node", "--bitcoind", &url, "--bitcoind", "http://c:3"]);
        assert_eq!(args.chain.as_deref(), Some("node"));
        let nodes = args.node.nodes(|_| None).unwrap();
        let shown: Vec<_> = nodes.iter().map(|(url, _)| url.to_string()).collect();
        assert_eq!(shown, ["http://a:1", "http://b:2", "http://c:3"]);
        let own = Credentials::Basic { user: "me".into(), password: "s3cret".into() };
        assert_eq!((&nodes[0].1, &nodes[1].1), (&own, &Credentials::None));
        std::fs::write(&path, "http://me:s3cret@a:x\n").unwrap();
        let error = format!("{:#}", args.node.nodes(|_| None).unwrap_err());
        assert!(error.contains("--bitcoind") && !error.contains("s3cret"), "{error}");
        std::fs::write(&path, "\n").unwrap();
        assert!(args.node.nodes(|_| None).is_err());
    }
}
