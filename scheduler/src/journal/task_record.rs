//! The record of a task.

use mesos::v1::TaskState;
use task::ServerAddress;

use crate::attributes::Attributes;
use crate::task_id::TaskKind;

/// The record of a task, which is persisted before the task is launched.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// `miner-server-N` or `miner-worker-N`; also the executor's id and the worker's Stratum user name.
    pub id: String,
    /// Whether the task is a server or a worker.
    pub kind: TaskKind,
    /// The id of the agent.
    pub agent: String,
    /// The host name of the agent.
    pub host: String,
    /// The agent's URL, if an offer of the agent had one. It tells the agent's IP address.
    pub agent_url: Option<String>,
    /// For a worker: the server task or external pool at which it mines.
    pub assignment: Option<Assignment>,
    /// Whether the scheduler recorded the task before the launch, or found it without a record.
    pub origin: Origin,
    /// For a server: the host and the ports at which it will listen.
    pub address: Option<ServerAddress>,
    /// The agent's attributes, which constraints check.
    pub attributes: Attributes,
    /// The last state that Mesos reported; `None` before the first update.
    pub state: Option<TaskState>,
    /// Whether the final update from the task's agent is recorded. Later updates can only repeat it.
    pub closed: bool,
    /// A keyed fingerprint of the task's specification. `None` comes from an earlier version without fingerprints, and matches
    /// any fingerprint.
    pub specification: Option<String>,
}

impl TaskRecord {
    /// The record of a new task.
    pub fn new(id: String, agent: String, host: String, origin: Origin) -> Self {
        Self {
            kind: TaskKind::of_id(&id),
            id,
            agent,
            host,
            agent_url: None,
            assignment: None,
            origin,
            address: None,
            attributes: Attributes::default(),
            state: None,
            closed: false,
            specification: None,
        }
    }

    /// Thousandths of a CPU, executor and task together; 0 if they are not known.
    pub fn cpus_milli(&self) -> u64 {
        match self.origin {
            Origin::Launched { cpus_milli } => cpus_milli,
            Origin::Unrecorded => 0,
        }
    }

    /// The id of the server task that a worker works for.
    pub fn server(&self) -> Option<&str> {
        match &self.assignment {
            Some(Assignment::Server(id)) => Some(id),
            _ => None,
        }
    }
}

/// Whether the scheduler recorded a task before the launch, or found it without a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The scheduler recorded the task, and then launched it.
    Launched {
        /// Thousandths of a CPU, executor and task together.
        cpus_milli: u64,
    },
    /// The task was found without a record, for example after the loss of the state folder. It is to be ended.
    Unrecorded,
}

/// The server or pool that a worker works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// The server task with this id.
    Server(String),
    /// The pool at this URL.
    Pool(String),
}

impl Assignment {
    /// The server task's id, or the pool's URL.
    pub fn name(&self) -> &str {
        match self {
            Assignment::Server(name) | Assignment::Pool(name) => name,
        }
    }
}
