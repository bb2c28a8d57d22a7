//! How far a task has come, from its decision to its end.

use std::time::Instant;

use mesos::v1::TaskState;

use crate::offers::PlannedTask;

/// How far a task has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// Its launch is on its way to the disk; the offers are held.
    Persisting(Box<PlannedLaunch>),
    /// Its launch was cancelled on its way to the disk.
    Cancelled {
        /// The ids of the offers that are still held for it.
        offers: Vec<String>,
        /// As [`PlannedLaunch::with`].
        with: Option<Vec<String>>,
    },
    /// The launch was sent by this run of the scheduler or an earlier one. There is no update yet.
    Launched {
        /// When the launch was sent, or when this run began.
        at: Instant,
    },
    /// Mesos says that the task is on its agent, or that the agent is unreachable.
    Reported {
        /// Mesos' state.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent, or when this run began.
        launched: Instant,
    },
    /// Mesos says that the task has ended. It may return unless the state is final.
    Ended {
        /// Mesos' state.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent, or when this run began; `None` if the task had ended before.
        launched: Option<Instant>,
    },
}

/// A launch on its way to the disk. The launches on the offers of one agent are sent by one call, when the last of them is on
/// disk. That last one holds the offers.
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
    /// The worker was unreachable when this run of the scheduler began. It counts, but others may have its slot already.
    Unknown,
    /// The worker has been unreachable for so long that others may take its slot.
    Released,
}

/// What a task was before an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Mesos' state.
    pub before: Option<TaskState>,
    /// The task's slot.
    pub slot: Slot,
}

/// Whether a task in this state does not run, as far as Mesos knows.
pub fn has_ended(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::TaskUnknown
}
