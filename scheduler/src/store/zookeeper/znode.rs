//! The content of ZooKeeper's nodes: JSON, which people can read with `zkCli`, too.
//!
//! ```text
//! PATH/framework                     the framework, and the sums of retired tasks
//! PATH/shards/NN/miner-worker-7      a task (at first only its launch intent) and all its accounts
//! PATH/shards/NN/miner-server-1+0    that server's accounts of miners that are not tasks
//! PATH/shards/NN/avoided+HEX         an agent to avoid
//! PATH/shards/NN/controls            what holds because operators have said so
//! ```
//!
//! Shards limit the number of children per node: a client accepts at most one million bytes of child names.

use serde::{Deserialize, Serialize};
use task::{ServerAddress, Totals};

use crate::attributes::Attributes;
use crate::journal::{
    Account, Assignment, AvoidedAgent, Controls, Entry, FrameworkRecord, Origin, TaskRecord,
};
use crate::store::totals_json::{RetiredJson, StateName, SumJson, TotalsJson};
use crate::task_id::{TaskKind, task_number};

/// The format of the tree that this program writes. The framework node contains this number.
pub(super) const FORMAT: u32 = 2;
/// The name of the node with the state of the framework.
pub(super) const FRAMEWORK: &str = "framework";
/// The parent node of the shards.
pub(super) const SHARDS: &str = "shards";
/// The number of shards over which nodes are distributed.
pub(super) const SHARD_COUNT: u32 = 100;
/// In format 1, the nodes of all tasks were children of this node. After the conversion to format 2, they stay there as a
/// backup.
pub(super) const TASKS_1: &str = "tasks";
/// The name of the node that keeps a copy of format 1's framework node as a backup.
pub(super) const FRAMEWORK_1: &str = "framework-format-1";

/// A node's path, relative to the schedulers' common path.
pub(super) fn node_path(name: &str) -> String {
    match name {
        FRAMEWORK | FRAMEWORK_1 => name.to_owned(),
        _ => format!("{}/{name}", shard_path(shard(name))),
    }
}

/// A shard's path, relative to the schedulers' common path.
pub(super) fn shard_path(shard: u32) -> String {
    format!("{SHARDS}/{shard:02}")
}

/// The number of a node's shard: the FNV-1a hash of the node's name, modulo the number of shards.
pub(super) fn shard(name: &str) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, hash) % SHARD_COUNT
}

/// The name of an avoided agent's node. It is hexadecimal because an agent's name may contain any character.
pub(super) fn avoided_name(agent: &str) -> String {
    format!("{AVOIDED}{}", hex::encode(agent))
}

/// Each avoided agent has a ZooKeeper node. The node's name begins with this prefix.
pub(super) const AVOIDED: &str = "avoided+";

/// The name of the node with what holds because operators have said so. Earlier versions of format 2 ignore it.
pub(super) const CONTROLS: &str = "controls";

/// The number of the storage format. In every format, the framework node's content has this field.
#[derive(Deserialize)]
pub(super) struct FormatNode {
    pub format: u32,
}

/// The node `framework`: all state except tasks, accounts, avoided agents and controls. In storage format 1, the fields `retired` and `sum`
/// have other names. They may be missing there, because the oldest versions of this program did not write them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FrameworkNode {
    pub format: u32,
    /// `None` after the framework was torn down.
    pub framework: Option<FrameworkRecord>,
    pub leader: Option<Leader>,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    pub peak_workers: u64,
    #[serde(default, alias = "past")]
    pub retired: RetiredJson,
    /// The sum of all accounts that retired tasks reported. These accounts are no longer in other ZooKeeper nodes.
    #[serde(default, alias = "folded")]
    pub sum: SumJson,
    #[serde(default)]
    pub specification_key: Option<String>,
}

/// The scheduler that leads, or that led last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The random name of this scheduler's state folder. While this scheduler leads, each share is stored only in that folder;
    /// ZooKeeper has only totals.
    pub folder: String,
    /// The host name of the scheduler's machine.
    pub host: String,
    /// When this scheduler began to lead, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// The content of a ZooKeeper node. It is either a task with all its accounts, or some accounts of miners that are not tasks, or
