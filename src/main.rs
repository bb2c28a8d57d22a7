//! The program `mesos-miner`: parses the command line and runs the crate of the subcommand.
//!
//! One program contains all parts, so that the scheduler can send its own file to agents as the executor. The executors of
//! new tasks then have the scheduler's own version.

mod health;
mod mine;
mod node_credentials;
#[cfg(getrandom_backend = "custom")]
mod random;
mod server_task;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};
use command_line::LogArgs;
use executor::cli::{self, known_backend};

/// jemalloc, because the system's allocator slows down as the heap of a scheduler with thousands of tasks grows, and does not
/// return freed memory after a burst.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    Local(Box<local::cli::Args>),
    Scheduler(Box<scheduler::cli::Args>),
    Ledger(scheduler::ledger_table::cli::Args),
    /// Serve work to miners, from a Bitcoin node, another pool or a built-in chain
    Pool(Box<pool::cli::Args>),
    Accounts(pool::cli::accounts::Args),
    /// Mine for a pool, or on a Bitcoin node, without Mesos
    Mine(Box<mine::Args>),
    /// Measure the search
    Bench(cli::BenchArgs),
    Ctl(ctl::Args),
    /// Run as a Mesos executor; an agent starts this
    Executor,
}

fn main() -> ExitCode {
    match cli::parse::<Cli>() {
        Ok(cli) => run(cli.command),
        Err(code) => code,
    }
}

fn run(command: Command) -> ExitCode {
    let executable = || std::env::current_exe().context("cannot find this program's own file");
    match command {
        Command::Mine(args) => {
            let started = Instant::now();
            command_line::exit_with_summary(args.json(), started, mine::run(&args))
        }
        Command::Bench(args) => logged(args.json, &args.log, "warn", || executor::run_bench(&args)),
        Command::Ctl(args) => {
            let json = args.json;
            command_line::exit_with_json(json, command_line::block_on(1, ctl::run(args)))
        }
        Command::Executor => command_line::exit(executor::run_executor(server_task::runner())),
        Command::Local(args) => {
            let checked = args.log.init("warn").map_err(Into::into);
            let checked = checked.and_then(|()| known_backend(args.backend.as_deref()));
            local::cli::main(*args, checked, executable)
        }
        Command::Scheduler(args) => {
            let checked = args.log.init("warn").map_err(Into::into);
            let checked = checked.and_then(|()| known_backend(args.task.backend.as_deref()));
            scheduler::cli::main(*args, checked, executable)
        }
        Command::Ledger(args) => {
            let (json, log) = (args.json, args.log.clone());
            logged(json, &log, "warn", || scheduler::ledger_table::cli::run(args))
        }
        Command::Accounts(args) => logged(args.json, &args.log, "warn", || pool::cli::accounts::run(&args)),
        Command::Pool(args) => {
            let log = args.log.clone();
            logged(false, &log, "info", || pool::cli::run(*args))
        }
    }
}

/// Starts the log, then runs a subcommand. `default` is the filter of what is logged unless the user gives another one. With
/// `json`, the result on standard output is JSON also after a failure.
fn logged(
    json: bool,
    log: &LogArgs,
    default: &str,
    subcommand: impl FnOnce() -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let started = log.init(default).map_err(Into::into);
    command_line::exit_with_json(json, started.and_then(|()| subcommand()))
}
