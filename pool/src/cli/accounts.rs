//! `mesos-miner accounts`: prints the accounts in a pool's data folder.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use command_line::{LogArgs, print_result};
use serde_json::{Value, json};
use task::Totals;
use text::{escape_json, printable};

use crate::http_api::account;
use crate::store::{AccountsSnapshot, read_accounts};

/// The longest name of a worker in the table, in characters.
const LONGEST_NAME: usize = 256;

/// Show what a pool has counted, even while the pool runs
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The pool's data folder
    #[arg(long, value_name = "DIR", env = "MINER_DATA_DIR", default_value = "mesos-miner-pool")]
    pub data_dir: PathBuf,
    /// Print one JSON object instead of a table
    #[arg(long, env = "MINER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Prints the accounts.
///
/// # Errors
/// If there are no accounts, or they cannot be read.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let accounts = read_accounts(&args.data_dir)?;
    let text =
        if args.json { escape_json(&json(&accounts).to_string()).into_owned() } else { table(&accounts) };
    print_result(text)?;
    Ok(ExitCode::SUCCESS)
}

fn table(accounts: &AccountsSnapshot) -> String {
    let line = |name: &str, totals: &Totals| {
        let Totals { accepted, rejected, stale, blocks, candidates, orphaned, accepted_work, .. } = totals;
        format!(
            "{accepted:>12} {rejected:>10} {stale:>10} {blocks:>7} {orphaned:>8} {candidates:>10} {accepted_work:>24}  {name}\n"
        )
    };
    let mut text = format!(
        "{:>12} {:>10} {:>10} {:>7} {:>8} {:>10} {:>24}  worker\n",
        "accepted", "rejected", "stale", "blocks", "orphaned", "candidates", "accepted hashes"
    );
    for worker in &accounts.workers {
        // A miner chose the name.
        text += &line(&printable(&worker.name, LONGEST_NAME), &worker.totals);
    }
    text + line("(all)", &accounts.totals).trim_end()
}

fn json(accounts: &AccountsSnapshot) -> Value {
    let workers = accounts
        .workers
        .iter()
        .map(|worker| json!({"worker": worker.name, "rows": worker.rows, "totals": account(&worker.totals)}));
    let blocks = accounts.blocks.iter().map(|block| {
        json!({
            "hash": block.hash.to_string(),
            "height": block.height,
            "worker": &*block.worker,
            "refused": block.refused,
            "orphaned": block.orphaned,
        })
    });
    json!({
        "totals": account(&accounts.totals),
        "shares_since_ms": accounts.shares_since_ms,
        "workers": workers.collect::<Vec<_>>(),
        "blocks": blocks.collect::<Vec<_>>(),
    })
}
