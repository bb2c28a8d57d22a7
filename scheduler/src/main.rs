//! The scheduler alone, for `cargo run -p scheduler`. It serves the `mesos-miner` program in its folder as the executor.

use std::process::ExitCode;

use scheduler::cli;

fn main() -> ExitCode {
    logging::init("warn");
    match command_line::parse(std::env::args_os()) {
        Ok(args) => cli::main(args, cli::sibling_executable),
        Err(code) => code,
    }
}
