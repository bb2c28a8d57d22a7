//! The scheduler alone, for `cargo run -p scheduler`. It serves the `mesos-miner` beside it as the executor.

use std::process::ExitCode;

use scheduler::cli;

fn main() -> ExitCode {
    program::init_logs("warn");
    cli::main(cli::parse(), cli::sibling_executable)
}
