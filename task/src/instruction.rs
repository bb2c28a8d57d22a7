//! What the scheduler tells a task while it runs.

use crate::Intervals;

/// The content of a framework's `MESSAGE` to an executor. It may be lost, so it is repeated until the task shows by its
/// [`Live`](crate::Live) messages that it obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// To a worker: mine at this pool from now on, under the same name.
    MineAt {
        /// The pool's URL, as in [`WorkerSpec::pool`](crate::WorkerSpec::pool).
        pool: String,
    },
    /// To a worker: send live messages and reports so often from now on. Understood by tasks whose [`Live`](crate::Live)
    /// messages say which intervals they use.
    SetIntervals(Intervals),
}
