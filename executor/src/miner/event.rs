//! What a miner tells its owner.

use std::sync::Arc;
use std::time::Duration;

use client::Awaited;
#[cfg(doc)]
use client::Config;
use problem::Problem;
use stratum::{Job, PoolUrl, Reason};

use crate::report_builder::MinedShare;

/// An event while mining.
#[derive(Clone, Debug)]
pub enum Event {
    /// The pool has authorized us.
    Authorized {
        /// The pool.
        pool: PoolUrl,
        /// Its index in [`Config::pools`].
        index: usize,
    },
    /// A pool could not be reached, or the connection to it was lost.
    Lost {
        /// The error, which names the pool.
        error: String,
        /// The index of that pool in [`Config::pools`].
        index: usize,
        /// The error as a problem; `None` if the pool only redirects us.
        problem: Option<Problem>,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// The pool has been silent for a while.
    Waiting {
        /// The pool.
        pool: PoolUrl,
        /// What the pool owes.
        awaited: Awaited,
    },
    /// The pool gives work but is of no use, and no other pool is left to turn to. Holds until [`Event::Fit`].
    Unfit {
        /// The error, which names the pool.
        error: String,
        /// The error as a problem.
        problem: Problem,
    },
    /// The pool is of use, or the miner turns to another one.
    Fit,
    /// A new job.
    Job {
        /// The job.
        job: Arc<Job>,
        /// The index of its pool in [`Config::pools`].
        index: usize,
    },
    /// The miner works: the first hashes were computed, or it is paused and has a job. Sent once.
    Working,
    /// The threads have begun to search a new job.
    FirstHash {
        /// The time since the line that brought the job was read.
        delay: Duration,
    },
    /// The miner searches no more (`true`), or again (`false`), because its owner wants it.
    Paused(bool),
    /// A share has its verdict.
    Share {
        /// The share and its verdict.
        share: Box<MinedShare>,
        /// The pool's reason, if it rejected the share.
        reason: Option<Reason>,
        /// The index in [`Config::pools`] of the pool that gave the job.
        index: usize,
    },
    /// A message from the pool to the miner's owner.
    Message(String),
}
