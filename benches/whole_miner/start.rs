//! The time from the start of the process to its first hash, including the calibration.
//!
//! The pool sees the first hash as a share, because the target is so easy that the first chunk contains hits. So the figure
//! includes the time that a share takes to reach the pool, about 100 µs.

use std::time::{Duration, Instant};

use crate::mining::Miner;
use crate::pool::BenchPool;
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::{Watch, cpus};

const RUNS: usize = 15;
/// The difficulty of the pool's jobs, at which about one of ten thousand hashes is a share.
const DIFFICULTY: f64 = 2e-6;
/// Time limit for the first share to reach the pool. The miner exceeds it only if it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

pub fn measure() -> Vec<Figure> {
    let watch = Watch::start(&[std::process::id()]);
    let (mut times, mut ours) = (Vec::new(), Duration::ZERO);
    for _ in 0..RUNS {
        let (time, used) = run();
        times.push(time.as_secs_f64() * 1e3);
        ours += used;
    }
    // Only one miner thread runs during the calibration. Other processes may use the other CPUs without disturbing the
    // measurement.
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
