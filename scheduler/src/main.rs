//! The scheduler alone, for `cargo run -p scheduler`. It serves the `mesos-miner` program in its folder as the executor.

use std::process::ExitCode;

use scheduler::cli;

fn main() -> ExitCode {
    match command_line::parse::<cli::Args>(std::env::args_os()) {
        Ok(args) => {
            let checked = args.log.init("warn").map_err(Into::into);
            cli::main(args, checked, cli::sibling_executable)
        }
        Err(code) => code,
    }
}
