//! One task as it is written down.

use mesos::v1::TaskState;
use task::ServerAddress;

use crate::attributes::Attributes;
use crate::kind::Kind;

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
    /// The agent's URL, if its offer had one.
    pub agent_url: Option<String>,
    /// For a worker: whom it works for.
    pub assignment: Option<Assignment>,
    /// How it came to be known.
    pub origin: Origin,
    /// For a server: where it will listen.
    pub address: Option<ServerAddress>,
    /// The agent's attributes as text, for constraints.
    pub attributes: Attributes,
    /// The last state that Mesos gave; `None` before the first.
    pub state: Option<TaskState>,
    /// Its own last update was recorded: nothing new can come, at most the same once more.
    pub closed: bool,
    /// A keyed fingerprint of what it was told to do. `None` was written before there were fingerprints, and counts as
    /// equal to any.
    pub specification: Option<String>,
}

impl TaskRecord {
    /// Thousandths of a CPU, executor and task together; 0 of a task that was found.
    pub fn cpus_milli(&self) -> u64 {
        match self.origin {
            Origin::Launched { cpus_milli } => cpus_milli,
            Origin::Found => 0,
        }
    }

    /// The id of the server task that it works for.
    pub fn server(&self) -> Option<&str> {
        match &self.assignment {
            Some(Assignment::Server(id)) => Some(id),
            _ => None,
        }
    }
}

/// How a task came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A scheduler with these records launched it.
    Launched {
        /// Thousandths of a CPU, executor and task together.
        cpus_milli: u64,
    },
    /// It was found running and stood in no record, as after the loss of a state folder. It is to end.
    Found,
}

/// Whom a worker works for.
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
