//! The executor without a pool server: `cargo run -p executor -- -o HOST:PORT` mines, `… -- executor` runs under an agent.

use std::process::ExitCode;

use clap::Parser;
use executor::cli::{self, Command};

/// Bitcoin miner and custom Mesos executor
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match cli::parse::<Cli>() {
        Ok(cli) => command_line::exit(cli.command.run(None)),
        Err(code) => code,
    }
}
