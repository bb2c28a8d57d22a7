//! Checks that the number of shares fits the number of hashes that the miner reports.

use std::thread;
use std::time::Duration;

use hasher::Target;

use crate::mining::Miner;
use crate::pool::BenchPool;
use crate::suite::figure::{Bound, Figure};
use crate::suite::machine::cpus;

const TIME: Duration = Duration::from_secs(10);
/// The difficulty of the pool's jobs, at which each mining thread finds a few hundred shares a second.
const DIFFICULTY: f64 = 1e-4;
/// The interval at which the pool sends new jobs. Previous jobs stay valid.
const JOB_TIME: Duration = Duration::from_millis(250);

pub fn measure() -> Vec<Figure> {
    let pool = BenchPool::start(DIFFICULTY, false);
    let miner = Miner::start_hashing(&pool.address.to_string(), cpus());
    for _ in 0..TIME.as_millis() / JOB_TIME.as_millis() {
        thread::sleep(JOB_TIME);
        pool.notify();
    }
    miner.interrupt();
    let summary = miner.summary();
    let (counts, shares) = (pool.counts(), &summary.shares);
    let claimed = shares.accepted + shares.rejected + shares.stale + shares.unanswered;
    let expected = summary.hashes as f64 / Target::from_difficulty(DIFFICULTY).work() as f64;
    let deviation = (claimed as f64 - expected) / expected.sqrt();
    let details = format!(
        "{} hashes, {expected:.0} shares expected, {claimed} found, {} taken",
        summary.hashes, counts.good
    );
    let failed = counts.twice + counts.wrong + claimed.abs_diff(counts.good);
    vec![
        Figure::steady("shares against hashes", deviation.abs(), "σ", Bound::AtMost(4.0)).with(details),
        Figure::steady("shares wrong, twice or lost", failed as f64, "shares", Bound::AtMost(0.0)),
    ]
}
