//! The events and effects of the executor's [`State`](super::state::State).

use std::time::Duration;

use mesos::executor::Event as AgentEvent;
use mesos::v1::executor::Call;
use task::{Instruction, Report, TaskSpec};

use crate::runner::{TaskError, TaskEvent};

/// An event for the executor.
#[derive(Debug)]
pub enum Event {
    /// The agent sent an event.
    Agent(Box<AgentEvent>),
    /// The subscription ended or failed, with this reason.
    Disconnected(String),
    /// The agent refuses this executor permanently, with this reason.
    Refused(String),
    /// The operating system asked this process to terminate.
    Signal,
    /// The task sent an event.
    Task(TaskEvent),
    /// The task has ended.
    TaskEnded(Result<Report, TaskError>),
    /// [`State::next_deadline`](super::state::State::next_deadline) has passed.
    Tick,
}

/// An effect that the driver carries out. The order of effects matters.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Subscribe with [`State::subscription`](super::state::State::subscription), after a short pause.
    Subscribe,
    /// Send a call to the agent.
    Send(Box<Call>),
    /// Start the task.
    Launch {
        /// The task id.
        task_id: String,
        /// The specification.
        spec: Box<TaskSpec>,
        /// How long the task may take to end after a kill.
        grace: Duration,
    },
    /// Pass an instruction on to the task.
    Instruct(Instruction),
    /// Ask the task to end.
    Stop,
    /// End the task by force.
    Abort,
    /// End this process, with an error if the executor failed.
    Exit(Result<(), String>),
}
