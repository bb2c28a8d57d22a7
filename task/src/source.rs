//! Where the pool server's blocks come from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::PoolAccess;

/// Where the pool server's blocks come from. The command line produces this, a server task carries it, and the pool makes
/// the running source of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockSourceSpec {
    /// The pool's built-in chain, in memory.
    Builtin {
        /// The desired time between two blocks. The chain adapts its difficulty to the hashrate.
        block_interval: Duration,
    },
    /// Bitcoin nodes.
    Node(NodeSpec),
    /// An upstream pool, whose work is distributed among the workers.
    Upstream(UpstreamSpec),
}

/// Bitcoin nodes to mine on, and what their blocks shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Nodes on one network, the best first.
    pub nodes: Vec<NodeAccess>,
    /// Whom blocks pay.
    pub payout: Payout,
    /// Bytes for the end of each coinbase's script; cut to what fits.
    pub tag: Vec<u8>,
    /// When to make blocks of the lowest difficulty on testnets.
    pub min_difficulty_time: MinDifficultyTime,
}

/// How to reach a node's JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAccess {
    /// `http://HOST:PORT` as the pool server sees it, without user and password.
    pub url: String,
    /// How the pool proves to the node who it is.
    pub credentials: NodeCredentials,
}

/// The credentials for a node's JSON-RPC. Their debug form omits the password.
#[derive(Clone, Default, PartialEq, Eq, derive_more::Debug)]
pub enum NodeCredentials {
    /// The node asks for none.
    #[default]
    None,
    /// User and password: `rpcuser`/`rpcpassword` or `rpcauth` of Bitcoin Core. bcoin takes any user with its API key.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        #[debug(skip)]
        password: String,
    },
    /// The file that Bitcoin Core writes at each start, `.cookie` in the network's data directory. It is a file of this
    /// machine, so the wire form leaves it out: a scheduler sends its content as [`NodeCredentials::Basic`] instead.
    CookieFile(PathBuf),
}

/// Whom blocks pay. There is no fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payout {
    /// All blocks pay this address.
    Address(String),
    /// A block pays the address in the name of the worker who found it: `ADDRESS` or `ADDRESS.WORKER`. The wire form has
    /// no address then.
    WorkerName,
}

/// When to use the lowest difficulty of testnets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinDifficultyTime {
    /// Once 20 minutes have really passed since the last block.
    #[default]
    Honest,
    /// As soon as nodes accept a header whose time is 20 minutes after its parent's: up to two hours ahead.
    Early,
}

/// A word that is neither `honest` nor `early`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is neither honest nor early")]
pub struct MinDifficultyTimeError(String);

impl FromStr for MinDifficultyTime {
    type Err = MinDifficultyTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "honest" => Ok(Self::Honest),
            "early" => Ok(Self::Early),
            _ => Err(MinDifficultyTimeError(text.to_owned())),
        }
    }
}

impl fmt::Display for MinDifficultyTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Honest => "honest",
            Self::Early => "early",
        })
    }
}

/// The specification of upstream pools. Its debug form omits the password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct UpstreamSpec {
    /// URLs such as `stratum+tcp://host:3333`, in order of preference.
    pub pools: Vec<String>,
    /// Stratum user name at all of them.
    pub user: String,
    /// Stratum password at all of them.
    #[debug(skip)]
    pub password: String,
    /// How to connect to them.
    pub access: PoolAccess,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_difficulty_times_are_read_as_they_are_written() {
        for time in [MinDifficultyTime::Honest, MinDifficultyTime::Early] {
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert!("x".parse::<MinDifficultyTime>().unwrap_err().to_string().contains("\"x\""));
    }

    #[test]
    fn debug_shows_no_password() {
        let basic = NodeCredentials::Basic { user: "me".into(), password: "secret".into() };
        let shown = format!("{basic:?}");
        assert!(shown.contains("me") && !shown.contains("secret"), "{shown}");
    }
}
