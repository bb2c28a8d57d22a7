//! The scheduler alone, for `cargo run -p scheduler`. It serves the `mesos-miner` beside it as the executor.

use std::process::ExitCode;

use scheduler::cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    cli::main(cli::parse(), cli::sibling_executable)
}
