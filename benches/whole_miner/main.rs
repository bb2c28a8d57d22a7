//! The requirements of the whole miner: figures that need a pool, a process and a clock instead of a loop.
//!
//! `cargo bench --bench whole_miner [-- --check] [--only NAME]…`
//!
//! `--check` exits with 1 if a figure misses its bound, and with 2 if there is no verdict on one because other
//! processes (or other guests of the same host) had too much of the CPU meanwhile. The names are those in the output.
//!
//! The miner is the binary; only for the latency of a new job it runs inside this process, as the engine's counters
//! say when each thread began. The pool then is a process of its own: this program, playing a pool.

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

/// The option with which this program starts itself as a pool.
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
