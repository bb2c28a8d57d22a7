//! Instructions from the scheduler to a running task.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::NodeAccess;

/// The content of a framework's `MESSAGE` to an executor. Such a message may be lost, so the scheduler repeats it until
/// the [`Live`](crate::Live) messages of the task show that the task obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// To a worker: mine at this pool from now on, with the same user name.
    MineAt {
        /// The URL of the pool, as in [`WorkerSpec::pool`](crate::WorkerSpec::pool).
        pool: String,
        /// Further URLs of the same pool, as in [`WorkerSpec::alternatives`](crate::WorkerSpec::alternatives).
        alternatives: Vec<String>,
    },
    /// To a worker: use these intervals from now on. Sent only to tasks whose [`Live`](crate::Live) messages contain their
    /// intervals, because older executors do not support this instruction.
    SetIntervals(Intervals),
    /// To a server: use these credentials for its Bitcoin nodes from now on. Sent only to servers whose
    /// [`PoolLive`](crate::PoolLive) names the revision in use, because older executors do not support this instruction; and to
    /// servers that are still starting, which send no live messages yet. `Debug` omits users and passwords.
    SetNodeCredentials {
        /// The number by which the server's live messages name these credentials; not 0.
        revision: u64,
        /// The nodes whose credentials have changed. A node is found by its URL; an unknown one is ignored.
        nodes: Vec<NodeAccess>,
    },
    /// To a worker: search no more (`true`), or search again (`false`). A paused worker keeps its connection to the pool and its
    /// totals. Sent only to workers whose [`WorkerLive::paused`](crate::WorkerLive::paused) is present, because older executors do
    /// not support this instruction; and to workers that are still starting, which send no live messages yet. A worker that
    /// starts is not paused.
    Pause(bool),
}

/// How often a task sends [`Live`](crate::Live) messages and [`Report`](crate::Report)s. Each interval is a whole number of
/// milliseconds, at least 1 ms and at most 49 days. The type is small because the scheduler stores one for each task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Intervals {
    live_ms: NonZeroU32,
    report_ms: NonZeroU32,
}

impl Intervals {
    /// The time between two live messages, and the shortest time between two reports. A value out of range becomes the
    /// nearest one in range.
    pub fn new(live: Duration, report: Duration) -> Self {
        Intervals { live_ms: millis(live), report_ms: millis(report) }
    }

    /// The time between two live messages.
    pub fn live(&self) -> Duration {
        Duration::from_millis(self.live_ms.get().into())
    }

    /// The shortest time between two reports.
    pub fn report(&self) -> Duration {
        Duration::from_millis(self.report_ms.get().into())
    }
}

fn millis(interval: Duration) -> NonZeroU32 {
    let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
}
