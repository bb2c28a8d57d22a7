//! Command lines of `mine`, `bench` and `executor`: what was typed, checked while it is read.

mod mine;
mod minerd;
mod values;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use command_line::duration;

pub use self::mine::MineArgs;
use self::values::threads;
pub use self::values::{Cores, PoolAddress, known_backend};
use crate::runner::{Runner, Runners};
use crate::worker;

/// The subcommands of this crate.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Mine for a pool, without Mesos
    Mine(Box<MineArgs>),
    /// Measure the search
    Bench(BenchArgs),
    /// Run as a Mesos executor; an agent starts this
    Executor(ExecutorArgs),
}

impl Command {
    /// Runs it. `server` runs pool server tasks, where there is a pool server.
    ///
    /// # Errors
    /// As the subcommand.
    pub fn run(&self, server: Option<Runner>) -> anyhow::Result<ExitCode> {
        match self {
            Command::Mine(args) => {
                logging::init(args.log_filter());
                crate::run_mine(args)
            }
            Command::Bench(args) => crate::run_bench(args),
            Command::Executor(args) => {
                logging::init_bounded("info");
                crate::run_executor(args, Runners { server, worker: worker::runner() })
            }
        }
    }
}

/// Options of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Print one line of JSON: an array with an object for each row
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Threads to run at once
    #[arg(short, long, env = "MINER_THREADS", value_name = "N", default_value = "1", value_parser = threads)]
    pub threads: NonZeroUsize,
    /// Time for each row
    #[arg(long, env = "MINER_TIME", value_name = "TIME", default_value = "1s", value_parser = duration)]
    time: Duration,
}

impl BenchArgs {
    /// Time for each row, yardstick included.
    pub fn time(&self) -> Duration {
        self.time
    }
}

/// Options of `executor`: there are none, the Mesos agent says everything in environment variables.
#[derive(Args, Clone, Debug, Default)]
pub struct ExecutorArgs {}
