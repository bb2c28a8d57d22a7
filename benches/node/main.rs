//! Measures the program beside a real Bitcoin Core, which `scripts/peers` installs.
//!
//! `cargo bench --bench node [-- --check] [--only NAME]…`
//!
//! `--check` exits with 1 if a figure misses its bound, and with 2 if a figure cannot be judged because other processes used too
//! much CPU time during the measurement. NAME is the name of a measurement, as in the output.

mod blocks;
mod crowd;
mod first_job;
mod processes;
mod stratum;
#[allow(dead_code, reason = "shared with other benches")]
#[path = "../suite/suite.rs"]
mod suite;

use std::process::ExitCode;

use suite::Measurement;

const MEASUREMENTS: [Measurement; 4] = [
    ("first_job", first_job::measure),
    ("crowd", crowd::default_node),
    ("four", crowd::four_threads),
    ("one", crowd::one_thread),
];

fn main() -> ExitCode {
    suite::run(&MEASUREMENTS, suite::machine::describe)
}
