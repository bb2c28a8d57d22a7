//! What the whole miner must hold: the figures that need a pool, a process and a clock, not a loop.
//!
//! `cargo bench --bench whole_miner [-- --check] [--only NAME]…`
//!
//! `--check` exits with 1 if a figure misses its bound, and with 2 if there is no verdict on one because other
//! processes (or other guests of the same host) had too much of the CPU meanwhile. The names are those in the output.
//!
//! The miner is the binary; only for the latency of a new job it runs inside this process, as the engine's counters
//! say when each thread began. The pool then is a process of its own: this program, playing a pool.

mod efficiency;
mod figure;
mod fractions;
mod latency;
mod machine;
mod memory;
mod mining;
mod pool;
#[path = "../shared/mod.rs"]
mod shared;
mod shares;
mod start;
mod workers;

use std::process::ExitCode;

use figure::Figure;

/// The option with which this program starts itself as a pool.
const PLAY_POOL: &str = "--play-pool";

/// A measurement: its name and what takes it.
type Measurement = (&'static str, fn() -> Vec<Figure>);

const MEASUREMENTS: [Measurement; 7] = [
    ("efficiency", efficiency::measure),
    ("workers", workers::measure),
    ("latency", latency::measure),
    ("start", start::measure),
    ("shares", shares::measure),
    ("fractions", fractions::measure),
    ("memory", memory::measure),
];

struct Options {
    check: bool,
    only: Vec<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { check: false, only: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {} // cargo adds it
            "--check" => options.check = true,
            "--only" => {
                let name = arguments.next().unwrap_or_default();
                if !MEASUREMENTS.iter().any(|(known, _)| *known == name) {
                    let known: Vec<_> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
                    return Err(format!("--only {name:?}: there are {}", known.join(", ")));
                }
                options.only.push(name);
            }
            other => return Err(format!("unknown option {other:?}; there are --check and --only NAME")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(PLAY_POOL) {
        latency::play_pool();
        return ExitCode::SUCCESS;
    }
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(64);
        }
    };
    println!("{}; search: {}", machine::describe(), mining::backend());
    let mut figures = Vec::new();
    for (name, measure) in MEASUREMENTS {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            for figure in measure() {
                println!("{name:<10} {figure}");
                figures.push(figure);
            }
        }
    }
    if options.check { figure::verdict(&figures) } else { ExitCode::SUCCESS }
}
