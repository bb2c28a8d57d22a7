//! Workers with a fraction of a CPU.

use std::thread;
use std::time::{Duration, Instant};

use executor::engine::Engine;
use executor::engine::cpus::{CpuLimits, CpuRequest, allocate};

use crate::job::sample_job;
use crate::mining::backend;
use crate::suite::figure::{Bound, Figure};
use crate::suite::machine::{Watch, cpus, mining_threads};

const TIME: Duration = Duration::from_secs(5);

pub fn measure() -> Vec<Figure> {
    [0.3, 1.5].into_iter().filter(|share| *share <= cpus() as f64).flat_map(run).collect()
}

fn run(share: f64) -> [Figure; 2] {
    let threads = || mining_threads(std::process::id());
    // Wait until the threads of the last engine have ended, some time after the engine was dropped. Otherwise the first reading
    // of the CPU time would count them, but the second would not.
    while !threads().is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    let request = CpuRequest { cpus: Some(share), ..CpuRequest::default() };
    let cpus = allocate(&request, &CpuLimits::of_this_process()).expect("a share of this machine");
    let (mut engine, _found) = Engine::start(backend(), &cpus).expect("threads");
    engine.mine(sample_job(1, 12));
    let used = || threads().iter().sum::<Duration>();
    let (watch, before, start) = (Watch::start(&[std::process::id()]), used(), Instant::now());
    thread::sleep(TIME);
    let ratio = (used() - before).as_secs_f64() / start.elapsed().as_secs_f64() / share;
    let details = format!("{share} CPUs, threads: {}", cpus.threads);
    [
        Figure::new("part of a CPU is used", ratio, "×", Bound::AtLeast(0.97), watch.load())
            .with(details.clone()),
        Figure::steady("part of a CPU is kept to", ratio, "×", Bound::AtMost(1.02)).with(details),
    ]
}
