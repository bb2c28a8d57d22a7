//! The current state of a task, for display only.

use problem::Problem;

use crate::{Intervals, Totals};

/// The content of an executor's `MESSAGE`.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The current state of a task that works.
    Live(Live),
    /// The task does not work yet, for this reason. Schedulers that do not know this message ignore it.
    Waiting(Problem),
}

/// The current state of a task that works.
#[derive(Clone, Debug, PartialEq)]
pub enum Live {
    /// The state of a worker.
    Worker(WorkerLive),
    /// The state of the pool server.
    Pool(PoolLive),
}

/// The current state of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerLive {
    /// Hashes per second during the last interval between live messages.
    pub hashrate: f64,
    /// The number of mining threads.
    pub threads: u32,
    /// The name of the hash backend.
    pub backend: String,
    /// The share difficulty that the pool has set.
    pub difficulty: f64,
    /// The preferred URL of the worker's pool, even while the worker is connected to one of the alternatives, or to none. Empty if
    /// the executor sends messages of version 1.
    pub pool: String,
    /// How often the task sends live messages and reports; `None` from executors that do not support
    /// [`Instruction::SetIntervals`](crate::Instruction).
    pub intervals: Option<Intervals>,
    /// Why the worker has no work just now; `None` if it has work, and from older executors.
    pub problem: Option<Problem>,
    /// Totals since the start of the task. They include what the last [`Report`](crate::Report) does not have yet, and are not
    /// accounted. `None` from older executors.
    pub totals: Option<Totals>,
}

/// The current state of the pool server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolLive {
    /// The number of connections on which a miner has been authorized.
    pub connections: u32,
    /// The height of the block being mined.
    pub height: u64,
    /// The difficulty of the network.
    pub difficulty: f64,
    /// How often the task sends live messages and reports; `None` from older executors.
    pub intervals: Option<Intervals>,
    /// The maximum number of connections; `None` from older executors.
    pub max_connections: Option<u32>,
    /// What is wrong with the source of work or with the data folder; `None` if nothing is, and from older executors.
    pub problem: Option<Problem>,
    /// The revision of the credentials in use, as in [`Instruction::SetNodeCredentials`](crate::Instruction); 0 while they are
    /// those of the specification. `None` from older executors, which do not support that instruction.
    pub credentials: Option<u64>,
}
