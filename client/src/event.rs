//! The events of a client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stratum::{Job, PoolUrl, Reason};
use task::Verdict;

use crate::awaited::Awaited;
use crate::error::ClientError;

/// An event of a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The pool has authorized us.
    Authorized {
        /// The pool.
        pool: PoolUrl,
        /// Its index in [`Config::pools`](crate::Config::pools).
        index: usize,
    },
    /// A job.
    Job {
        /// The job to work on from now on. The same work may be sent again with another difficulty or version mask, see
        /// [`Job::same_work`]. If [`Job::clean`] is set, shares of all earlier jobs are stale, except those for the same work.
        job: Arc<Job>,
        /// The index of its pool in [`Config::pools`](crate::Config::pools).
        index: usize,
        /// When the line that brought it was read.
        received: Instant,
    },
    /// The difficulty of the following jobs.
    Difficulty(f64),
    /// The version bits that may be rolled from now on. The current job is delivered again with the new mask.
    VersionMask(u32),
    /// The following jobs have other extranonces than the previous jobs. Also sent once before the first job.
    ExtranonceChanged {
        /// The pool's part of the coinbase; may be empty.
        extranonce1: Vec<u8>,
        /// The number of bytes of extranonce2, which the miner chooses.
        extranonce2_len: usize,
    },
    /// The outcome of a share.
    Answer(Answer),
    /// A pool could not be reached, or the connection to it was lost. There is no work until the next job.
    Lost {
        /// The error, which names the pool.
        error: ClientError,
        /// The index of that pool in [`Config::pools`](crate::Config::pools).
        index: usize,
        /// The time until the next attempt, perhaps to another pool.
        retry_in: Duration,
    },
    /// The pool has been silent for [`Config::waiting_after`](crate::Config::waiting_after): it is not connected, or it owes an
    /// answer or a job. Sent once in each silence. A loss follows if the silence lasts.
    Waiting {
        /// The pool.
        pool: PoolUrl,
        /// What the pool owes.
        awaited: Awaited,
    },
    /// The pool gives work but is of no use, and no other pool is left to turn to: it rejects all shares, or its job, or the block on
    /// which it builds, is too old. The client stays with it. Sent once, until [`Event::Fit`]; a loss of the connection ends nothing.
    Unfit {
        /// What is wrong: [`ClientError::RejectsAll`], [`ClientError::JobTooOld`] or [`ClientError::BlockTooOld`].
        error: ClientError,
    },
    /// The pool of the last [`Event::Unfit`] is of use again, or another one has authorized us in its place.
    Fit,
    /// A message from the pool to the miner's owner.
    Message(String),
}

/// Identifies a submitted share; unique within its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// The outcome of one submitted share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The ticket that [`Client::submit`](crate::Client::submit) returned.
    pub ticket: Ticket,
    /// The outcome.
    pub outcome: Outcome,
    /// The index in [`Config::pools`](crate::Config::pools) of the pool to which the share was submitted.
    pub index: usize,
    /// The time from the first submission until the answer, or until the client stopped waiting for an answer.
    pub round_trip: Duration,
}

/// The outcome of a submitted share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pool accepted the share.
    Accepted,
    /// The pool rejected the share, and not because it was stale.
    Rejected(Reason),
    /// The share is stale. The pool said so with this reason, or the share could not be sent in time (`None`).
    Stale(Option<Reason>),
    /// The pool may have received the share but did not answer it: the connection ended and its session was not resumed, or the
    /// answer took too long.
    Unanswered,
}

impl Outcome {
    /// The outcome for the result in the pool's answer.
    pub fn of(result: Result<(), Reason>) -> Self {
        match result {
            Ok(()) => Outcome::Accepted,
            Err(reason) if reason.is_stale() => Outcome::Stale(Some(reason)),
            Err(reason) => Outcome::Rejected(reason),
        }
    }

    /// Converts this outcome to the verdict by which shares are counted.
    pub fn verdict(&self) -> Verdict {
        match self {
            Outcome::Accepted => Verdict::Accepted,
            Outcome::Rejected(reason) => Verdict::Rejected(reason.code),
            Outcome::Stale(_) => Verdict::Stale,
            Outcome::Unanswered => Verdict::Unanswered,
        }
    }

    /// The pool's reason for rejecting the share.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Outcome::Rejected(reason) | Outcome::Stale(Some(reason)) => Some(reason),
            Outcome::Accepted | Outcome::Stale(None) | Outcome::Unanswered => None,
        }
    }
}
