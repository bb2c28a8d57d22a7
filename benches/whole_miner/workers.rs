//! Two workers of one CPU each, at the same time, compared with one worker.

use std::thread;
use std::time::{Duration, Instant};

use crate::mining::{Miner, Pool};
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::{Load, Watch, allowed_cores, cpus};

const ROUNDS: usize = 5;
/// The figure is not judged if other processes use more than this fraction of the CPU time. The fraction is smaller than for
/// other figures, because other processes slow down the two workers, but not the single worker with which they are compared.
const NOISE: f64 = 0.015;
const TIME: Duration = Duration::from_secs(3);

pub fn measure() -> Vec<Figure> {
    if cpus() < 2 {
        println!("workers    skipped: one CPU has no room for two workers");
        return Vec::new();
    }
    let pool = Pool::start();
    let (mut ratios, mut load, mut cores) = (Vec::new(), Load::default(), String::new());
    for _ in 0..ROUNDS {
        let (one, alone, _) = mine(&pool, 1);
        let (two, beside, allowed) = mine(&pool, 2);
        ratios.push(two / (2.0 * one));
        load = load.and(alone.beside(1.0)).and(beside);
        cores = allowed;
    }
    let ratio = quantile(&ratios, 0.5);
    vec![
        Figure::new("two 1-CPU workers ÷ twice one", ratio, "×", Bound::AtLeast(0.95), load)
            .refused_above(NOISE)
            .with(format!("their threads may run on cores {cores}")),
    ]
}

/// Measures the number of hashes that `workers` workers together compute per second.
fn mine(pool: &Pool, workers: usize) -> (f64, Load, String) {
    let miners: Vec<_> = (0..workers)
        .map(|_| {
            let miner = Miner::start_hashing(&pool.address, 1);
            // The miner counts hashes from the start of its search, so note the CPU time that it has used before.
            let head_start = miner.mining_time();
            (miner, Instant::now(), head_start)
        })
        .collect();
    let cores: Vec<_> = miners.iter().filter_map(|(miner, ..)| allowed_cores(miner.id())).collect();
    let mut ours: Vec<u32> = miners.iter().map(|(miner, ..)| miner.id()).collect();
    ours.push(pool.id());
    let watch = Watch::start(&ours);
    thread::sleep(TIME);
    let load = watch.load();
    let times: Vec<f64> =
        miners.iter().map(|(_, since, head_start)| (since.elapsed() + *head_start).as_secs_f64()).collect();
    miners.iter().for_each(|(miner, ..)| miner.interrupt());
    let hashes = miners.into_iter().map(|(miner, ..)| miner.summary().hashes as f64);
    (hashes.zip(times).map(|(hashes, time)| hashes / time).sum(), load, cores.join(" and "))
}
