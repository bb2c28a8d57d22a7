//! The changes of what is kept.

use mesos::v1::TaskState;
use task::Report;

use super::task_record::TaskRecord;
use crate::kind::Kind;

/// Names a change that is on its way to the disk; handed back when it has arrived. Rises by one.
pub type Ticket = u64;

/// One change of what is kept. [`apply`](super::apply()) says what it means.
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
    Assign {
        /// Its id.
        task: String,
        /// The server's.
        server: String,
    },
    /// A server task ended for good: its accounts of all but the first [`UNTRACKED_MINERS`](super::UNTRACKED_MINERS)
    /// miners that are no tasks become one.
    AggregateUntrackedMiners {
        /// The server task's id.
        server: String,
    },
    /// These tasks ended long ago: of them only their numbers, their states as counts and the sums of their accounts
    /// are needed any more.
    Retire {
        /// Their ids.
        tasks: Vec<String>,
    },
    /// So many workers mine at once: more than ever before.
    Peak(u64),
    /// Nothing is to be launched on an agent.
    AvoidAgent(AvoidedAgent),
    /// Tasks may be launched on an agent again.
    AllowAgent {
        /// Its id or host name, as it was avoided.
        agent: String,
    },
}

/// The content of a status update.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusRecord {
    /// The task's id.
    pub task: String,
    /// Server or worker.
    pub kind: Kind,
    /// The state, if this program knows it.
    pub state: Option<TaskState>,
    /// Mesos' name of the reason, if any.
    pub reason: Option<String>,
    /// Whether it is the task's own last update, and not only what the master knows of its end.
    pub last: bool,
    /// Mesos' or the executor's words for people.
    pub message: Option<String>,
    /// The task's account of its work.
    pub report: Option<Report>,
}

/// An agent where nothing is to be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvoidedAgent {
    /// Its id or host name.
    pub agent: String,
    /// Why, for people.
    pub why: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
}
