//! `mesos-miner local` without the rest: `local PATH_OF_MESOS_MINER [OPTIONS]`.

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() < 2 {
        eprintln!("usage: local PATH_OF_MESOS_MINER [OPTIONS]");
        return ExitCode::from(64);
    }
    let executable = PathBuf::from(arguments.remove(1));
    local::cli::main(local::cli::Args::parse_from(arguments), move || Ok(executable))
}
