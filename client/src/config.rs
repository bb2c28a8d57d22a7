//! The client's settings.

use std::time::Duration;

use net::Dialer;
use stratum::{PoolUrl, ResumeToken, SessionOptions};

/// A pool, and the account there. Its debug form omits the password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct Pool {
    /// The pool's address.
    pub url: PoolUrl,
    /// User name, commonly `ACCOUNT.WORKER`.
    pub user: String,
    /// Password.
    #[debug(skip)]
    pub password: String,
}

/// A client's settings. [`Config::new`] sets the defaults named below.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pools in order of preference.
    pub pools: Vec<Pool>,
    /// How to connect to all of them.
    pub dialer: Dialer,
    /// Version bits that the miner can roll; 0 disables version rolling. Default: those of BIP-0320.
    pub version_mask: u32,
    /// The difficulty to suggest; positive and finite. Default: none.
    pub suggest_difficulty: Option<f64>,
    /// The minimum difficulty to ask for, where a pool supports that extension; positive and finite. Default: none.
    pub minimum_difficulty: Option<f64>,
    /// How many attempts in a row may fail before the client gives up. Default: `None`, it never gives up.
    pub retries: Option<u64>,
    /// Longest pause between two attempts. Default: 30 s.
    pub retry_pause: Duration,
    /// A pool that sends nothing for so long counts as lost. After half of this time it is pinged. Default: 300 s.
    pub silence_timeout: Duration,
    /// Time from the connection to its first job, after which the next pool is tried. Default: 30 s.
    pub first_job_timeout: Duration,
    /// How often to probe whether a better pool has recovered. Default: 30 s.
    pub probe_interval: Duration,
    /// How long to wait for answers of a pool after the switch to a better one. Default: 10 s.
    pub drain_timeout: Duration,
    /// How long shares without an answer wait for their session to be resumed. Default: 60 s.
    pub resume_timeout: Duration,
}

impl Config {
    /// The defaults, for these pools.
    pub fn new(pools: Vec<Pool>) -> Self {
        Config {
            pools,
            dialer: Dialer::default(),
            version_mask: SessionOptions::VERSION_MASK,
            suggest_difficulty: None,
            minimum_difficulty: None,
            retries: None,
            retry_pause: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(300),
            first_job_timeout: Duration::from_secs(30),
            probe_interval: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(60),
        }
    }
}

/// What earlier connections taught about a pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolHistory {
    /// How to resume the last session.
    pub resume: Option<ResumeToken>,
    /// Whether the next connection leaves out `mining.configure`. Some old pools hang up when they receive it, so after a
    /// connection that ended without a message the next one does without, and the one after that tries it again.
    pub skip_configure: bool,
}
