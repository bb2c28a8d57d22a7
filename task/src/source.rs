//! The source of the pool server's blocks.

use std::time::Duration;

use crate::PoolAccess;

/// The source of the pool server's blocks. The command line produces this specification, a server task carries it, and the
/// pool creates the running source from it.
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

/// The specification of mining on Bitcoin nodes. The type is also the wire form.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeSpec {
    /// The nodes of one network, the preferred one first.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<NodeAccess>,
    /// The address that all blocks pay. `None`: a block pays the worker that found it, whose user name is `ADDRESS` or
    /// `ADDRESS.WORKER`.
    #[prost(string, optional, tag = "2")]
    pub address: Option<String>,
    /// Bytes to append to the script of each coinbase.
    #[prost(bytes = "vec", tag = "3")]
    pub tag: Vec<u8>,
    /// Testnets allow a block of minimum difficulty if its time is more than 20 minutes after its parent's. If this flag is set,
    /// such blocks are made early: their time is in the future, but nodes accept it.
    #[prost(bool, tag = "4")]
    pub early_min_difficulty: bool,
}

/// How to connect to a node. The type is also the wire form. `Debug` omits user and password.
#[derive(Clone, PartialEq, Eq, prost::Message, derive_more::Debug)]
#[prost(skip_debug)]
pub struct NodeAccess {
    /// `http://HOST:PORT` as the pool server sees it, without user and password.
    #[prost(string, tag = "1")]
    pub url: String,
    /// User name, if the node requires one.
    #[prost(string, optional, tag = "2")]
    #[debug(skip)]
    pub user: Option<String>,
    /// The user's password; `None` means an empty password.
    #[prost(string, optional, tag = "3")]
    #[debug(skip)]
    pub password: Option<String>,
}

/// The specification of upstream pools. `Debug` omits the password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct UpstreamSpec {
    /// The URLs of the pools, such as `stratum+tcp://host:3333`, the preferred one first.
    pub pools: Vec<String>,
    /// Stratum user name, the same for all pools.
    pub user: String,
    /// Stratum password, the same for all pools.
    #[debug(skip)]
    pub password: String,
    /// How to connect to the pools.
    pub access: PoolAccess,
}
