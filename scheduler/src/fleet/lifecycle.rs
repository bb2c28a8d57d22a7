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
        /// When the launch was sent. If that is not known, this is the time when this run of the scheduler learned of the task.
        at: Instant,
        /// When the scheduler began to wait for the first update: when it sent the launch, or when it could receive updates again
        /// after an interruption.
        unanswered_since: Instant,
    },
    /// According to Mesos, the task is on its agent, or the agent is unreachable.
    Reported {
        /// The last state that Mesos reported.
        state: TaskState,
        /// When the task entered this state.
        since: Instant,
        /// When the launch was sent. If that is not known, this is the time when this run of the scheduler learned of the task.
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

/// A launch that is being persisted. All launches on the offers of one agent are sent in one call, once all of them are on disk.
/// The last of these launches keeps the offers' ids.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLaunch {
    /// The agent, the offers and the resources that were chosen for the task.
    pub planned: PlannedTask,
    /// The ids of the other tasks that the same call launches. Only the last launch of the call has them; the others have `None`.
    pub with: Option<Vec<String>>,
}

/// Whether a worker counts against `--max-workers`, `--max-cpus` and constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The worker counts against the limits and constraints. No other worker may take its slot.
    Held,
    /// The worker was unreachable when this run of the scheduler began. It counts against the limits and constraints, although
    /// another worker may already have taken its slot.
    Unknown,
    /// The worker has been unreachable for so long that another worker may take its slot.
    Released,
}

/// The state and the slot of a task before an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The last state that Mesos had reported before the update; `None` if there was none.
    pub before: Option<TaskState>,
    /// Whether the task counted against limits and constraints before the update.
    pub slot: Slot,
}

/// Whether a task in this state no longer runs, as far as Mesos knows.
pub fn has_ended(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::TaskUnknown
}
