//! The scheduler alone, for `cargo run -p scheduler`. It serves the `mesos-miner` program in its folder as the executor.

use std::process::ExitCode;

use scheduler::cli;

fn main() -> ExitCode {
    match command_line::parse::<cli::Args>(std::env::args_os()) {
        Ok(args) => match args.log.init("warn") {
            Ok(()) => cli::main(args, cli::sibling_executable),
            Err(error) => command_line::exit(Err(error.into())),
        },
        Err(code) => code,
    }
}
