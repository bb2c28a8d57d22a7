//! The test that `cargo test` runs: all phases on a small cluster, in seconds.

use std::process::ExitCode;

use clap::Parser;

use super::options::Options;
use super::report::{Outcome, Row};
use super::{phases, real};

const NAME: &str = "scheduler_on_a_simulated_cluster";
/// The options of the test. They leave out ZooKeeper, because its sessions take too long to expire.
const OPTIONS: &str = "scheduler --agents 60 --seconds 1 --updates-per-second 500 --live-interval 1s --report-interval 1s \
                       --memory-after 2 --fetch-agents 20 --fetch-size 0.05 --fetch-rate 50 --only steady --only memory \
                       --only updates --only agents --only restart --only variants --only fetch";

/// The options of the test with a real Mesos, which runs if Mesos is installed.
const BESIDE_REAL_MESOS: &str = "scheduler --real-mesos --agents 3 --seconds 5 --limit 600";

/// Fails if shares are missing from the accounts, or if a phase exceeds its time limit. The arguments are those of a test
/// harness, which begin with the names of the selected tests.
pub fn test(arguments: &[String]) -> ExitCode {
    let names: Vec<&String> = arguments.iter().take_while(|argument| !argument.starts_with('-')).collect();
    let is_wanted = names.is_empty() || names.iter().any(|name| NAME.contains(name.as_str()));
    if !is_wanted || arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    println!("{NAME}");
    let options = Options::parse_from(OPTIONS.split_whitespace());
    let binaries = options.binaries();
    let rows = binaries.iter().flat_map(|binary| phases::all(&options, binary, options.agents[0]));
    let mut rows: Vec<Row> = rows.collect();
    let beside = Options::parse_from(BESIDE_REAL_MESOS.split_whitespace());
    let columns = real::compare(&beside, &binaries[0], beside.agents[0]);
    rows.extend(columns.into_iter().flatten().flatten());
    let failed = rows.iter().filter(|row| row.outcome != Outcome::Measured).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
