//! What the nodes in ZooKeeper hold: JSON, for people with `zkCli`, too.
//!
//! ```text
//! PATH/framework                     the framework, and sums of tasks that retired
//! PATH/shards/NN/miner-worker-7      a task (its launch intent, at first) and all accounts of it
//! PATH/shards/NN/miner-server-1+0    accounts of miners that are no tasks, by that server
//! PATH/shards/NN/avoided+HEX         an agent to avoid
//! ```
//!
//! Shards keep the number of children of each node low: clients accept one million bytes of names at most.

use serde::{Deserialize, Serialize};
use task::ServerAddress;

use crate::attributes::Attributes;
use crate::journal::{self, Assignment, AvoidedAgent, Entry, FrameworkRecord, Origin, TaskRecord};
use crate::store::totals_json::{RetiredJson, StateName, SumJson, TotalsJson};
use crate::task_id::{TaskKind, task_number};

/// The format that this program writes.
pub(super) const FORMAT: u32 = 2;
/// The name of the framework's node.
pub(super) const FRAMEWORK: &str = "framework";
/// The folder of the shards.
pub(super) const SHARDS: &str = "shards";
/// So many shards there are.
pub(super) const SHARD_COUNT: u32 = 100;
/// In format 1 all tasks were children of this node. They stay there as the copy.
pub(super) const TASKS_1: &str = "tasks";
/// Where the framework's node of format 1 is kept.
pub(super) const FRAMEWORK_1: &str = "framework-format-1";

/// Where a node is below PATH.
pub(super) fn place(name: &str) -> String {
    match name {
        FRAMEWORK | FRAMEWORK_1 => name.to_owned(),
        _ => format!("{}/{name}", shard_place(shard(name))),
    }
}

/// Where a shard is below PATH.
pub(super) fn shard_place(shard: u32) -> String {
    format!("{SHARDS}/{shard:02}")
}

/// The shard of a node: by the FNV-1a hash of its name, so that neighbours are spread.
pub(super) fn shard(name: &str) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, hash) % SHARD_COUNT
}

/// The name of an agent's node. Agents' names may have any character.
pub(super) fn avoided_name(agent: &str) -> String {
    format!("{AVOIDED}{}", hex::encode(agent))
}

/// What names of nodes of avoided agents begin with.
pub(super) const AVOIDED: &str = "avoided+";

/// The number of the format alone, which every format has.
#[derive(Deserialize)]
pub(super) struct FormatNode {
    pub format: u32,
}

/// The node `framework`: all but the tasks. Format 1 has other names for two fields; its first versions lack them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FrameworkNode {
    pub format: u32,
    /// None once it was torn down.
    pub framework: Option<FrameworkJson>,
    pub leader: Option<Leader>,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    pub peak_workers: u64,
    #[serde(default, alias = "past")]
    pub retired: RetiredJson,
    /// The sum of the accounts of tasks that retired.
    #[serde(default, alias = "folded")]
    pub sum: SumJson,
    #[serde(default)]
    pub specification_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FrameworkJson {
    id: String,
    started_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed_ms: Option<u64>,
}

impl From<FrameworkRecord> for FrameworkJson {
    fn from(framework: FrameworkRecord) -> Self {
        let FrameworkRecord { id, started_ms, removed_ms } = framework;
        FrameworkJson { id, started_ms, removed_ms }
    }
}

impl From<FrameworkJson> for FrameworkRecord {
    fn from(framework: FrameworkJson) -> Self {
        let FrameworkJson { id, started_ms, removed_ms } = framework;
        FrameworkRecord { id, started_ms, removed_ms }
    }
}

/// Who leads, or led last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Its state folder's own name for itself: the rows of single shares are there.
    pub folder: String,
    /// Its machine.
    pub host: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// A node in a shard: a task with all accounts of it, or some accounts of miners that are no tasks, or an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskJson>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoided: Option<AvoidedJson>,
}

impl Node {
    /// What format 1 meant by the same fields: CPU 0 was a task that had been found, and `server` had the id of a
    /// server task or the URL of a pool.
    pub fn read_as_format_1(mut self) -> Self {
        if let Some(task) = &mut self.task {
            task.cpus_milli = task.cpus_milli.filter(|cpus| *cpus > 0);
            task.pool = task.server.take_if(|server| task_number(server).is_none());
        }
        self
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskJson {
    id: String,
    kind: TaskKind,
    agent: String,
    host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_url: Option<String>,
    /// The server task that it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// The pool that it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    /// None of a task that was found running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cpus_milli: Option<u64>,
    /// Host, Stratum port, HTTP port.
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AccountJson {
    /// Who reports.
    pub by: String,
    pub kind: TaskKind,
    pub worker: String,
    pub sequence: u64,
    #[serde(flatten)]
    pub totals: TotalsJson,
    pub rows_omitted: u64,
}

impl From<journal::Account<'_>> for AccountJson {
    fn from(account: journal::Account<'_>) -> Self {
        let Entry { sequence, totals, rows_omitted } = account.entry;
        AccountJson {
            by: account.reporter.to_owned(),
            kind: account.kind,
            worker: account.worker.to_owned(),
            sequence,
            totals: totals.into(),
            rows_omitted,
        }
    }
}

impl AccountJson {
    pub fn account(&self) -> journal::Account<'_> {
        let (totals, rows_omitted) = (self.totals.into(), self.rows_omitted);
        let entry = Entry { sequence: self.sequence, totals, rows_omitted };
        journal::Account { reporter: &self.by, kind: self.kind, worker: &self.worker, entry }
    }
}

/// An agent to avoid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AvoidedJson {
    agent: String,
    why: String,
    since_ms: u64,
}

impl From<AvoidedAgent> for AvoidedJson {
    fn from(avoided: AvoidedAgent) -> Self {
        let AvoidedAgent { agent, why, since_ms } = avoided;
        AvoidedJson { agent, why, since_ms }
    }
}

impl From<AvoidedJson> for AvoidedAgent {
    fn from(avoided: AvoidedJson) -> Self {
        let AvoidedJson { agent, why, since_ms } = avoided;
        AvoidedAgent { agent, why, since_ms }
    }
}
