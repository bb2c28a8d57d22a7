//! The client's errors.

use std::time::Duration;

use logging::error_chain;
use net::DialError;
use problem::{Problem, ProblemKind};
use stratum::{PoolUrl, ProtocolError, ReadError, Reason, WriteError};
use text::InWords;
use thiserror::Error;

/// Why the client cannot mine at a pool.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The settings contain no pool.
    #[error("no pool is given")]
    NoPool,
    /// The connection could not be established.
    #[error("cannot connect to {pool}")]
    Connect {
        /// The pool.
        pool: PoolUrl,
        /// The cause.
        source: Box<DialError>,
    },
    /// The pool ended the connection.
    #[error("{pool} closed the connection")]
    Closed {
        /// The pool.
        pool: PoolUrl,
    },
    /// The pool ended the connection after optional requests, of which it answered none. The next connection leaves them out.
    #[error("{pool} closed the connection after {requests}, which the next one leaves out")]
    HungUpOn {
        /// The pool.
        pool: PoolUrl,
        /// The methods of the requests.
        requests: String,
    },
    /// The pool gives work, but it accepts no share.
    #[error("{pool} has rejected {shares} shares in a row: {reason}")]
    RejectsAll {
        /// The pool.
        pool: PoolUrl,
        /// The number of shares.
        shares: u32,
        /// The reason of the last one.
        reason: Reason,
    },
    /// The pool sends jobs, but all of them have built on one block for so long that it most likely does not know the last one.
    #[error("{pool} has sent jobs on the same block for {}", InWords(*.after))]
    BlockTooOld {
        /// The pool.
        pool: PoolUrl,
        /// How old the block is.
        after: Duration,
    },
    /// The pool answers, but it has sent no new job for so long that it most likely does not know the last block.
    #[error("{pool} has sent no new job for {}", InWords(*.after))]
    JobTooOld {
        /// The pool.
        pool: PoolUrl,
        /// The age of the job.
        after: Duration,
    },
    /// The pool has sent nothing, or has not read what we sent, for too long.
    #[error("{pool} has been silent for {}", InWords(*.after))]
    Silent {
        /// The pool.
        pool: PoolUrl,
        /// How long the pool was allowed to send nothing, or not to read what we sent.
        after: Duration,
    },
    /// The pool accepted the connection but sent no job.
    #[error("{pool} gave no job within {}", InWords(*.after))]
    NoJob {
        /// The pool.
        pool: PoolUrl,
        /// How long the pool was allowed to take for its first job.
        after: Duration,
    },
    /// The peer is a web server, not a pool.
    #[error("{pool} speaks HTTP, not Stratum: give the pool's Stratum port, as listed on its website")]
    Http {
        /// The pool.
        pool: PoolUrl,
    },
    /// Reading failed.
    #[error("lost the connection to {pool}")]
    Read {
        /// The pool.
        pool: PoolUrl,
        /// The cause.
        source: Box<ReadError>,
    },
    /// Writing failed.
    #[error("lost the connection to {pool}")]
    Write {
        /// The pool.
        pool: PoolUrl,
        /// The cause.
        source: WriteError,
    },
    /// The pool refused the subscription or the authorization.
    #[error("cannot mine at {pool}")]
    Refused {
        /// The pool.
        pool: PoolUrl,
        /// The pool's answer.
        source: ProtocolError,
    },
    /// The pool leaves fewer bytes of extranonce2 than [`Config::smallest_extranonce2`](crate::Config::smallest_extranonce2).
    #[error("{pool} leaves {size} byte(s) of extranonce2, but at least {needed} are needed")]
    ExtranonceTooSmall {
        /// The pool.
        pool: PoolUrl,
        /// Number of bytes of the pool's extranonce2.
        size: usize,
        /// The least number of bytes that is needed.
        needed: usize,
    },
    /// The pool asked us to connect again, or to another address in its domain.
    #[error("{pool} asks us to reconnect to {to}")]
    Redirected {
        /// The pool.
        pool: PoolUrl,
        /// The address to connect to.
        to: PoolUrl,
    },
}

impl ClientError {
    /// The error as a problem; `None` if it is none, since the pool only redirects us, or the client tries at once in another way.
    pub fn problem(&self) -> Option<Problem> {
        let kind = match self {
            ClientError::Redirected { .. } | ClientError::HungUpOn { .. } => return None,
            ClientError::RejectsAll { .. } => ProblemKind::PoolRejectsShares,
            ClientError::JobTooOld { .. } | ClientError::BlockTooOld { .. } => ProblemKind::PoolJobOutdated,
            ClientError::Refused { source: ProtocolError::Unauthorized { .. }, .. } => {
                ProblemKind::PoolRefusesUser
            }
            ClientError::ExtranonceTooSmall { .. } => ProblemKind::UpstreamExtranonceTooSmall,
            _ => ProblemKind::PoolUnreachable,
        };
        Some(Problem::new(kind, error_chain(self)))
    }

    /// Whether the pool refused us for a reason that further tries do not change.
    pub fn is_permanent(&self) -> bool {
        self.problem().is_some_and(|problem| problem.kind.is_permanent())
    }

    /// Whether the pool gives no work that could be used, even if it did before. Such a pool gets no second chance.
    pub(crate) fn is_useless(&self) -> bool {
        matches!(self, ClientError::Refused { .. } | ClientError::ExtranonceTooSmall { .. })
    }

    /// Whether an established connection ended because the pool closed it or because it broke, and not because of what the pool
    /// sent.
    pub(crate) fn is_hang_up(&self) -> bool {
        match self {
            ClientError::Closed { .. } | ClientError::Write { .. } => true,
            // Invalid data is an alert of TLS.
            ClientError::Read { source, .. } => {
                matches!(&**source, ReadError::Io(error) if error.kind() != std::io::ErrorKind::InvalidData)
            }
            _ => false,
        }
    }
}
