//! What the scheduler wants a task to do.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// The content of `TaskInfo.data`.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    /// The shortest time between two reports, until the task is told another one; nothing is sent while nothing changed, a
    /// block is reported at once.
    pub report_interval: Duration,
    /// Time between two [`Live`](crate::Live) messages, until the task is told another one.
    pub live_interval: Duration,
    /// So many updates at most are made of the task, the last one with `TASK_FINISHED`; then a fresh task is to take
    /// its place. `None`: it is never renewed, which is what specifications without this field mean.
    pub max_updates: Option<NonZeroU64>,
    /// Server or worker.
    pub kind: TaskKind,
}

/// The two kinds of task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskKind {
    /// The pool server; one per framework.
    Server(ServerSpec),
    /// A miner.
    Worker(WorkerSpec),
}

/// What a server task needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSpec {
    /// The name of its host as workers should dial it: the offer's `hostname`.
    pub host: String,
    /// Stratum port, taken from the offer.
    pub stratum_port: u16,
    /// HTTP port, taken from the offer.
    pub http_port: u16,
    /// Wanted time between two shares of one worker.
    pub share_interval: Duration,
    /// Where blocks come from.
    pub chain: Chain,
    /// The folder of accounts and found blocks, as the task sees it; `None`: in its sandbox, with which it goes.
    pub data_dir: Option<String>,
    /// Connections at once that its memory is enough for; `None`: as many as a pool admits by default.
    pub max_connections: Option<u32>,
}

/// Where the pool server's blocks come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// A chain of its own, in memory.
    Builtin {
        /// Wanted time between two blocks; difficulty follows the hashrate to keep it.
        block_interval: Duration,
    },
    /// Bitcoin nodes.
    Node(NodeSpec),
    /// A pool, whose work is shared out.
    Upstream(UpstreamSpec),
}

/// What a server that shares out the work of a pool needs to know. Its debug form leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamSpec {
    /// Pools' URLs such as `stratum+tcp://host:3333`, the best first.
    pub pools: Vec<String>,
    /// Stratum user name at all of them.
    pub user: String,
    /// Stratum password at all of them.
    pub password: String,
    /// How to connect to them.
    pub access: PoolAccess,
}

impl fmt::Debug for UpstreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamSpec")
            .field("pools", &self.pools)
            .field("user", &self.user)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What a server that mines on Bitcoin nodes needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Nodes on one network, the best first.
    pub nodes: Vec<NodeAccess>,
    /// Address that all blocks pay.
    pub address: String,
    /// Bytes for the end of each coinbase's script.
    pub tag: Vec<u8>,
    /// On testnets: make blocks of the lowest difficulty as soon as nodes take them.
    pub early_min_difficulty: bool,
}

/// How to reach a node. Its debug form leaves user and password out.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeAccess {
    /// `http://HOST:PORT` as the server's agent sees it, without user and password.
    pub url: String,
    /// User and password, if it wants them.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for NodeAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a worker task needs to know. Its debug form leaves the password out.
#[derive(Clone, PartialEq)]
pub struct WorkerSpec {
    /// The pool's URL, such as `stratum+tcp://host:3333`.
    pub pool: String,
    /// Stratum user name; for our own pool server this is the task id.
    pub user: String,
    /// Stratum password.
    pub password: String,
    /// How to connect to the pool.
    pub access: PoolAccess,
    /// CPUs given to task and executor together; it decides threads and duty.
    pub cpus: f64,
    /// Name of the hash backend, or `None` for the fastest.
    pub backend: Option<String>,
}

impl fmt::Debug for WorkerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSpec")
            .field("pool", &self.pool)
            .field("user", &self.user)
            .field("access", &self.access)
            .field("cpus", &self.cpus)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

/// How to connect to a pool; the default is a plain connection, or one that the system's authorities vouch for. Its
/// debug form leaves the password out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PoolAccess {
    /// Certificates, in PEM format, of the authorities to trust instead of the system's.
    pub authorities: Option<String>,
    /// SHA-256 over the pool's certificate; trusted instead of any authority if there is one.
    pub fingerprints: Vec<[u8; 32]>,
    /// A SOCKS5 proxy to connect through.
    pub proxy: Option<ProxyAccess>,
}

/// A SOCKS5 proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAccess {
    /// Host name or IP address; IPv6 without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for PoolAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = self.proxy.as_ref().map(|proxy| (&proxy.host, proxy.port));
        f.debug_struct("PoolAccess")
            .field("authorities", &self.authorities.is_some())
            .field("fingerprints", &self.fingerprints.len())
            .field("proxy", &proxy)
            .finish()
    }
}

impl fmt::Debug for ProxyAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyAccess")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
