//! Kills processes while they write reports and remove single shares, and then checks the records.

use std::process::{Child, Command};
use std::thread;
use std::time::Instant;

use super::*;

/// The environment variable that contains the folder to which a child process of this test writes.
const FOLDER: &str = "MINER_TEST_WRITE_TO";
const NAME: &str =
    "store::tests::kill::after_a_kill_no_share_is_stored_twice_and_none_of_the_newest_is_missing";
const LIMITS: ShareLimits = ShareLimits { age: Duration::from_secs(3600), size: Some(400_000) };
const DEADLINE: Duration = Duration::from_secs(120);

/// Writes reports, starting after the last one in the folder, until this process is killed.
fn write_until_killed(folder: &Path) {
    let (sender, events) = channel();
    let (mut store, recovered) = Store::open(folder, LIMITS, move |event| drop(sender.send(event))).unwrap();
    store.start().unwrap();
    if recovered.framework.is_none() {
        store.persist(0, Change::Framework("f".into()));
        store.persist(0, Change::Task(worker(2)));
    }
    let last = recovered.ledger.entry("miner-worker-2", "miner-worker-2").map_or(0, |entry| entry.sequence);
    for sequence in last + 1.. {
        let mut report = report(sequence, u128::from(sequence));
        let share = report.accounts[0].rows[0].clone();
        report.accounts[0].rows.resize(60, share);
        // Each report is written twice, because Mesos repeats an update until it is acknowledged. Mesos sends the next update
        // only after that.
        for _ in 0..2 {
            store.persist(sequence, status(&worker(2), TaskState::TaskRunning, Some(report.clone())));
        }
        while !matches!(events.recv(), Ok(StoreEvent::Persisted(change_ids)) if change_ids.contains(&sequence))
        {
        }
    }
}

/// The sequence number of the last report in the folder.
fn last_report(folder: &Path) -> Option<u64> {
    let snapshot = ledger_snapshot(folder, false).ok()?;
    Some(snapshot.ledger.entry("miner-worker-2", "miner-worker-2")?.sequence)
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME]).env(FOLDER, folder).spawn().unwrap()
}

fn assert_whole(folder: &Path) {
    let snapshot = ledger_snapshot(folder, false).unwrap();
    let last = snapshot.ledger.entry("miner-worker-2", "miner-worker-2").unwrap().sequence;
    assert_eq!(snapshot.ledger.sum().0.worker.accepted, last, "totals are exact");
    let kept = shares(folder);
    let found: Vec<(u64, u64)> = kept.iter().map(|share| (share.sequence, share.ordinal)).collect();
    let expected: Vec<(u64, u64)> =
        (found[0].0..=last).flat_map(|report| (0..60).map(move |ordinal| (report, ordinal))).collect();
    assert_eq!(found, expected, "each once, up to the last report that counts");
    assert_eq!(snapshot.shares_since_ms, Some(kept[0].received_ms));
}

#[test]
fn after_a_kill_no_share_is_stored_twice_and_none_of_the_newest_is_missing() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut goal = 3;
    for round in 0..6 {
        let mut child = start(folder.path());
        let since = Instant::now();
        while last_report(folder.path()).is_none_or(|last| last < goal) {
            assert!(since.elapsed() < DEADLINE, "round {round} comes to report {goal}");
            assert!(child.try_wait().unwrap().is_none(), "it writes on");
            thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(folder.path());
        goal = last_report(folder.path()).unwrap() + 150 + 7 * round;
    }
    assert!(shares(folder.path())[0].sequence > 1, "the oldest ones went");
    let size = std::fs::metadata(folder.path().join(STATE_FOLDER.database)).unwrap().len();
    assert!(size < 2 * LIMITS.size.unwrap(), "{size}");
}
