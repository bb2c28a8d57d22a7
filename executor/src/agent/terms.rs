//! The words in which [`State`](super::state::State) speaks with the I/O around it.

use std::time::Duration;

use mesos::env::ExecutorEnv;
use mesos::executor::{Event, Identity};
use mesos::v1::executor::Call;
use task::{Instruction, Report, TaskSpec};

use crate::runner::{TaskError, TaskEvent};

/// What the executor knows about itself from its environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its own and its framework's id.
    pub identity: Identity,
    /// Whether the agent keeps executors over its restarts.
    pub checkpoint: bool,
    /// How long to wait for a restarted agent.
    pub recovery_timeout: Duration,
    /// From SHUTDOWN to the agent's SIGKILL.
    pub shutdown_grace: Duration,
}

impl From<&ExecutorEnv> for Profile {
    fn from(env: &ExecutorEnv) -> Profile {
        Profile {
            identity: env.identity.clone(),
            checkpoint: env.checkpoint,
            recovery_timeout: env.recovery_timeout,
            shutdown_grace: env.shutdown_grace_period,
        }
    }
}

/// What may happen.
#[derive(Debug)]
pub enum Input {
    /// The agent said something.
    Mesos(Box<Event>),
    /// The subscription ended or could not be made.
    Disconnected(String),
    /// The agent refuses this executor for good.
    Disowned(String),
    /// The operating system asks us to end.
    Signal,
    /// The task said something.
    Task(TaskEvent),
    /// The task has ended.
    Ended(Result<Report, TaskError>),
    /// [`State::deadline`](super::state::State::deadline) may have passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Subscribe with [`State::subscription`](super::state::State::subscription), after a short pause.
    Subscribe,
    /// Send a call.
    Send(Box<Call>),
    /// Start the task.
    Launch {
        /// Its id.
        task_id: String,
        /// What to do.
        spec: Box<TaskSpec>,
        /// Its time to end when it is killed.
        grace: Duration,
    },
    /// Pass an instruction on to the task.
    Instruct(Instruction),
    /// Ask the task to end.
    Stop,
    /// End the task by force.
    Abort,
    /// End this process; with an error if it ends badly.
    Exit(Result<(), String>),
}
