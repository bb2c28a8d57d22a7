//! The cost of the whole miner, compared with the bare search.

use std::thread;
use std::time::Duration;

use hasher::MAX_VERSIONS;
use rustix::time::{ClockId, clock_gettime};

use crate::mining::{Miner, Pool, backend};
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::{Load, Watch, cpus};

const ROUNDS: usize = 7;
/// How long the bare search runs before and after each run of the miner. The mean rate of these two searches is compared with
/// the miner's rate, so that a steady drift of the CPU's clock rate favours neither.
const KERNEL_TIME: Duration = Duration::from_millis(700);
const MINER_TIME: Duration = Duration::from_secs(3);

/// The result of one run of the miner.
struct Run {
    /// The number of hashes that the mining threads compute per second of their CPU time.
    rate: f64,
    /// The CPU time of the mining threads, divided by the CPU time that was available to them. The available CPU time is that of
    /// all cores, minus the CPU time that other processes used.
    share: f64,
    load: Load,
}

pub fn measure() -> Vec<Figure> {
    let pool = Pool::start();
    let (mut ratios, mut shares, mut load) = (Vec::new(), Vec::new(), Load::default());
    let mut before = bare();
    for _ in 0..ROUNDS {
        let run = mine(&pool);
        let after = bare();
        ratios.push(run.rate / ((before + after) / 2.0));
        shares.push(run.share);
        load = load.and(run.load);
        before = after;
    }
    let details = format!("bare {:.2} MH/s per CPU, runs {}", before / 1e6, list(&ratios));
    let ratio = quantile(&ratios, 0.5);
    let share = quantile(&shares, 0.5);
    vec![
        Figure::new("hashes per CPU second ÷ bare search", ratio, "×", Bound::AtLeast(0.97), load)
            .with(details),
        Figure::new("CPU time of mining threads ÷ allowed", share, "×", Bound::AtLeast(0.97), load)
            .with(format!("runs {}", list(&shares))),
    ]
}

fn list(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ")
}

/// Measures the number of hashes that the bare search, on all cores concurrently, computes per second of CPU time.
fn bare() -> f64 {
    let on_one = || {
        let before = cpu_time();
        let hashes = backend().measure(MAX_VERSIONS, KERNEL_TIME).hashes;
        (hashes as f64, (cpu_time() - before).as_secs_f64())
    };
    let (hashes, time) = thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus()).map(|_| scope.spawn(on_one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a measurement does not panic"))
            .fold((0.0, 0.0), |(hashes, time), (more_hashes, more_time)| {
                (hashes + more_hashes, time + more_time)
            })
    });
    hashes / time
}

/// CPU time of the calling thread.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a CPU time is not negative")
}

fn mine(pool: &Pool) -> Run {
    let miner = Miner::start_hashing(&pool.address, cpus());
    let (watch, before) = (Watch::start(&[miner.id()]), miner.mining_time());
    thread::sleep(MINER_TIME);
    let (load, time) = (watch.load(), miner.mining_time());
    // `theirs` is the CPU time of all other processes, including the pool.
    let allowed = load.whole.saturating_sub(load.theirs);
    let share = (time - before).as_secs_f64() / allowed.as_secs_f64();
    miner.interrupt();
    let time = time.as_secs_f64();
    Run { rate: miner.summary().hashes as f64 / time, share, load }
}
