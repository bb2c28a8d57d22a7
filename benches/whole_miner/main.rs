//! Measures the whole miner while it works for a pool.
//!
//! `cargo bench --bench whole_miner [-- --check] [--only NAME]…`
//!
//! `--check` exits with 1 if a figure misses its bound, and with 2 if a figure cannot be judged because other
//! processes (or other guests of the same host) used too much CPU time during the measurement. NAME is the name of a
//! measurement, as in the output.
//!
//! The miner is the real binary, except in the measurement of a new job's latency. There the miner runs inside this process,
//! because the engine's counters show when each thread began to mine the job, and a second process of this program acts as the
//! pool.

mod efficiency;
mod fractions;
#[path = "../shared/job.rs"]
mod job;
mod latency;
mod memory;
mod mining;
mod pool;
mod shares;
mod start;
#[allow(dead_code, reason = "shared with other benches")]
#[path = "../suite/suite.rs"]
mod suite;
mod workers;

use std::process::ExitCode;

use suite::Measurement;

/// This bench starts a second process of its own program with this option. The second process acts as the pool.
const PLAY_POOL: &str = "--play-pool";

const MEASUREMENTS: [Measurement; 7] = [
    ("efficiency", efficiency::measure),
    ("workers", workers::measure),
    ("latency", latency::measure),
    ("start", start::measure),
    ("shares", shares::measure),
    ("fractions", fractions::measure),
    ("memory", memory::measure),
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(PLAY_POOL) {
        latency::play_pool();
        return ExitCode::SUCCESS;
    }
    suite::run(&MEASUREMENTS, || format!("{}; search: {}", suite::machine::describe(), mining::backend()))
}
