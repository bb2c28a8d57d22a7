//! `mesos-miner ledger`.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::BoolishValueParser;
use command_line::{LogArgs, RedactedParser, written};
use mesos::zookeeper::Ensemble;
use text::escape_json;

use super::{LedgerTable, render};
use crate::cli::ensemble;
use crate::election::ZkConfig;
use crate::store;

/// The timeout of the ZooKeeper session in which the ledger is read.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Print the ledger: pool's and workers' accounts side by side; a running scheduler is not disturbed
///
/// Totals are kept for ever: some 0.5 kB for each task that was ever launched, and for each worker of each server task. Single
/// shares, some 30 bytes each, are kept for the scheduler's --ledger-retention (7 days) and within its --ledger-max-size (4GiB
/// for the whole ledger); beyond that the oldest are removed. With the scheduler's --zk,
/// ZooKeeper stores less than 1 kB for each live task, and for each task that ended in the last ten minutes or was lost in the
/// last 30 days. Each node is smaller than 1 MB. Of tasks that ended earlier, it stores only one sum, "(earlier)".
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// The scheduler's state folder.
    #[arg(long, value_name = "DIR", env = "MINER_STATE_DIR", default_value = "mesos-miner-state")]
    pub state_dir: PathBuf,
    /// Instead of --state-dir, read the ledger that several schedulers share in ZooKeeper (their --zk): zk://HOST:PORT,…/PATH,
    /// or zk://USER:PASSWORD@HOST:PORT,…/PATH; or file:///PATH of a file with such an address, which keeps the password out of
    /// the process list.
    #[arg(long, value_name = "ADDRESS", env = "MINER_ZK", hide_env_values = true, value_parser = RedactedParser(ensemble))]
    pub zk: Option<Ensemble>,
    /// Print the accounts of all frameworks in the folder, not only of the last one.
    #[arg(long, env = "MINER_LEDGER_ALL", value_parser = BoolishValueParser::new(), conflicts_with = "zk")]
    pub all: bool,
    /// Print JSON.
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new(), conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long, env = "MINER_CSV", value_parser = BoolishValueParser::new())]
    pub csv: bool,
    /// Print the stored shares one by one as CSV, the oldest first.
    #[arg(long, env = "MINER_LEDGER_SHARES", value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with_all = ["zk", "all", "json"])]
    pub shares: bool,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Reads the ledger and prints it on standard output.
///
/// # Errors
/// If there is no ledger, or it cannot be read.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.shares {
        return print_shares(&args.state_dir);
    }
    let snapshot = match args.zk.map(|ensemble| ZkConfig { ensemble, session_timeout: SESSION_TIMEOUT }) {
        Some(zk) => command_line::block_on(1, async move { Ok(store::shared_ledger_snapshot(&zk).await?) })?,
        None => store::ledger_snapshot(&args.state_dir, args.all)?,
    };
    let table = LedgerTable::new(&snapshot);
    let text = match (args.json, args.csv) {
        (true, _) => escape_json(&serde_json::to_string(&table)?).into_owned() + "\n",
        (_, true) => render::csv(&table),
        _ => table.to_string(),
    };
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_shares(state_dir: &Path) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut result = writeln!(out, "{}", render::SHARE_HEADINGS);
    store::stored_shares(state_dir, |share| {
        if result.is_ok() {
            result = writeln!(out, "{}", render::share_line(&share));
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written(result.and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}
