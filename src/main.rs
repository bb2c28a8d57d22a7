//! The one binary: reads the command line and hands over to a crate.
//!
//! One binary, so that the scheduler can ship itself to agents as the executor: one version, one checksum.

mod server_task;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use executor::start;

/// A Bitcoin mining system on Apache Mesos
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
#[command(after_help = "`mesos-miner -o HOST:PORT …` without a subcommand is `mine`.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve work to miners over a chain of its own
    Pool(pool::cli::Args),
    #[command(flatten)]
    Executor(executor::cli::Command),
}

fn main() -> ExitCode {
    match start::parse::<Cli>() {
        Ok(cli) => start::exit(run(cli.command)),
        Err(code) => code,
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Executor(command) => command.run(Some(server_task::runner())),
        Command::Pool(args) => {
            start::init_logs("info");
            pool::cli::run(args)
        }
    }
}
