//! What is written down before anything depends on it. Knows nothing of how it is stored.

use std::collections::BTreeMap;

use mesos::v1::TaskState;
use serde::{Deserialize, Serialize};
use task::{Report, ServerAddress};

use crate::kind::Kind;
use crate::ledger::Ledger;
use crate::numbers::Numbers;

/// Names a change that is on its way to the disk; handed back when it has arrived. Rises by one.
pub type Ticket = u64;

/// A task, written down before it is launched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// `miner-server-N` or `miner-worker-N`; also the executor's id and the worker's Stratum user name.
    pub id: String,
    /// Server or worker.
    pub kind: Kind,
    /// Id of the agent.
    pub agent: String,
    /// Host name of the agent.
    pub host: String,
    /// For a worker: id of the server task that it works for, or URL of the pool.
    pub server: Option<String>,
    /// Thousandths of a CPU, executor and task together.
    pub cpus_milli: u64,
    /// For a server: where it will listen.
    #[serde(default, with = "address")]
    pub address: Option<ServerAddress>,
    /// The agent's attributes as text, for constraints.
    pub attributes: BTreeMap<String, String>,
    /// The last state that Mesos gave, by Mesos' name (`TASK_RUNNING`); `None` before the first.
    pub state: Option<String>,
    /// Its own last update was recorded: nothing new can come, at most the same once more.
    pub closed: bool,
}

/// A server's address as a triple.
mod address {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use task::ServerAddress;

    pub fn serialize<S: Serializer>(address: &Option<ServerAddress>, to: S) -> Result<S::Ok, S::Error> {
        let triple = |a: &ServerAddress| (a.host.clone(), a.stratum_port, a.http_port);
        address.as_ref().map(triple).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ServerAddress>, D::Error> {
        let triple: Option<(String, u16, u16)> = Option::deserialize(from)?;
        Ok(triple.map(|(host, stratum_port, http_port)| ServerAddress { host, stratum_port, http_port }))
    }
}

/// One change of what is on disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The master has given the framework this id; all that follows belongs to it.
    Framework {
        /// The id.
        id: String,
    },
    /// The framework is no more; the next start makes a new one.
    FrameworkEnded,
    /// A task is about to be launched, or was found running.
    Task(TaskRecord),
    /// A task was never launched, since its offer went away first.
    Forget {
        /// Its id.
        task: String,
    },
    /// A status update.
    Status(StatusRecord),
    /// A worker has gone to another server.
    Employer {
        /// Its id.
        task: String,
        /// The server's.
        server: String,
    },
    /// A server task ended for good: its accounts of all but the first [`OUTSIDERS`](crate::ledger::OUTSIDERS)
    /// workers that are no tasks become one.
    FoldOutsiders {
        /// The server task's id.
        server: String,
    },
    /// These tasks ended long ago: of them only their numbers, their states as counts and the sums of their accounts
    /// are needed any more.
    Past {
        /// Their ids.
        tasks: Vec<String>,
    },
    /// So many workers mine at once: more than ever before.
    Peak(u64),
}

/// The content of a status update.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusRecord {
    /// The task's id.
    pub task: String,
    /// Server or worker.
    pub kind: Kind,
    /// Mesos' name of the state, if this program knows it.
    pub state: Option<String>,
    /// Mesos' name of the reason, if any.
    pub reason: Option<String>,
    /// Whether it is the task's own last update, and not only what the master knows of its end.
    pub last: bool,
    /// Mesos' or the executor's words for people.
    pub message: Option<String>,
    /// The task's account of its work.
    pub report: Option<Report>,
}

/// What an earlier life of the scheduler left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The framework to go on with.
    pub framework: Option<FrameworkRecord>,
    /// Its tasks, those that ended too.
    pub tasks: Vec<TaskRecord>,
    /// What is left of others that ended.
    pub past: PastRecord,
    /// Its accounts.
    pub ledger: Ledger,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    /// The most workers that mined at once.
    pub peak_workers: u64,
}

impl Recovered {
    /// How many of its tasks have not ended, as far as is known.
    pub fn live_tasks(&self) -> usize {
        let state = |task: &TaskRecord| task.state.as_deref().and_then(TaskState::from_str_name);
        self.tasks.iter().filter(|task| state(task).is_none_or(|state| !state.is_terminal())).count()
    }
}

/// What is left of tasks that ended long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRecord {
    /// Those whose last update is recorded.
    pub done: Numbers,
    /// All others.
    pub lost: Numbers,
    /// How many of them ended in each state, by Mesos' names.
    pub states: BTreeMap<String, u64>,
}

/// A framework that the master knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkRecord {
    /// Its id.
    pub id: String,
    /// When it was first subscribed, milliseconds since the Unix epoch.
    pub started_ms: u64,
}
