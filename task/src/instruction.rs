//! What the scheduler tells a task while it runs.

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
}
