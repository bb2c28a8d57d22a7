//! Options for mining on Bitcoin nodes.

use std::path::PathBuf;

use anyhow::{Context, bail};
use bitcoin::Address;
use bitcoin::address::NetworkUnchecked;
use net::NodeUrl;
use task::{NodeAccess, NodeSpec};

use super::cookies::CookieFiles;
use super::node_list::{ListedNode, listed};
use crate::exposed::warn_if_exposed;
use crate::hangup::Reread;
use crate::values::{first_given, password};

/// The default of `--tag`, the text in coinbases.
pub const TAG: &str = "/mesos-miner/";

/// The environment variable for the password of `--rpc-user`.
const PASSWORD: &str = "MINER_RPC_PASSWORD";

/// The nodes, the credentials for them, and the address that blocks pay.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Mining on a node")]
pub struct NodeArgs {
    /// JSON-RPC address of a Bitcoin node, as http://HOST:PORT; give several in order of preference; or file:///PATH of a file
    /// with one such address per line, optionally with USER:PASSWORD@ before HOST. With ,cookie=FILE after the address, the node
    /// has a cookie file of its own, whose path may have a comma only in a file of nodes
    #[arg(long, value_name = "URL[,cookie=FILE]", env = "MINER_BITCOIND", hide_env_values = true)]
    pub bitcoind: Vec<String>,
    /// The cookie file that Bitcoin Core writes in its data directory at each start, for nodes without a user and without a
    /// cookie file of their own. The scheduler watches it and sends what is new to the running server, by a message of Mesos:
    /// in clear text, unless the cluster has TLS
    #[arg(long, value_name = "FILE", env = "MINER_COOKIE_FILE", conflicts_with_all = ["rpc_user", "rpc_password_file"])]
    pub cookie_file: Option<PathBuf>,
    /// User for the nodes' RPC; its password is in MINER_RPC_PASSWORD or in --rpc-password-file
    #[arg(long, value_name = "NAME", env = "MINER_RPC_USER")]
    pub rpc_user: Option<String>,
    /// File with the password of --rpc-user
    #[arg(long, value_name = "FILE", env = "MINER_RPC_PASSWORD_FILE", requires = "rpc_user")]
    pub rpc_password_file: Option<PathBuf>,
    /// Who is paid by blocks; the pool keeps no fee
    #[arg(long, value_enum, env = "MINER_PAYOUT", default_value = "address")]
    pub payout: PayoutKind,
    /// Address on the node's network that all blocks pay
    #[arg(long, value_name = "ADDRESS", env = "MINER_ADDRESS", value_parser = address)]
    pub address: Option<String>,
    /// Text for the coinbase of each block; cut off where the coinbase has no more room, after about 80 bytes
    #[arg(long, value_name = "TEXT", env = "MINER_TAG", default_value = TAG)]
    pub tag: String,
    /// When blocks on a testnet have the lowest difficulty. honest: once 20 minutes have passed since the last block.
    /// early: as soon as nodes accept a timestamp that is 20 minutes after that of the last block, even if less time has
    /// passed
    #[arg(long, value_name = "WHEN", env = "MINER_MIN_DIFFICULTY_TIME", default_value = "honest")]
    #[arg(value_parser = ["honest", "early"], hide_possible_values = true)]
    pub min_difficulty_time: String,
}

/// Who is paid by a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PayoutKind {
    /// All blocks pay --address
    Address,
    /// A block pays the address in the name of the worker that found it: ADDRESS or ADDRESS.WORKER
    User,
}

