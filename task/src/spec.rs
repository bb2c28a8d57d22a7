//! The specification of a task.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::{BlockSourceSpec, Intervals};

/// The content of `TaskInfo.data`.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSpec {
    /// How often the task sends live messages and reports, until it receives other intervals. A report is sent only if
    /// something has changed; a block is reported immediately.
    pub intervals: Intervals,
    /// The maximum number of status updates of the task, including a last one with `TASK_FINISHED`. A new task then replaces
    /// this one. `None`: no limit, as in specifications without this field.
    pub max_updates: Option<NonZeroU64>,
    /// Server or worker.
    pub kind: ProgramSpec,
}

/// The two kinds of task.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgramSpec {
    /// The pool server; one per framework.
    Server(ServerSpec),
    /// A miner.
    Worker(WorkerSpec),
}

/// The specification of a server task.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSpec {
    /// The host to which workers try to connect first. It is the offer's `hostname` or the agent's IP address.
    pub host: String,
    /// Stratum port, taken from the offer.
    pub stratum_port: u16,
    /// HTTP port, taken from the offer.
    pub http_port: u16,
    /// The desired time between two shares of one worker.
    pub share_interval: Duration,
    /// The source of the blocks.
    pub block_source: BlockSourceSpec,
    /// The folder of accounts and found blocks, as the task sees it. `None`: a folder in the sandbox, deleted with the sandbox.
    pub data_dir: Option<String>,
    /// The number of connections for which the task has memory; `None`: the pool's default.
    pub max_connections: Option<u32>,
}

/// The specification of a worker task. `Debug` omits the password.
#[derive(Clone, PartialEq, derive_more::Debug)]
pub struct WorkerSpec {
    /// The URL of the pool, such as `stratum+tcp://host:3333`.
    pub pool: String,
    /// Further URLs of the same pool, best first. Each is tried if no earlier URL can be reached. Executors that do not support
    /// this field use only [`pool`](Self::pool).
    pub alternatives: Vec<String>,
    /// Stratum user name; for our own pool server this is the task id.
    pub user: String,
    /// Stratum password.
    #[debug(skip)]
    pub password: String,
    /// How to connect to the pool.
    pub access: PoolAccess,
    /// The CPUs of task and executor together. This number determines how many threads hash, and for which fraction of the time
    /// each thread works.
    pub cpus: f64,
    /// The name of the hash backend, or `None` for the fastest.
    pub backend: Option<String>,
}

/// How to connect to a pool. The default is a direct connection that trusts the system's certificate authorities. `Debug`
/// omits the user and password of the proxy.
#[derive(Clone, Default, PartialEq, Eq, derive_more::Debug)]
pub struct PoolAccess {
    /// Certificates, in PEM format, of the authorities to trust instead of the system's.
    #[debug("{}", authorities.is_some())]
    pub authorities: Option<String>,
    /// SHA-256 fingerprints of the pool's certificate. If there are any, they replace all authorities.
    pub fingerprints: Vec<[u8; 32]>,
    /// A SOCKS5 proxy to connect through.
    pub proxy: Option<ProxyAccess>,
    /// The user's rules for pools.
    pub rules: PoolRules,
}

/// The user's rules for pools: the optional requests that are left out, and when a pool is left. Executors that do not know them
/// send all requests, and leave no pool because of its jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolRules {
    /// `mining.extranonce.subscribe`, and the extension of this meaning, are left out.
    pub no_extranonce: bool,
    /// `mining.suggest_difficulty` is left out.
    pub no_suggest: bool,
    /// No version bits are rolled, so that `mining.configure` is left out unless it asks for a minimum difficulty.
    pub no_version_rolling: bool,
    /// A pool without a new job for this long is left if there is another one. `None`: the time follows from its earlier jobs.
    pub job_timeout: Option<Duration>,
}

/// A SOCKS5 proxy. `Debug` omits user and password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct ProxyAccess {
    /// Host name or IP address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User and password.
    #[debug(skip)]
    pub credentials: Option<(String, String)>,
}
