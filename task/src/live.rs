//! The current state of a task, for display only.

use problem::Problem;

use crate::{Intervals, Totals};

/// The content of an executor's `MESSAGE`.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The current state of a task that works.
    Live(Box<Live>),
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
    /// Whether the worker is paused by [`Instruction::Pause`](crate::Instruction::Pause); `None` from older executors, which do
    /// not support that instruction.
    pub paused: Option<bool>,
    /// The CPU's name for itself, such as `AMD EPYC 9B14`; empty if it has none, and from older executors. At most 100 characters.
    pub cpu_model: String,
    /// The worker's delays during the last minute; `None` from older executors.
    pub delays: Option<WorkerDelays>,
}

/// What a worker has measured during the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerDelays {
    /// The time from the moment at which the line with a job was read until a thread searched the first nonce of the job. `None`
    /// if there was no new job.
    pub notify_to_first_hash: Option<DelayQuantiles>,
    /// The time from the submission of a share to the pool's answer. `None` if no share was answered.
    pub share_round_trip: Option<DelayQuantiles>,
}

/// The middle and the end of a distribution of delays. Longer delays than fit are given as `u32::MAX`, which is 71 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayQuantiles {
    /// Half of the delays are not longer. Microseconds.
    pub median: u32,
    /// 99 of 100 delays are not longer. Microseconds.
    pub p99: u32,
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
