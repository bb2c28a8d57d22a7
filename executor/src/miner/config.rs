//! Where and how to mine.

use std::time::Duration;

use stratum::PoolUrl;
use stratum::url::Scheme;

use super::MinerError;

/// Where and how to mine.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Pools in order of preference; the next one is tried when one is out of reach.
    pub pools: Vec<PoolUrl>,
    /// Stratum user name.
    pub user: String,
    /// Stratum password.
    pub password: String,
    /// The difficulty to ask for.
    pub suggest_difficulty: Option<f64>,
    /// How often to try again in a row; `None`: for ever.
    pub retries: Option<u64>,
    /// Longest pause between two tries.
    pub retry_pause: Duration,
    /// After so long without a word, a pool counts as lost.
    pub silence: Duration,
}

/// Tells early whether a pool's address is one that [`run`](super::run) can connect to.
///
/// # Errors
/// If it asks for TLS.
pub fn check_scheme(pool: &PoolUrl) -> Result<(), MinerError> {
    match pool.scheme {
        Scheme::Tcp => Ok(()),
        Scheme::Ssl => Err(MinerError::Tls { pool: pool.clone() }),
    }
}
