//! The client's settings.

use std::time::Duration;

use net::Dialer;
use stratum::{PoolUrl, ResumeToken, SessionOptions};

/// A pool and our account at it. `Debug` omits the password.
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

/// A client's settings. [`Config::new`] sets all fields but the pools to their defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pools in order of preference.
    pub pools: Vec<Pool>,
    /// How to connect to the pools.
    pub dialer: Dialer,
    /// Version bits that the miner can roll; 0 disables version rolling. Default: the bits of BIP-0320.
    pub version_mask: u32,
    /// The difficulty to suggest; positive and finite. Default: none.
    pub suggest_difficulty: Option<f64>,
    /// The minimum difficulty to request from pools that support the extension `minimum-difficulty` (BIP-0310); positive and
    /// finite. Default: none.
    pub minimum_difficulty: Option<f64>,
    /// The smallest extranonce2 to work with, in bytes. A pool that leaves less is left for the next one. Default: 0.
    pub smallest_extranonce2: usize,
    /// The maximum number of retries in a row before the client stops trying. Default: `None`, no limit.
    pub retries: Option<u64>,
    /// The number of permanent refusals ([`crate::ClientError::is_permanent`]) in a row, of each pool, after which the client
    /// stops trying, unless a pool has sent a job before. Default: `None`, no limit.
    pub refusals: Option<u64>,
    /// Longest pause between two attempts. Default: 30 s.
    pub retry_pause: Duration,
    /// A pool that sends nothing for this long counts as lost. After half of this time the client pings it. Default: 300 s.
    pub silence_timeout: Duration,
    /// After this time of silence the client tells what it waits for ([`crate::Event::Waiting`]). Default: 10 s.
    pub waiting_after: Duration,
    /// How long a connected pool may take to send its first job before the next pool is tried. Default: 30 s.
    pub first_job_timeout: Duration,
    /// How often the client probes whether a better pool has recovered. Default: 30 s.
    pub probe_interval: Duration,
    /// How long to wait for the answers of the previous pool after a switch to a better one. Default: 10 s.
    pub drain_timeout: Duration,
    /// How long unanswered shares wait for their session to be resumed. Default: 60 s.
    pub resume_timeout: Duration,
}

impl Config {
    /// A usual value of [`Config::refusals`]: a pool that answers three times that it does not know the user will not change its
    /// mind.
    pub const FEW_REFUSALS: Option<u64> = Some(3);

    /// The defaults, for these pools.
    pub fn new(pools: Vec<Pool>) -> Self {
        Config {
            pools,
            dialer: Dialer::default(),
            version_mask: SessionOptions::VERSION_MASK,
            suggest_difficulty: None,
            minimum_difficulty: None,
            smallest_extranonce2: 0,
            retries: None,
            refusals: None,
            retry_pause: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(300),
            waiting_after: Duration::from_secs(10),
            first_job_timeout: Duration::from_secs(30),
            probe_interval: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(60),
        }
    }
}

/// Facts about a pool, learned from earlier connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolHistory {
    /// The token with which the next connection asks the pool to resume the last session; `None` if there is none to resume.
    pub resume: Option<ResumeToken>,
    /// Whether the next connection omits `mining.configure`. Some old pools hang up when they receive it. So if a pool hangs up
    /// before it sends a message, the next connection omits `mining.configure`, and the connection after that sends it again.
    pub skip_configure: bool,
}
