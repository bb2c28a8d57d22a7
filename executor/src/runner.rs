//! How a task is run: the seam between the Mesos side and what a task does.
//!
//! The Mesos side knows no mining. It hands a [`TaskContext`] to the [`Runner`] of the task's kind and turns what comes
//! back into status updates. The main binary supplies the runner for the pool server, so this crate does not depend
//! on the pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use task::{Instruction, Live, Report, TaskKind, TaskSpec};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a runner gets.
#[derive(Debug)]
pub struct TaskContext {
    /// The Mesos task id.
    pub task_id: String,
    /// What to do.
    pub spec: TaskSpec,
    /// What the scheduler wants meanwhile. It repeats what is not obeyed.
    pub instructions: mpsc::Receiver<Instruction>,
    /// What happens meanwhile.
    pub events: mpsc::Sender<TaskEvent>,
    /// Cancelled when the task is to end. The runner then sends no more events and returns its last report.
    pub stop: CancellationToken,
    /// How long that may take, unless the kill says otherwise; then the runner is dropped.
    pub grace: Duration,
}

/// What a runner tells while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEvent {
    /// It really works (it hashes, or it listens): becomes `TASK_RUNNING`. Sent once, first.
    Running(Report),
    /// The account changed: becomes a further `TASK_RUNNING`.
    Report(Report),
    /// It was looked at and found well, or not and why; only when that changes. Becomes a `TASK_RUNNING` that says so.
    Health(Result<(), String>),
    /// The present state, for display: becomes a `MESSAGE`, and may be lost.
    Live(Live),
}

/// Why a task failed.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
pub struct TaskError {
    /// For a person: what went wrong.
    pub message: String,
    /// The last report, if it got that far.
    pub last: Option<Box<Report>>,
}

impl TaskError {
    /// An error before any work was done.
    pub fn new(message: impl Into<String>) -> TaskError {
        TaskError { message: message.into(), last: None }
    }
}

/// Runs a task to its end and returns its last report.
pub type Runner = Arc<dyn Fn(TaskContext) -> BoxFuture<'static, Result<Report, TaskError>> + Send + Sync>;

/// The runner for each kind of task.
#[derive(Clone)]
pub struct Runners {
    /// For pool server tasks; without one they fail with a clear message.
    pub server: Option<Runner>,
    /// For workers.
    pub worker: Runner,
}

impl Runners {
    /// The runner for a task.
    ///
    /// # Errors
    /// If this program has none for its kind.
    pub fn of(&self, kind: &TaskKind) -> Result<Runner, TaskError> {
        match kind {
            TaskKind::Worker(_) => Ok(self.worker.clone()),
            TaskKind::Server(_) => self.server.clone().ok_or_else(|| {
                TaskError::new("this program has no pool server; start the task with the mesos-miner binary")
            }),
        }
    }
}

impl fmt::Debug for Runners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runners").field("server", &self.server.is_some()).finish_non_exhaustive()
    }
}