impl NodeArgs {
    /// The name of the first of these options that is given or differs from its default.
    pub fn given(&self) -> Option<&'static str> {
        first_given([
            ("--bitcoind", !self.bitcoind.is_empty()),
            ("--cookie-file", self.cookie_file.is_some()),
            ("--rpc-user", self.rpc_user.is_some()),
            ("--address", self.address.is_some()),
            ("--payout user", self.payout == PayoutKind::User),
        ])
    }

    /// Checks rules about several options together, which clap cannot express.
    ///
    /// # Errors
    /// With the message for the user, if an option is missing or the options contradict each other.
    pub fn check(&self) -> Result<(), &'static str> {
        match (self.payout, &self.address) {
            _ if self.bitcoind.is_empty() => Err("mining on a node needs its address: --bitcoind URL"),
            (PayoutKind::User, Some(_)) => {
                Err("--payout user pays the addresses in the workers' names: leave out --address")
            }
            (PayoutKind::Address, None) => Err(
                "mining on a node needs --address ADDRESS, or --payout user for addresses in the workers' names",
            ),
            _ => Ok(()),
        }
    }

    /// These options as a [`NodeSpec`], and the cookie files of the nodes. A node with a cookie file has neither user nor password in
    /// the specification.
    ///
    /// # Errors
    /// If a node's address is malformed, a node has both a user and a cookie file, or a file or the password cannot be read.
    pub fn spec(&self, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<(NodeSpec, CookieFiles)> {
        let (nodes, cookies) = self.nodes(env)?;
        let spec = NodeSpec {
            nodes,
            address: self.address.clone(),
            tag: self.tag.clone().into_bytes(),
            early_min_difficulty: self.min_difficulty_time == "early",
        };
        Ok((spec, cookies))
    }

    /// The nodes, and their cookie files; see [`Self::spec`].
    ///
    /// # Errors
    /// The errors of [`Self::spec`].
    pub fn nodes(
        &self,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<(Vec<NodeAccess>, CookieFiles)> {
        if let Some(path) = &self.cookie_file {
            warn_if_exposed("--cookie-file", path);
        }
        let common = self.user_and_password(env)?;
        let (mut nodes, mut cookies) = (Vec::new(), Vec::new());
        for ListedNode { address, cookie } in listed(&self.bitcoind)? {
            let (url, own) = NodeUrl::parse(&address).context("--bitcoind")?;
            let url = url.to_string();
            if let (Some(_), Some(cookie)) = (&own, &cookie) {
                bail!(
                    "--bitcoind: node {url} has both a user and the cookie file {}: give one of them",
                    cookie.display()
                );
            }
            if let Some(path) = &cookie {
                warn_if_exposed("cookie=", path);
            }
            let common = common.clone().filter(|_| cookie.is_none());
            let (user, password) = own.or(common).unzip();
            if let Some(path) = cookie.or_else(|| self.cookie_file.clone()).filter(|_| user.is_none()) {
                cookies.push((url.clone(), path));
            }
            nodes.push(NodeAccess { url, user, password });
        }
        Ok((nodes, cookies.into_iter().collect()))
    }

    /// Reads the password file, and the files with lists of nodes, again. What cannot be used stays as it was. The content of cookie
    /// files is no matter of this: whoever uses one reads it when a node refuses access.
    pub fn reread(&self, nodes: &mut [NodeAccess], cookies: &mut CookieFiles) -> Vec<Reread> {
        let lists = self.bitcoind.iter().filter(|value| value.contains("file://"));
        let files: Vec<_> = lists
            .map(|list| format!("--bitcoind {}", net::hide_credentials(list)))
            .chain(
                self.rpc_password_file.iter().map(|file| format!("--rpc-password-file {}", file.display())),
            )
            .collect();
        if files.is_empty() {
            return Vec::new();
        }
        let outcome = match self.nodes(|name| std::env::var(name).ok()) {
            Ok((read, _)) if read.iter().map(|node| &node.url).ne(nodes.iter().map(|node| &node.url)) => {
                Err("the list of nodes is read only at a start".to_owned())
            }
            Ok((read, files)) => {
                let changed = read != nodes || files != *cookies;
                nodes.clone_from_slice(&read);
                *cookies = files;
                Ok(changed)
            }
            Err(error) => Err(format!("{error:#}")),
        };
        vec![Reread { what: files.join(", "), outcome }]
    }

    fn user_and_password(
        &self,
        env: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<(String, String)>> {
        let Some(user) = self.rpc_user.clone() else { return Ok(None) };
        let password = password("--rpc-password-file", &self.rpc_password_file, PASSWORD, env)?
            .with_context(|| format!("--rpc-user needs {PASSWORD} or --rpc-password-file FILE"))?;
        Ok(Some((user, password)))
    }
}

/// Checks only that the text is an address: the node's network is not known yet.
fn address(text: &str) -> Result<String, String> {
    let parsed = text.parse::<Address<NetworkUnchecked>>();
    parsed.map(|_| text.to_owned()).map_err(|error| format!("{text:?} is not a Bitcoin address: {error}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let nodes = args.node.nodes(|_| None).unwrap().0;
        let shown: Vec<_> = nodes.iter().map(|node| node.url.as_str()).collect();
        assert_eq!(shown, ["http://a:1", "http://b:2", "http://c:3"]);
        let own = (nodes[0].user.as_deref(), nodes[0].password.as_deref());
        assert_eq!((own, &nodes[1].user), ((Some("me"), Some("s3cret")), &None));
        std::fs::write(&path, "http://me:s3cret@a:x\n").unwrap();
        let error = format!("{:#}", args.node.nodes(|_| None).unwrap_err());
        assert!(error.contains("--bitcoind") && !error.contains("s3cret"), "{error}");
        std::fs::write(&path, "\n").unwrap();
        assert!(args.node.nodes(|_| None).is_err());
    }

    #[test]
    fn a_node_may_change_between_a_user_and_a_cookie_file_while_the_program_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes");
        let args = Cli::parse_from(["x", "--bitcoind", &format!("file://{}", path.display())]).node;
        std::fs::write(&path, "http://me:s3cret@a:1\n").unwrap();
        let (mut nodes, mut cookies) = args.nodes(|_| None).unwrap();
        for (line, user, file, changed) in [
            ("http://a:1,cookie=/one", None, Some("/one"), true),
            ("http://a:1,cookie=/two", None, Some("/two"), true),
            ("http://a:1,cookie=/two", None, Some("/two"), false),
            ("http://me:s3cret@a:1", Some("me"), None, true),
        ] {
            std::fs::write(&path, line).unwrap();
            assert_eq!(args.reread(&mut nodes, &mut cookies)[0].outcome, Ok(changed), "{line}");
            assert_eq!((nodes[0].user.as_deref(), cookies.of("http://a:1")), (user, file.map(Path::new)));
        }
        std::fs::write(&path, "http://b:1,cookie=/one").unwrap();
        let refused = args.reread(&mut nodes, &mut cookies).remove(0).outcome.unwrap_err();
        assert!(refused.contains("only at a start"), "{refused}");
        assert_eq!((&*nodes[0].url, cookies.is_empty()), ("http://a:1", true));
    }

    #[test]
    fn each_node_may_have_a_cookie_file_of_its_own() {
        let nodes = |arguments: &[&str]| {
            let args = Cli::parse_from([&["x"], arguments].concat());
            args.node.nodes(|name| (name == PASSWORD).then(|| "s3cret".to_owned()))
        };
        let list = "http://a:1,cookie=/a/.cookie,http://b:2,http://me:pw@c:3";
        let (given, cookies) = nodes(&["--bitcoind", list, "--cookie-file", "/all"]).unwrap();
        let users: Vec<_> = given.iter().map(|node| node.user.as_deref()).collect();
        assert_eq!(users, [None, None, Some("me")]);
        let files = ["http://a:1", "http://b:2", "http://c:3"].map(|url| cookies.of(url));
        assert_eq!(files, [Some("/a/.cookie".as_ref()), Some("/all".as_ref()), None]);

        let (given, cookies) =
            nodes(&["--bitcoind", "a:1,cookie=/a", "--bitcoind", "b:2", "--rpc-user", "me"]).unwrap();
        let users: Vec<_> = given.iter().map(|node| node.user.as_deref()).collect();
        assert_eq!((users, cookies.paths().count()), (vec![None, Some("me")], 1));

        let both = nodes(&["--bitcoind", "http://me:s3cret@a:1,cookie=/a"]).unwrap_err().to_string();
        assert!(both.contains("http://a:1 has both a user and the cookie file /a"), "{both}");
        assert!(!both.contains("s3cret"), "{both}");
    }
}
