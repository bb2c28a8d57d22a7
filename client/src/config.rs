//! Which pools, and how much patience with them.

use std::fmt;
use std::time::Duration;

use net::Dialer;
use stratum::{Options, PoolUrl, Resume};

/// A pool, and who we are to it. Its debug form leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct Pool {
    /// Where it is.
    pub url: PoolUrl,
    /// User, commonly with a worker's name behind a dot.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a client is to do. [`Config::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pools in order of preference.
    pub pools: Vec<Pool>,
    /// How to connect to all of them.
    pub dialer: Dialer,
    /// Version bits that can be chosen; 0 asks for none. Those of BIP-0320.
    pub version_mask: u32,
    /// The difficulty to ask for; positive and finite. None.
    pub suggest_difficulty: Option<f64>,
    /// Least difficulty to ask for, where a pool knows that extension; positive and finite. None.
    pub minimum_difficulty: Option<f64>,
    /// How often to try again in a row; `None`: for ever. For ever.
    pub retries: Option<u64>,
    /// Longest pause between two tries. 30 s.
    pub retry_pause: Duration,
    /// After so long without a word, a pool counts as lost; after half of it, it is asked for one. 300 s.
    pub silence: Duration,
    /// Time from a connection to its first job, after which the next pool is tried. 30 s.
    pub start: Duration,
    /// How often to look whether a better pool than the present one is back. 30 s.
    pub probe_interval: Duration,
    /// How long answers from a pool are waited for after the switch to a better one. 10 s.
    pub drain: Duration,
    /// How long shares without an answer wait for their session to be resumed. 60 s.
    pub limbo: Duration,
}

impl Config {
    /// The defaults, for these pools.
    pub fn new(pools: Vec<Pool>) -> Config {
        Config {
            pools,
            dialer: Dialer::default(),
            version_mask: Options::VERSION_MASK,
            suggest_difficulty: None,
            minimum_difficulty: None,
            retries: None,
            retry_pause: Duration::from_secs(30),
            silence: Duration::from_secs(300),
            start: Duration::from_secs(30),
            probe_interval: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            limbo: Duration::from_secs(60),
        }
    }
}

/// What earlier connections to a pool have taught.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// How to resume the session with it.
    pub resume: Option<Resume>,
    /// Whether the last connection ended before a word was said. Some old pools hang up on `mining.configure`, so every
    /// other try does without.
    pub hung_up: bool,
}
