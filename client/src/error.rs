//! Why a pool can't be worked for.

use std::time::Duration;

use net::DialError;
use stratum::{PoolUrl, ProtocolError, ReadError, WriteError};
use thiserror::Error;

/// Why a pool can't be worked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is no pool to connect to.
    #[error("no pool is given")]
    NoPool,
    /// No connection.
    #[error("can't connect to {pool}")]
    Connect {
        /// Which pool.
        pool: PoolUrl,
        /// Why.
        source: Box<DialError>,
    },
    /// The pool ended the connection.
    #[error("{pool} closed the connection{hint}")]
    Closed {
        /// Which pool.
        pool: PoolUrl,
        /// What may be the reason, from a semicolon on; may be empty.
        hint: &'static str,
    },
    /// The pool is silent.
    #[error("{pool} has been silent for {} s", after.as_secs_f32())]
    Silent {
        /// Which pool.
        pool: PoolUrl,
        /// For how long.
        after: Duration,
    },
    /// The pool takes us in and gives nothing to work on.
    #[error("{pool} gave no job within {} s", after.as_secs_f32())]
    NoJob {
        /// Which pool.
        pool: PoolUrl,
        /// The time limit.
        after: Duration,
    },
    /// Something else than a pool is there.
    #[error("{pool} speaks HTTP, not Stratum: give the pool's Stratum port, which its web pages name")]
    Http {
        /// Which pool.
        pool: PoolUrl,
    },
    /// Reading failed.
    #[error("lost the connection to {pool}{hint}")]
    Read {
        /// Which pool.
        pool: PoolUrl,
        /// What may be the reason, from a semicolon on; may be empty.
        hint: &'static str,
        /// How.
        source: ReadError,
    },
    /// Writing failed.
    #[error("lost the connection to {pool}")]
    Write {
        /// Which pool.
        pool: PoolUrl,
        /// How.
        source: WriteError,
    },
    /// The pool does not want us.
    #[error("{pool} can't be mined for")]
    Refused {
        /// Which pool.
        pool: PoolUrl,
        /// What it said.
        source: ProtocolError,
    },
    /// The pool asked to connect anew, or elsewhere in its domain.
    #[error("{pool} asks to connect to {to}")]
    Moved {
        /// Which pool.
        pool: PoolUrl,
        /// Where it wants us to go.
        to: PoolUrl,
    },
}

impl ClientError {
    /// Whether a connection that stood was ended, by whomever.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(self, ClientError::Closed { .. } | ClientError::Read { .. } | ClientError::Write { .. })
    }
}
