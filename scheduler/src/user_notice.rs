//! The notices of the state machine to the user.

mod text;

use std::borrow::Cow;
use std::time::Duration;

use logging::Level;
use problem::Problem;
use task::{Intervals, ServerAddress};

use crate::fleet::CommonFailure;
use crate::journal::RecordedCommand;
use crate::offers::{DeclineReason, UnusedAgent};

/// Something that the user wants to know. Tasks are given by their ids, agents by their host names.
#[derive(Clone, Debug, PartialEq)]
pub enum UserNotice {
    /// The master has accepted the subscription of this framework.
    Subscribed(String),
    /// The master has removed this framework, and a new framework begins.
    Removed(String),
    /// An earlier run has torn this framework down, and a new framework begins.
    TornDown(String),
    /// The number of tasks of an earlier run or of another scheduler that are still running.
    Resumed(usize),
    /// A task is launched.
    Launched {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// The task's CPU in thousandths.
        cpus_milli: u64,
    },
    /// A server listens for miners.
    ServerUp {
        /// The server's task id.
        task: String,
        /// The address at which it listens.
        address: ServerAddress,
    },
    /// Workers should connect to a server by its agent's IP address, but this address is not known yet.
    AddressUnknown {
        /// The server's task id.
        task: String,
        /// The host name of the server's agent, to which workers connect until then.
        host: String,
    },
    /// A worker mines.
    Mining {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
    },
    /// A task's health has changed.
    Health {
        /// The task's id.
        task: String,
        /// Whether the task is healthy.
        healthy: bool,
        /// Why the task is not healthy.
        why: String,
    },
    /// The agent of a task is unreachable.
    Unreachable {
        /// The task's id.
        task: String,
        /// The host name of the unreachable agent.
        host: String,
    },
    /// A task ended.
    Ended {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// Mesos' name of the task's last state.
        state: String,
        /// Mesos' reason and message, as text for the user.
        why: String,
    },
    /// A server is lost. Its workers are killed, or they wait for the next server.
    ServerLost {
        /// The task's id.
        task: String,
        /// The number of workers that mine at the lost server.
        workers: usize,
        /// Whether the workers keep running and wait for the next server. Otherwise they are killed.
        kept: bool,
    },
    /// A worker now mines at another server.
    Redirected {
        /// The worker's task id.
        task: String,
        /// The task id of the server at which the worker now mines.
        server: String,
    },
    /// A worker is ended to make room for a server.
    Preempted(String),
    /// Workers are replaced.
    Replacing {
        /// The ids of the workers.
        workers: Vec<String>,
        /// The reason, as a phrase about one worker.
        why: &'static str,
    },
    /// Workers are ended since there are more than the limits allow.
    BeyondLimits {
        /// The ids of the workers.
        workers: Vec<String>,
        /// The limits, as options with their values.
        limits: String,
    },
    /// The scheduler gives up on a task.
    GivenUp {
        /// The task's id.
        task: String,
        /// The reason.
        why: Cow<'static, str>,
    },
    /// The workers of an agent are replaced by a single worker with the CPU of all of them.
    Merging {
        /// The host name of the agent.
        host: String,
        /// The number of workers that are replaced.
        workers: usize,
        /// The new worker's CPU in thousandths.
        cpus_milli: u64,
    },
    /// Maintenance of a machine with tasks is planned.
    Maintenance {
        /// The host name of the agent.
        host: String,
        /// The time until the maintenance begins; zero if it has begun.
        begins_in: Duration,
        /// The number of tasks on the agent.
        tasks: usize,
    },
    /// A server is ended, and another one is launched in its place.
    ServerDrained {
        /// The task's id.
        task: String,
        /// The words that follow the task's id in the notice. They say what happens to the server, and why.
        why: &'static str,
        /// The number of the server's workers.
        workers: usize,
        /// Whether the workers keep running and wait for the next server. Otherwise they are ended before the server.
        keeps_workers: bool,
    },
    /// Nothing is launched on an agent for a while.
    Paused {
        /// The host name of the agent.
        host: String,
        /// The time for which nothing is launched on the agent.
        pause: Duration,
        /// The number of consecutive failures on the agent.
        failures: u32,
    },
    /// Launches fail in the same way on several agents. From now on, one agent at a time is tried.
    CommonFailure(CommonFailure),
    /// Launches succeed again, after this many launches have failed.
    CommonFailureOver(u64),
    /// An agent is unused.
    Unused(UnusedAgent),
    /// A problem that the user can do something about, or that explains why fewer tasks run than resources would allow.
    Problem(Problem),
    /// An operator has told the scheduler to do something.
    Command(RecordedCommand),
    /// A remark on a step of the scheduler.
    Remark(String),
    /// A line from the end of the standard error of an executor that does not run.
    Stderr {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// The line.
        line: String,
    },
    /// Where a browser shows the sandbox of an executor that does not run.
    Sandbox {
        /// The task's id.
        task: String,
        /// The address.
        url: String,
    },
    /// Why the standard error of an executor that does not run cannot be shown.
    NoStderr {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// The reason.
        why: String,
    },
    /// An agent was removed.
    MesosFailure(String),
    /// A task without a record is killed.
    UnknownTask(String),
    /// A report cannot be read.
    BadReport {
        /// The task's id.
        task: String,
        /// The reason.
        why: String,
    },
    /// The shutdown has begun: this many tasks are to be ended.
    Ending(usize),
    /// The shutdown waits for these tasks to end.
    WaitingForTasks {
        /// The ids of the tasks.
        tasks: Vec<String>,
        /// How long the shutdown still waits for them.
        left: Duration,
    },
    /// The shutdown waits until records are on disk.
    WaitingForRecords {
        /// The number of records.
        records: usize,
        /// Why they cannot be written now; `None` if writing them only takes time.
        why: Option<String>,
        /// How long the shutdown still waits for them.
        left: Duration,
    },
    /// The intervals of workers' live messages and reports have changed.
    Intervals {
        /// The number of workers.
        workers: u64,
        /// The intervals that these workers now use.
        intervals: Intervals,
    },
    /// The intervals of live messages and reports cannot be changed for this many workers.
    FixedIntervals(usize),
    /// A step of the shutdown took too long: the scheduler no longer waits for these tasks.
    Overdue(Vec<String>),
}

impl UserNotice {
    /// The level of the notice in the log.
    pub fn level(&self) -> Level {
        use UserNotice as N;
        let wrong = match self {
            N::WaitingForRecords { why, .. } => why.is_some(),
            N::Ended { state, .. } => state != "TASK_FINISHED" && state != "TASK_KILLED",
            N::Health { healthy, .. } => !healthy,
            N::Unused(unused) => matches!(unused.reason, DeclineReason::NoServer { .. }),
            N::Removed(_)
            | N::AddressUnknown { .. }
            | N::Unreachable { .. }
            | N::ServerLost { .. }
            | N::GivenUp { .. }
            | N::Paused { .. }
            | N::CommonFailure(_)
            | N::Problem(_)
            | N::Remark(_)
            | N::MesosFailure(_)
            | N::UnknownTask(_)
            | N::BadReport { .. }
            | N::Stderr { .. }
            | N::Overdue(_) => true,
            _ => false,
        };
        if wrong { Level::WARN } else { Level::INFO }
    }
}
