//! The stages of a task, from the decision to launch it to its end.

use std::time::Instant;

use mesos::v1::TaskState;

use crate::offers::PlannedTask;

/// The stage that a task has reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// Its launch is being persisted; the offers are held.
    Persisting(Box<PlannedLaunch>),
    /// Its launch was cancelled while it was being persisted.
    Cancelled {
        /// The ids of the offers that are still held for the task.
        offers: Vec<String>,
        /// See [`PlannedLaunch::with`].
        with: Option<Vec<String>>,
    },
    /// The launch was sent by this run of the scheduler or an earlier one. There is no update yet.
    Launched {
        /// When the launch was sent, or when this run began.
        at: Instant,
    },
    /// According to Mesos, the task is on its agent, or the agent is unreachable.
    Reported {
        /// Mesos' state.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent, or when this run began.
        launched: Instant,
    },
    /// According to Mesos, the task has ended. It may reappear unless the state is final.
    Ended {
        /// Mesos' state.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent, or when this run began; `None` if the task had ended before.
        launched: Option<Instant>,
    },
}

/// A launch that is being persisted. All launches on the offers of one agent are sent in one call, once the last of them is on
/// disk. This last launch holds the offers.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLaunch {
    /// The resources for the task.
    pub planned: PlannedTask,
    /// The ids of the other tasks of the call; `None` if another task holds the offers.
    pub with: Option<Vec<String>>,
}

/// Whether a worker counts against `--max-workers`, `--max-cpus` and constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The worker counts.
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
    /// Mesos' state.
    pub before: Option<TaskState>,
    /// The task's slot.
    pub slot: Slot,
}

/// Whether a task in this state no longer runs, as far as Mesos knows.
pub fn has_ended(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::TaskUnknown
}
