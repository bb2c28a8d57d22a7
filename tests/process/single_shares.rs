//! Single shares in the ledger, from the workers' reports to the output of `mesos-miner ledger --shares`.

use std::path::Path;

use serde_json::Value;

use crate::support::embedded::EmbeddedCluster;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

fn scheduler(cluster: &EmbeddedCluster, folder: &Path, limit: &str) -> Process {
    let (master, folder) = (cluster.master.to_string(), folder.to_str().expect("a path in UTF-8"));
    mesos_miner([
        "scheduler",
        "--master",
        &master,
        "--state-dir",
        folder,
        "--report-interval",
        "1s",
        "--share-interval",
        "200ms",
        "--server-cpus",
        "0.1",
        "--teardown-on-exit",
        "--ledger-max-size",
        limit,
    ])
}

fn ledger(folder: &Path, option: &str) -> Ended {
    mesos_miner(["ledger".as_ref(), option.as_ref(), "--state-dir".as_ref(), folder.as_os_str()])
        .wait(DEADLINE)
}

fn accounts(folder: &Path) -> Option<Value> {
    let ended = ledger(folder, "--json");
    serde_json::from_str(&ended.stdout.join("")).ok()
}

/// Mines until the ledger has this many shares of a worker. Returns the ledger.
fn mine(folder: &Path, limit: &str, shares: u64) -> Value {
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let mut scheduler = scheduler(&cluster, folder, limit);
    until("the ledger has shares", LONG_DEADLINE, || {
        let accepted = accounts(folder)?["total"]["worker"]["accepted"].as_u64()?;
        (accepted >= shares).then_some(())
    });
    scheduler.interrupt(LONG_DEADLINE);
    accounts(folder).expect("the ledger")
}

#[test]
fn each_counted_share_is_printed_on_a_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let accounts = mine(folder.path(), "none", 10);
    let printed = ledger(folder.path(), "--shares").stdout;
    assert!(printed[0].starts_with("received_ms,task,worker,report,ordinal,job,"), "{}", printed[0]);
    for (kind, column) in [("miner-worker-", "worker"), ("miner-server-", "pool")] {
        let total = &accounts["total"][column];
        let lines = printed[1..].iter().map(|line| line.split(',').collect::<Vec<_>>());
        let accepted = lines.filter(|cells| {
            assert_eq!(cells.len(), 13, "{cells:?}");
            assert!(cells[2].starts_with("miner-worker-"), "{cells:?}");
            cells[1].starts_with(kind) && cells[11] == "accepted"
        });
        let accepted = accepted.count() as u64;
        assert_eq!(total["rows_omitted"].as_u64(), Some(0), "{total}");
        assert_eq!(total["accepted"].as_u64(), Some(accepted), "{total}");
    }
}

#[test]
fn at_the_size_limit_only_totals_are_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let accounts = mine(folder.path(), "0", 10);
    assert!(accounts["total"]["worker"]["accepted"].as_u64() >= Some(10), "{accounts}");
    // The size limit is 0, so the scheduler deletes shares soon after it has stored them. Only shares of the last reports may
    // still be there.
    let printed = ledger(folder.path(), "--shares").stdout;
    let first = |cells: &str| cells.split(',').nth(3).and_then(|report| report.parse::<u64>().ok());
    let reports: Vec<u64> = printed[1..].iter().filter_map(|line| first(line)).collect();
    assert!(reports.iter().all(|report| *report > 1), "the first ones are gone: {printed:?}");
}
