//! Why a pool can't be mined for.

use std::time::Duration;

use stratum::{PoolUrl, ProtocolError, ReadError, WriteError};
use thiserror::Error;

/// Why a pool can't be mined for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MinerError {
    /// There is no pool to connect to.
    #[error("no pool is given")]
    NoPool,
    /// TLS is not there yet.
    #[error("{pool} wants TLS, which this miner can't speak; use the pool's stratum+tcp port")]
    Tls {
        /// Which pool.
        pool: PoolUrl,
    },
    /// No connection.
    #[error("can't connect to {pool}")]
    Connect {
        /// Which pool.
        pool: PoolUrl,
        /// Why.
        source: std::io::Error,
    },
    /// No connection in time.
    #[error("{pool} did not answer within {} s", after.as_secs())]
    ConnectTimeout {
        /// Which pool.
        pool: PoolUrl,
        /// The time limit.
        after: Duration,
    },
    /// The pool ended the connection.
    #[error("{pool} closed the connection")]
    Closed {
        /// Which pool.
        pool: PoolUrl,
    },
    /// The pool is silent.
    #[error("{pool} has been silent for {} s", after.as_secs_f32())]
    Silent {
        /// Which pool.
        pool: PoolUrl,
        /// For how long.
        after: Duration,
    },
    /// Reading failed.
    #[error("lost the connection to {pool}")]
    Read {
        /// Which pool.
        pool: PoolUrl,
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
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
