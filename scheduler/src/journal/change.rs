//! The changes to the records.

use mesos::v1::TaskState;
use serde::{Deserialize, Serialize};
use task::Report;

use super::command::RecordedCommand;
use super::framework_record::Removal;
use super::task_record::TaskRecord;
use crate::task_id::TaskKind;

/// The number of a change that is being persisted. The store reports this number when the change is durable.
pub type ChangeId = u64;

/// One change of the records. [`apply`](super::apply()) carries it out. Tasks are identified by their ids.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A framework with this id has begun. All later changes belong to it.
    Framework(String),
    /// The framework has ended.
    FrameworkEnded,
    /// The framework has subscribed at the master with this failover timeout.
    FailoverTimeout {
        /// The failover timeout in milliseconds.
        ms: u64,
    },
    /// Whether the scheduler is about to send TEARDOWN. It is persisted before TEARDOWN is sent, and taken back if the framework
    /// goes on all the same.
    TearingDown(bool),
    /// The master has removed the framework. The framework's records are kept.
    FrameworkRemoved(Removal),
    /// A task is about to be launched, or was found without a record.
    Task(TaskRecord),
    /// A task was not launched after all.
    Forget(String),
    /// A status update of a task.
    Status(StatusRecord),
    /// A worker is assigned to another server.
    Assign {
        /// The worker's task id.
        task: String,
        /// The task id of the worker's new server.
        server: String,
    },
    /// The URL of a task's agent has become known, or has changed.
    AgentUrl {
        /// The task's id.
        task: String,
        /// The agent's URL.
        url: String,
    },
    /// A server task has ended. Its accounts of miners that are not our tasks are aggregated into one, except for the
    /// [`UNTRACKED_MINERS`](super::UNTRACKED_MINERS) accounts with the most accepted shares.
    AggregateUntrackedMiners(String),
    /// These tasks ended long ago. Their records are removed, except for the task numbers in their ids, the number of tasks in
    /// each state, and the sums of their accounts.
    Retire(Vec<String>),
    /// The number of workers that run at the same time has risen to this new maximum.
    Peak(u64),
    /// Nothing is to be launched on this agent.
    AvoidAgent(AvoidedAgent),
    /// Tasks may be launched again on the agent that was avoided under this id or host name.
    AllowAgent(String),
    /// An operator has told the scheduler to do something.
    Command(Box<RecordedCommand>),
}

/// The recorded content of a status update.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusRecord {
    /// The task's id.
    pub task: String,
    /// Whether the task is a server or a worker.
    pub kind: TaskKind,
    /// The state in the update; `None` if this program does not know it.
    pub state: Option<TaskState>,
    /// Mesos' name of the reason in the update, if any.
    pub reason: Option<String>,
    /// Whether this is the final update that the task's agent sends, rather than one that the master generated.
    pub last: bool,
    /// The message of Mesos or of the executor in the update, as text for the user.
    pub message: Option<String>,
    /// The report of the task, if the update has one.
    pub report: Option<Report>,
}

impl StatusRecord {
    /// The record of an update with nothing but a state. Its field `last` is false.
    pub fn new(task: String, kind: TaskKind, state: Option<TaskState>) -> Self {
        Self { task, kind, state, reason: None, last: false, message: None, report: None }
    }
}

/// An agent on which nothing is to be launched, until it is allowed again. Its JSON is part of the format of the tree in ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvoidedAgent {
    /// The agent's id or host name.
    pub agent: String,
    /// Why the agent is avoided, as text for the user.
    pub why: String,
    /// Since when the agent is avoided, in milliseconds since the Unix epoch.
    pub since_ms: u64,
}
