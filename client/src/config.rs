//! The client's settings.

use std::collections::BTreeSet;
use std::time::Duration;

use net::Dialer;
use stratum::{OptionalRequest, PoolUrl, ResumeToken, SessionOptions};
use task::PoolRules;
use tokio::time::Instant;

use crate::dialect::PoolDialect;
use crate::fitness::{self, Fitness};

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
    /// The optional requests to leave out at all pools. A pool whose address asks for `mining.extranonce.subscribe` gets it all the
    /// same. Default: none.
    pub omit: BTreeSet<OptionalRequest>,
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
    /// If another pool is given, a pool that sends no new job for this long is left. Default: `None`, the time follows from the pool's
    /// earlier jobs, on chains that are as busy as Bitcoin's main network only.
    pub job_timeout: Option<Duration>,
    /// How long a pool that was of no use is not returned to at first; the time doubles each further time. Default: 5 min.
    pub set_aside: Duration,
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
            omit: BTreeSet::new(),
            suggest_difficulty: None,
            minimum_difficulty: None,
            smallest_extranonce2: 0,
            retries: None,
            refusals: None,
            retry_pause: Duration::from_secs(30),
            silence_timeout: Duration::from_secs(300),
            waiting_after: Duration::from_secs(10),
            first_job_timeout: Duration::from_secs(30),
            job_timeout: None,
            set_aside: fitness::SET_ASIDE,
            probe_interval: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(60),
        }
    }

    /// Follows the user's rules for pools.
    pub fn set_rules(&mut self, rules: &PoolRules) {
        let PoolRules { no_extranonce, no_suggest, no_version_rolling, job_timeout } = *rules;
        let left_out = [
            (no_extranonce, OptionalRequest::SubscribeExtranonce),
            (no_suggest, OptionalRequest::SuggestDifficulty),
        ];
        self.omit.extend(left_out.into_iter().filter_map(|(out, request)| out.then_some(request)));
        if no_version_rolling {
            self.version_mask = 0;
        }
        self.job_timeout = job_timeout;
    }
}

/// Facts about a pool, learned from earlier connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolHistory {
    /// The token with which the next connection asks the pool to resume the last session; `None` if there is none to resume.
    pub resume: Option<ResumeToken>,
    /// Which optional requests the pool survives.
    pub dialect: PoolDialect,
    /// Whether the pool is of use.
    pub fitness: Fitness,
}

impl PoolHistory {
    /// The optional requests that the next connection to `url` leaves out.
    pub fn omit(&self, config: &Config, url: &PoolUrl, now: Instant) -> BTreeSet<OptionalRequest> {
        use OptionalRequest::{Configure, SubscribeExtranonce};
        let mut omit = config.omit.clone();
        if self.dialect.hangs_up_on(now).contains(&Configure) {
            // A pool that does not know extensions most likely knows this one neither.
            omit.insert(SubscribeExtranonce);
        }
        if url.subscribe_extranonce {
            omit.remove(&SubscribeExtranonce);
        }
        if config.version_mask == 0 && config.minimum_difficulty.is_none() {
            omit.insert(Configure);
        }
        &omit | &self.dialect.omit(now)
    }
}

#[cfg(test)]
mod tests {
    use OptionalRequest::{Configure, SubscribeExtranonce, SuggestDifficulty};

    use super::*;

    #[test]
    fn what_is_left_out_follows_from_options_address_and_experience() {
        let (plain, xnsub) = (url("h:1"), url("h:1/#xnsub"));
        let config = |rules| {
            let mut config = Config::new(Vec::new());
            config.set_rules(&rules);
            config
        };
        let all =
            PoolRules { no_extranonce: true, no_suggest: true, no_version_rolling: true, job_timeout: None };
        let (usual, silent) = (config(PoolRules::default()), config(all));
        let (mut history, now) = (PoolHistory::default(), Instant::now());
        assert_eq!(history.omit(&usual, &plain, now), [].into());
        assert_eq!(
            history.omit(&silent, &plain, now),
            [Configure, SuggestDifficulty, SubscribeExtranonce].into()
        );
        assert_eq!(history.omit(&silent, &xnsub, now), [Configure, SuggestDifficulty].into());
        let minimum = Config { minimum_difficulty: Some(2.0), ..silent };
        assert_eq!(history.omit(&minimum, &plain, now), [SuggestDifficulty, SubscribeExtranonce].into());
        history.dialect.on_hang_up(&[Configure].into(), None);
        assert_eq!(history.omit(&usual, &plain, now), [Configure, SubscribeExtranonce].into());
        assert_eq!(history.omit(&usual, &xnsub, now), [Configure].into());
        history.dialect.on_hang_up(&[SubscribeExtranonce].into(), None);
        assert_eq!(history.omit(&usual, &xnsub, now), [Configure, SubscribeExtranonce].into());
    }

    fn url(text: &str) -> PoolUrl {
        text.parse().unwrap()
    }
}
