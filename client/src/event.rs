//! What a client tells its owner.

use std::sync::Arc;
use std::time::Duration;

use stratum::{Job, PoolUrl, Reason};

use crate::error::ClientError;

/// What happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The pool takes shares from us.
    Authorized {
        /// Which pool.
        pool: PoolUrl,
    },
    /// What to work on from now on. The same work may come again with another difficulty or version mask, see
    /// [`Job::same_work`]. If [`Job::clean`] is set, shares of all earlier jobs but those of the same work are stale.
    Job(Arc<Job>),
    /// Difficulty of the jobs to come.
    Difficulty(f64),
    /// Version bits that may be chosen from now on; the present job follows with them.
    VersionMask(u32),
    /// The jobs to come have other extranonces than those before. Comes once before the first job, too.
    ExtranonceChanged {
        /// The pool's part of the coinbase; may be empty.
        extranonce1: Vec<u8>,
        /// Bytes that follow it and can be chosen.
        extranonce2_len: usize,
    },
    /// What became of a share.
    Answer(Answer),
    /// A pool is out of reach or was lost. There is nothing to work on until the next job.
    Lost {
        /// What went wrong; names the pool.
        error: ClientError,
        /// The next try, perhaps of another pool, comes after this.
        retry_in: Duration,
    },
    /// The pool says something to the miner's owner.
    Message(String),
}

/// Names a submitted share. Never used twice by one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// What became of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As [`Client::submit`](crate::Client::submit) gave it.
    pub ticket: Ticket,
    /// What became of it.
    pub fate: Fate,
    /// From the (first) submission to the answer, or to the moment when it was given up.
    pub round_trip: Duration,
}

/// What can become of a share that was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The pool counts it.
    Accepted,
    /// The pool does not, for another reason than lateness.
    Rejected(Reason),
    /// It came too late: the pool said so, or it could not be sent in time.
    Stale(Option<Reason>),
    /// The connection ended before an answer came, and the session was not resumed: nobody knows.
    Unanswered,
}
