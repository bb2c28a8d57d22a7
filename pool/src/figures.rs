//! The pool's figures over time.

use std::time::Duration;

use series::{Counters, Sample};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Now;
use crate::handle::PoolHandle;

/// The time between two samples.
const PERIOD: Duration = Duration::from_secs(10);

/// Records a sample every ten seconds, until `stop`.
pub async fn record(pool: &PoolHandle, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let (now, sample) = (u64::from(Now::read().unix), sample(pool));
        pool.series().with(|series| series.record(now, sample));
    }
}

/// The figures of this moment.
fn sample(pool: &PoolHandle) -> Sample {
    let (mut hashrate, mut counters) = (0.0, Counters::default());
    pool.each_worker(|worker| {
        let totals = &worker.totals;
        hashrate += worker.hashrate;
        counters = counters.plus(&Counters {
            accepted: totals.accepted,
            rejected: totals.rejected,
            stale: totals.stale,
            unanswered: totals.unanswered,
            blocks: totals.blocks,
        });
    });
    Sample { hashrate, workers: pool.connected_workers() as u64, counters }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use task::{ShareRow, Verdict};

    use super::*;
    use crate::config::Config;
    use crate::miner_sessions::MinerSessionGuard;
    use crate::pool_state::PoolState;
    use crate::share::JudgedShare;

    fn judged(worker: &str, verdict: Verdict) -> JudgedShare {
        let row = ShareRow {
            job: "1".into(),
            extranonce2: vec![0; 4],
            ntime: 1,
            version: 1,
            nonce: 1,
            difficulty: 1.0,
            verdict,
            round_trip: Duration::ZERO,
        };
        JudgedShare { worker: worker.into(), row, work: 1_000, candidate: false, rejection: None }
    }

    #[test]
    fn a_sample_has_the_sums_of_all_workers() {
        let state = Arc::new(PoolState::new(Config::default(), false).0);
        let mut session = MinerSessionGuard::new(state.miners.clone(), ([127, 0, 0, 1], 1).into(), 7);
        session.add_worker("a".into());
        let verdicts = [("a", Verdict::Accepted), ("a", Verdict::Stale), ("b", Verdict::Accepted)];
        verdicts.into_iter().for_each(|(worker, verdict)| state.count(judged(worker, verdict)));
        state.count(judged("b", Verdict::Rejected(23)));
        let Sample { hashrate, workers, counters } = sample(&PoolHandle::new(state));
        let wanted = Counters { accepted: 2, rejected: 1, stale: 1, ..Counters::default() };
        assert_eq!((workers, counters), (1, wanted));
        assert!(hashrate > 0.0);
    }
}
