//! What is happening right now, for display. Never accounted.

use crate::Intervals;

/// The content of an executor's `MESSAGE`.
#[derive(Clone, Debug, PartialEq)]
pub enum Live {
    /// From a worker.
    Worker(WorkerLive),
    /// From the pool server.
    Pool(PoolLive),
}

/// A worker's present state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerLive {
    /// H/s over the last interval.
    pub hashrate: f64,
    /// Mining threads.
    pub threads: u32,
    /// Name of the hash backend.
    pub backend: String,
    /// Difficulty that the pool asks for.
    pub difficulty: f64,
    /// URL of the pool that it mines at, or tries to; empty from executors of version 1.
    pub pool: String,
    /// The intervals that it uses; absent from executors that cannot be told others.
    pub intervals: Option<Intervals>,
}

/// The pool server's present state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolLive {
    /// Authorised connections.
    pub connections: u32,
    /// Height of the block being worked on.
    pub height: u64,
    /// Network difficulty.
    pub difficulty: f64,
    /// The intervals that it uses; absent from executors of before this came.
    pub intervals: Option<Intervals>,
}
