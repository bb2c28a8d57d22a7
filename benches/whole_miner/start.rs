//! From the start of the process to its first hash, calibration included.
//!
//! The first hash shows by its share: the target is so easy that the first chunk has hits, so the way of a share to
//! the pool, some 100 µs, is part of the figure.

use std::time::{Duration, Instant};

use crate::mining::Miner;
use crate::pool::BenchPool;
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::{Watch, cpus};

const RUNS: usize = 15;
/// A hit in some ten thousand hashes.
const DIFFICULTY: f64 = 2e-6;
/// A deadline that only a defect exceeds.
const DEADLINE: Duration = Duration::from_secs(30);

pub fn measure() -> Vec<Figure> {
    let watch = Watch::start(&[std::process::id()]);
    let (mut times, mut ours) = (Vec::new(), Duration::ZERO);
    for _ in 0..RUNS {
        let (time, used) = run();
        times.push(time.as_secs_f64() * 1e3);
        ours += used;
    }
    // One thread calibrates; the others begin when it is done.
    let mut load = watch.load();
    load.ours += ours;
    load.theirs = load.theirs.saturating_sub(ours);
    let details = format!("{RUNS} runs, slowest {:.0} ms", quantile(&times, 1.0));
    vec![
        Figure::new(
            "start to first hash",
            quantile(&times, 0.5),
            "ms",
            Bound::AtMost(150.0),
            load.beside(1.0),
        )
        .with(details),
    ]
}

/// The time to the first share, and the miner's CPU time.
fn run() -> (Duration, Duration) {
    let pool = BenchPool::start(DIFFICULTY, false);
    let miner = Miner::start(&pool.address.to_string(), cpus(), &["--quiet"]);
    let since = Instant::now();
    loop {
        if let Some(share) = pool.first_share() {
            return (share - miner.started, crate::suite::machine::process(miner.id()));
        }
        assert!(since.elapsed() < DEADLINE, "the miner finds nothing");
        std::thread::sleep(Duration::from_millis(2));
    }
}
