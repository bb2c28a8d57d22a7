//! The stages of a task, from the decision to launch it to its end.

use std::time::Instant;

use mesos::v1::TaskState;

use crate::offers::PlannedTask;

/// The stage that a task has reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// The task's launch is being persisted, so it is not sent yet, and its offers are neither accepted nor declined.
    Persisting(Box<PlannedLaunch>),
    /// The task's launch was cancelled while it was being persisted.
    Cancelled {
        /// The ids of the offers that are still reserved for the task, neither accepted nor declined.
        offers: Vec<String>,
        /// The ids of the other tasks of the same call, as in [`PlannedLaunch::with`].
        with: Option<Vec<String>>,
    },
    /// The task's launch was sent by this run of the scheduler or an earlier one. Mesos has sent no update of the task yet.
    Launched {
        /// When the launch was sent; if an earlier run of the scheduler sent it and the time is not known, when this run began.
        at: Instant,
        /// Since when an answer is expected: since the launch was sent, or since the scheduler could last receive none for a while.
        unanswered_since: Instant,
    },
    /// According to Mesos, the task is on its agent, or the agent is unreachable.
    Reported {
        /// The last state that Mesos reported.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent; if an earlier run of the scheduler sent it and the time is not known, when this run began.
        launched: Instant,
    },
    /// According to Mesos, the task has ended. It may reappear unless the state is final.
    Ended {
        /// The state in which the task ended, according to Mesos.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent, as far as it is known; `None` if the task had ended before this run.
        launched: Option<Instant>,
    },
}

/// A launch that is being persisted. All launches on the offers of one agent are sent in one call, once the last of them is on
/// disk. Until then the offers are reserved for this last launch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLaunch {
    /// The agent, the offers and the resources that were chosen for the task.
    pub planned: PlannedTask,
    /// If the offers are reserved for this launch: the ids of the other tasks that the same call launches. Otherwise `None`.
    pub with: Option<Vec<String>>,
}

/// Whether a worker counts against `--max-workers`, `--max-cpus` and constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The worker counts, so that no other worker takes its slot.
    Held,
    /// The worker was unreachable when this run of the scheduler began. It counts, but another worker may already have taken its
    /// slot.
    Unknown,
    /// The worker has been unreachable for so long that another worker may take its slot.
    Released,
}

/// The state and the slot of a task before an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The last state that Mesos had reported before the update; `None` if there was none.
    pub before: Option<TaskState>,
    /// The task's slot before the update.
    pub slot: Slot,
}

/// Whether a task in this state no longer runs, as far as Mesos knows.
pub fn has_ended(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::TaskUnknown
}
