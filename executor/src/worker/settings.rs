//! The settings of a worker's miner: the URLs of its pool and the time limits.

use std::time::Duration;

use command_line::dial_options;
use net::Dialer;
use stratum::{PoolUrl, PoolUrlError};
use task::WorkerSpec;
use tracing::debug;

use crate::miner;
use crate::runner::TaskError;
use crate::started_engine::difficulty_for;

/// The desired time between two shares of a worker.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to connect. It is short because a lost pool server is soon replaced by a new task.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// How often a worker that mines at an alternative URL of its pool checks whether it can use the preferred URL again. The checks
/// are rare, because both URLs lead to the same pool.
const PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// If the pool has alternative URLs, an attempt to connect to one of them may take this long. Then the worker tries the next URL.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A pool that sends nothing for this long counts as lost.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// After this time of silence the worker says what its pool owes it.
const WAITING_AFTER: Duration = Duration::from_secs(5);

/// The settings of the miner for a worker whose engine computes `hashrate` hashes per second.
///
/// # Errors
/// If no address of the pool is valid, or its certificates cannot be used.
pub fn config(spec: &WorkerSpec, hashrate: f64) -> Result<miner::Config, TaskError> {
    let urls = pool_urls(&spec.pool, &spec.alternatives)
        .map_err(|error| TaskError::new(format!("bad pool address: {error}")))?;
    let secure = urls.iter().any(|url| url.scheme.is_secure());
    let mut dialer = Dialer::new(&dial_options(&spec.access), secure).map_err(|error| {
        TaskError::new(format!("cannot connect to {}: {}", spec.pool, logging::error_chain(&error)))
    })?;
    if urls.len() > 1 {
        dialer.timeout = DIAL_TIMEOUT;
    }
    let pool = |url| miner::Pool { url, user: spec.user.clone(), password: spec.password.clone() };
    let mut config = miner::Config {
        suggest_difficulty: Some(difficulty_for(hashrate, SHARE_INTERVAL)),
        dialer,
        retry_pause: RETRY_PAUSE,
        silence_timeout: SILENCE_TIMEOUT,
        waiting_after: WAITING_AFTER,
        refusals: miner::Config::FEW_REFUSALS,
        probe_interval: PROBE_INTERVAL,
        ..miner::Config::new(urls.into_iter().map(pool).collect())
    };
    config.set_rules(&spec.access.rules);
    Ok(config)
}

/// The URLs of a pool, best first. Those that are invalid are left out, because an agent's host name may be any text.
///
/// # Errors
/// If no URL is valid: the error of the first one.
pub fn pool_urls(pool: &str, alternatives: &[String]) -> Result<Vec<PoolUrl>, PoolUrlError> {
    let parse = |text: &str| text.parse().inspect_err(|error| debug!(text, %error, "not a pool's address"));
    let first = parse(pool);
    let others = alternatives.iter().filter_map(|text| parse(text).ok());
    match first {
        Ok(first) => Ok(std::iter::once(first).chain(others).collect()),
        Err(error) => Some(others.collect::<Vec<_>>()).filter(|others| !others.is_empty()).ok_or(error),
    }
}

#[cfg(test)]
mod tests {
    use task::PoolAccess;

    use super::*;

    fn spec(pool: &str, alternatives: &[&str]) -> WorkerSpec {
        WorkerSpec {
            pool: pool.into(),
            alternatives: alternatives.iter().map(|text| (*text).to_owned()).collect(),
            user: "miner-worker-7".into(),
            password: "x".into(),
            access: PoolAccess::default(),
            cpus: 1.0,
            backend: None,
        }
    }

    #[test]
    fn the_urls_of_a_pool_are_tried_in_order_and_invalid_ones_are_left_out() {
        for (pool, alternatives, expected) in [
            ("stratum+tcp://a:1", &["stratum+tcp://10.0.0.1:1"][..], &["a:1", "10.0.0.1:1"][..]),
            ("stratum+tcp://a:1", &[], &["a:1"]),
            ("stratum+tcp://a b:1", &["stratum+tcp://[fd00::1]:1"], &["[fd00::1]:1"]),
            ("stratum+tcp://a:1", &["stratum+tcp://c d:1", ""], &["a:1"]),
        ] {
            let config = config(&spec(pool, alternatives), 1e6).unwrap();
            let urls: Vec<_> = config.pools.iter().map(|pool| pool.url.to_string()).collect();
            let expected: Vec<_> = expected.iter().map(|url| format!("stratum+tcp://{url}")).collect();
            assert_eq!(urls, expected);
            assert!(config.pools.iter().all(|pool| pool.user == "miner-worker-7"));
            let limit = if urls.len() > 1 { DIAL_TIMEOUT } else { Dialer::default().timeout };
            assert_eq!(config.dialer.timeout, limit, "{urls:?}");
        }
        let error = config(&spec("a b:1", &["c d:1"]), 1e6).unwrap_err();
        assert!(error.message.contains("bad pool address") && error.message.contains("a b"), "{error:?}");
    }
}
