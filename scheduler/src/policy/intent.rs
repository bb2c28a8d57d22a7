//! What policies want done.

use std::borrow::Cow;
use std::time::Duration;

use super::TaskEnd;
use problem::Problem;

use crate::cluster_view::Question;
use crate::event::Call;
use crate::fleet::{LaunchLimit, MaintenanceWindow, Task};
use crate::history::Topic;
use crate::offers::{PlannedTask, UnusedAgent};
use crate::user_notice::UserNotice;

/// An action that a policy requests. Tasks, agents and servers are identified by their ids.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Call the master. Without a subscription, the call is dropped.
    Call(Call),
    /// Tell the user.
    Notify(UserNotice),
    /// Persist launches on the offers of one agent. Until the launches are sent, the offers are stored with the last task in the
    /// list.
    PersistLaunches(Vec<PlannedTask>),
    /// Send launches that are on disk, all in one call.
    SendLaunches {
        /// The id of the last task in the list of `PersistLaunches`. The offers are stored in this task's record.
        holder: String,
        /// The ids of the tasks to launch.
        tasks: Vec<String>,
        /// Mesos' `refuse_seconds` for the unused resources of the offers.
        refuse: Duration,
    },
    /// Remove a task whose launch is on disk but will not be sent, and decline its offers.
    ForgetLaunch(String),
    /// End a task.
    End(String),
    /// End a task that runs again after it was unreachable or lost. Its next KILL is due immediately.
    EndReturned(String),
    /// End a task whose executor does not respond.
    EndExecutor(String),
    /// Tell the other policies that the master has answered for all tasks, once these answers are on disk and applied.
    Reconciled,
    /// Send a KILL that is due.
    SendKill(String),
    /// Treat a task without any status update as lost.
    PresumeLost(String),
    /// End a task that does not start, and let another take its place.
    GiveUpLaunch(TaskEnd),
    /// Take a server out of service.
    GiveUpServer(String),
    /// Set whether the scheduler looks for offers with room for a server that will replace the present one.
    SeekServerPlace(bool),
    /// Assign no more workers to a server.
    DrainServer(String),
    /// Record that a worker mines at another server.
    Assign {
        /// The worker's task id.
        worker: String,
        /// The task id of the worker's new server.
        server: String,
    },
    /// Pause the agent on which a task has failed.
    PauseAgent {
        /// The id of the failed task.
        task: String,
        /// Why the task failed, for display.
        why: String,
        /// Whether tasks fail on many agents in this way. If so, the failure is counted, but the agent is not paused.
        common: bool,
        /// The minimum length of the pause.
        least: Duration,
    },
    /// Set or clear the limit on launches.
    LimitLaunches(Option<Box<LaunchLimit>>),
    /// Set or clear an agent's maintenance window.
    SetWindow {
        /// The agent's id.
        agent: String,
        /// The agent's maintenance window; `None` if no maintenance is planned.
        window: Option<MaintenanceWindow>,
    },
    /// Start or stop declining all offers of an agent. They are declined while the agent's workers are replaced by one larger
    /// worker.
    HoldOffers {
        /// The agent's id.
        agent: String,
        /// Whether the agent's offers are declined.
        held: bool,
    },
    /// Set the live and report intervals of workers.
    SetWorkerIntervals(::task::Intervals),
    /// Note why nothing is launched on an agent's offers.
    NoteUnused(UnusedAgent),
    /// Count a worker against limits and constraints again.
    HoldSlot(String),
    /// Stop counting a worker against limits and constraints.
    ReleaseSlot(String),
    /// Ask the master's operator API for its agents and quotas.
    AskMaster(Question),
    /// Ask for declined offers again.
    ReviveOffers,
    /// Set or clear a problem, which is shown to the user.
    Problem {
        /// The topic, which the policy owns.
        topic: Topic,
        /// The problem; `None` clears it.
        problem: Option<Problem>,
    },
    /// Read the end of the standard error of a task's executor, because of this failure.
    ReadStderr(TaskEnd),
    /// Add what was read of an executor's standard error to the list of failures.
    NoteStderr {
        /// The id of the task that failed.
        task: String,
        /// The failure, as it is known now, for display.
        text: String,
        /// The end of the standard error; `None` if it could not be read.
        stderr: Option<String>,
        /// The sandbox's address for a browser.
        sandbox: Option<String>,
    },
    /// Retire these tasks: keep only their task numbers, counts of their states, and sums of their accounts.
    Retire(Vec<String>),
    /// Forget old failures of agents, and old reasons why agents are unused.
    ExpireAgents,
    /// Begin the shutdown: nothing more is launched.
    BeginShutdown {
        /// Whether the tasks and the framework end. Otherwise the tasks go on.
        teardown: bool,
    },
    /// Record that TEARDOWN is about to be sent.
    RecordTeardown,
    /// End the run: nothing is left to do.
    Finish,
}

impl Intent {
    pub(super) fn end(task: &Task) -> Self {
        Intent::End(task.id().to_owned())
    }

    /// Tells the user that a task is given up.
    pub(super) fn notify_given_up(task: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Intent::Notify(UserNotice::GivenUp { task: task.to_owned(), why: why.into() })
    }
}