/// an agent to avoid, or what holds because operators have said so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoided: Option<AvoidedAgent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<Controls>,
}

impl Node {
    /// Converts a node of format 1, which used two fields differently: 0 CPUs meant a task that was found running, and
    /// `server` held the id of a server task or the URL of a pool.
    pub fn converted_from_format_1(mut self) -> Self {
        if let Some(task) = &mut self.task {
            task.cpus_milli = task.cpus_milli.filter(|cpus| *cpus > 0);
            task.pool = task.server.take_if(|server| task_number(server).is_none());
        }
        self
    }
}

/// The JSON of a [`TaskRecord`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskJson {
    id: String,
    kind: TaskKind,
    agent: String,
    host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_url: Option<String>,
    /// The id of the server task at which a worker mines; `None` for a server task, and for a worker that mines at an external
    /// pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The URL of the external pool at which a worker mines; `None` for a server task, and for a worker that mines at a server
    /// task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    /// The task's CPU in thousandths; `None` for a task that was found running without a record of its launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpus_milli: Option<u64>,
    /// The address of a server task: host, Stratum port, HTTP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<(String, u16, u16)>,
    attributes: Attributes,
    state: Option<StateName>,
    closed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    specification: Option<String>,
}

impl From<TaskRecord> for TaskJson {
    fn from(task: TaskRecord) -> Self {
        let (server, pool) = match task.assignment {
            Some(Assignment::Server(id)) => (Some(id), None),
            Some(Assignment::Pool(url)) => (None, Some(url)),
            None => (None, None),
        };
        TaskJson {
            id: task.id,
            kind: task.kind,
            agent: task.agent,
            host: task.host,
            agent_url: task.agent_url,
            server,
            pool,
            cpus_milli: match task.origin {
                Origin::Launched { cpus_milli } => Some(cpus_milli),
                Origin::Unrecorded => None,
            },
            address: task.address.map(|it| (it.host, it.stratum_port, it.http_port)),
            attributes: task.attributes,
            state: task.state.map(StateName),
            closed: task.closed,
            specification: task.specification,
        }
    }
}

impl From<TaskJson> for TaskRecord {
    fn from(task: TaskJson) -> Self {
        let address = |(host, stratum_port, http_port)| ServerAddress { host, stratum_port, http_port };
        TaskRecord {
            id: task.id,
            kind: task.kind,
            agent: task.agent,
            host: task.host,
            agent_url: task.agent_url,
            assignment: task.server.map(Assignment::Server).or(task.pool.map(Assignment::Pool)),
            origin: task.cpus_milli.map_or(Origin::Unrecorded, |cpus_milli| Origin::Launched { cpus_milli }),
            address: task.address.map(address),
            attributes: task.attributes,
            state: task.state.map(|StateName(state)| state),
            closed: task.closed,
            specification: task.specification,
        }
    }
}

/// The JSON of an [`Account`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AccountJson {
    /// The id of the task that reported the account.
    pub by: String,
    pub kind: TaskKind,
    pub worker: String,
    pub sequence: u64,
    #[serde(flatten, with = "TotalsJson")]
    pub totals: Totals,
    pub rows_omitted: u64,
}

impl From<Account<'_>> for AccountJson {
    fn from(account: Account<'_>) -> Self {
        let Entry { sequence, totals, rows_omitted } = account.entry;
        AccountJson {
            by: account.reporter.to_owned(),
            kind: account.kind,
            worker: account.worker.to_owned(),
            sequence,
            totals,
            rows_omitted,
        }
    }
}

impl AccountJson {
    pub fn account(&self) -> Account<'_> {
        let entry = Entry { sequence: self.sequence, totals: self.totals, rows_omitted: self.rows_omitted };
        Account { reporter: &self.by, kind: self.kind, worker: &self.worker, entry }
    }
}
