//! `mesos-miner ledger`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use clap::builder::BoolishValueParser;

use super::{Accounts, render};
use crate::store;

/// Print the ledger: pool's and workers' accounts side by side; a running scheduler is not disturbed
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// The scheduler's state folder.
    #[arg(long, value_name = "DIR", env = "MINER_STATE_DIR", default_value = "mesos-miner-state")]
    pub state_dir: PathBuf,
    /// All frameworks that the folder has seen, not only the last.
    #[arg(long, env = "MINER_LEDGER_ALL", value_parser = BoolishValueParser::new())]
    pub all: bool,
    /// Print JSON.
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new(), conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long, env = "MINER_CSV", value_parser = BoolishValueParser::new())]
    pub csv: bool,
}

/// Reads the ledger and prints it on standard output.
///
/// # Errors
/// If there is no ledger in the folder, or it can't be read.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let accounts = Accounts::new(&store::books(&args.state_dir, args.all)?);
    let text = match (args.json, args.csv) {
        (true, _) => serde_json::to_string(&accounts)? + "\n",
        (_, true) => render::csv(&accounts),
        _ => accounts.to_string(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}
