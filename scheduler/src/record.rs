//! What is written down before anything depends on it. Knows nothing of how it is stored.

use std::collections::BTreeMap;

use task::{Report, ServerAddress};

use crate::kind::Kind;
use crate::ledger::Ledger;

/// Names a change that is on its way to the disk; handed back when it has arrived. Rises by one.
pub type Ticket = u64;

/// A task, written down before it is launched.
#[derive(Clone, Debug, PartialEq)]
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
    pub address: Option<ServerAddress>,
    /// The agent's attributes as text, for constraints.
    pub attributes: BTreeMap<String, String>,
    /// The last state that Mesos gave, by Mesos' name (`TASK_RUNNING`); `None` before the first.
    pub state: Option<String>,
    /// Its own last update was recorded: nothing new can come, at most the same once more.
    pub closed: bool,
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
    /// A server task ended for good: its accounts of all but the first [`OUTSIDERS`](crate::ledger::OUTSIDERS)
    /// workers that are no tasks become one.
    FoldOutsiders {
        /// The server task's id.
        server: String,
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
    /// Its accounts.
    pub ledger: Ledger,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    /// The most workers that mined at once.
    pub peak_workers: u64,
}

/// A framework that the master knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkRecord {
    /// Its id.
    pub id: String,
    /// When it was first subscribed, milliseconds since the Unix epoch.
    pub started_ms: u64,
}
