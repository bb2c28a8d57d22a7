//! The interface between the Mesos side and the kinds of task.
//!
//! The Mesos side contains no mining code. It passes a [`TaskContext`] to the [`Runner`] for the kind of task and turns the
//! runner's events into status updates. The main binary supplies the runner for pool servers, so this crate does not depend on
//! the pool.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use problem::Problem;
use task::{Instruction, Live, ProgramSpec, Report, TaskSpec};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Minimum time between two reports that are sent early because a block was found.
pub const BLOCK_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The input of a runner.
#[derive(Debug)]
pub struct TaskContext {
    /// The Mesos task id.
    pub task_id: String,
    /// The specification of the task.
    pub spec: TaskSpec,
    /// Instructions from the scheduler, which repeats an instruction until the task obeys it.
    pub instructions: mpsc::Receiver<Instruction>,
    /// The channel for the runner's events.
    pub events: mpsc::Sender<TaskEvent>,
    /// Cancelled when the task must end. The runner then sends no more events and returns its last report.
    pub stop: CancellationToken,
    /// How long the runner may take to end after `stop`; a kill may set another time. When this time has passed, the runner is
    /// dropped.
    pub grace: Duration,
}

/// An event of a running task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEvent {
    /// The task has begun to work: a worker hashes, or a server listens. This is sent once; only [`TaskEvent::Waiting`]
    /// and a server's first live message may come before it. The executor turns it into a `TASK_RUNNING` update.
    Running(Report),
    /// The accounts have changed. The executor turns this event into another `TASK_RUNNING` update.
    Report(Report),
    /// The result of the health check has changed; an error says why the task is unhealthy. The executor turns this event into a
    /// `TASK_RUNNING` update with the result.
    Health(Result<(), String>),
    /// The task has no work yet, for this reason. The executor turns this event into a `MESSAGE`, which may be lost.
    Waiting(Problem),
    /// The current state, for display. The executor turns this event into a `MESSAGE`, which may be lost.
    Live(Box<Live>),
}

/// Why a task failed.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
pub struct TaskError {
    /// The description of the error, for the user.
    pub message: String,
    /// The problem that made the task fail, if it is known. The executor sends it before the last update.
    pub problem: Option<Problem>,
    /// The last report, if the task had begun to work.
    pub last_report: Option<Box<Report>>,
}

impl From<Problem> for TaskError {
    /// The message says what to do about a problem that does not mend itself.
    fn from(problem: Problem) -> Self {
        let permanent = problem.kind.is_permanent();
        let message = if permanent { problem.with_remedy() } else { problem.text.clone() };
        TaskError { message, problem: Some(problem), last_report: None }
    }
}

impl TaskError {
    /// An error before any work was done.
    pub fn new(message: impl Into<String>) -> Self {
        TaskError { message: message.into(), problem: None, last_report: None }
    }
}

/// Runs a task to its end and returns its last report.
pub type Runner = Arc<dyn Fn(TaskContext) -> BoxFuture<'static, Result<Report, TaskError>> + Send + Sync>;

/// The runners for the two kinds of task.
#[derive(Clone)]
pub struct Runners {
    /// For pool server tasks.
    pub server: Runner,
    /// For worker tasks.
    pub worker: Runner,
}

impl Runners {
    /// The runner for a task.
    pub fn of(&self, kind: &ProgramSpec) -> Runner {
        match kind {
            ProgramSpec::Worker(_) => self.worker.clone(),
            ProgramSpec::Server(_) => self.server.clone(),
        }
    }
}
