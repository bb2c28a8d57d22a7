mod agreement;
mod kill;
mod statements;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};

use rusqlite::Connection;

use mesos::v1::TaskState;
use task::{Account, Report, ServerAddress, ShareRow, Totals, Verdict};

use super::*;
use crate::journal::{Assignment, OTHERS, Origin, StatusRecord, UNTRACKED_MINERS};
use crate::task_id::TaskKind;

const WEEK: ShareLimits = ShareLimits { age: Duration::from_secs(7 * 24 * 3600), size: None };

fn open(folder: &Path) -> (Store, RecoveredState, Receiver<StoreEvent>) {
    let (sender, notices) = channel();
    let (mut store, recovered) = Store::open(folder, WEEK, move |notice| drop(sender.send(notice))).unwrap();
    if folder.exists() {
        store.start().unwrap();
    }
    (store, recovered, notices)
}

fn worker(number: u64) -> TaskRecord {
    TaskRecord {
        id: format!("miner-worker-{number}"),
        kind: TaskKind::Worker,
        agent: "agent".into(),
        host: "host".into(),
        agent_url: Some("http://host:5051/slave(1)".into()),
        assignment: Some(Assignment::Server("miner-server-1".into())),
        origin: Origin::Launched { cpus_milli: 1900 },
        address: None,
        attributes: [("rack".to_owned(), "r1".to_owned())].into(),
        state: None,
        closed: false,
        specification: Some("fingerprint".into()),
    }
}

fn server() -> TaskRecord {
    let address = ServerAddress { host: "::1".into(), stratum_port: 3333, http_port: 3334 };
    TaskRecord {
        id: "miner-server-1".into(),
        kind: TaskKind::Server,
        assignment: None,
        address: Some(address),
        ..worker(1)
    }
}

fn report(sequence: u64, hashes: u128) -> Report {
    let row = ShareRow {
        job: "j".into(),
        extranonce2: vec![0, 1],
        ntime: u32::MAX,
        version: 0x2000_0000,
        nonce: u32::MAX,
        difficulty: 1.5,
        verdict: Verdict::Rejected(23),
        round_trip: Duration::from_micros(70),
    };
    let totals = Totals { hashes, accepted: sequence, blocks: 1, ..Totals::default() };
    let account =
        Account { worker: "miner-worker-2".into(), totals, rows: vec![row.clone(), row], rows_omitted: 3 };
    Report { sequence, accounts: vec![account], server: None }
}

fn status(task: &TaskRecord, state: TaskState, report: Option<Report>) -> Change {
    Change::Status(StatusRecord { report, ..StatusRecord::new(task.id.clone(), task.kind, Some(state)) })
}

/// The records that an empty folder has: none except the random key.
fn nothing(recovered: &RecoveredState) -> RecoveredState {
    let specification_key = recovered.specification_key.clone();
    assert!(specification_key.is_some());
    RecoveredState { specification_key, ..RecoveredState::default() }
}

fn rows(folder: &Path) -> i64 {
    let connection = Connection::open(folder.join(STATE_FOLDER.database)).unwrap();
    connection.query_row("SELECT coalesce(sum(count), 0) FROM reported_shares", [], |row| row.get(0)).unwrap()
}

pub(super) fn shares(folder: &Path) -> Vec<StoredShare> {
    let mut shares = Vec::new();
    stored_shares(folder, |share| {
        shares.push(share);
        ControlFlow::Continue(())
    })
    .unwrap();
    shares
}

#[test]
fn a_folder_is_created_when_there_is_something_to_write() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("a/b");
    let (mut store, recovered, notices) = open(&folder);
    assert_eq!((recovered.framework, recovered.next_number), (None, 1));
    store.persist(1, Change::Framework("f".into()));
    assert!(!above.path().join("a").exists());
    store.start().unwrap();
    assert!(matches!(notices.recv(), Ok(StoreEvent::Persisted(change_ids)) if change_ids == [1]));
    store.start().unwrap();
    store.close().unwrap();
    assert_eq!(open(&folder).1.framework.unwrap().id, "f");

    let never = above.path().join("never");
    open(&never).0.close().unwrap();
    assert!(!never.exists());
    let file = folder.join(STATE_FOLDER.database);
    assert!(
        matches!(Store::open(&file.join("below"), WEEK, |_| ()), Err(StoreError::Io { path, .. }) if path == file)
    );
}

/// After a restart, the store still knows the launch times of tasks that have not run yet.
#[test]
fn the_times_of_launches_are_known_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path());
    let before = database::now_ms();
    store.persist(1, Change::Framework("f".into()));
    for (number, state) in [(1, None), (2, Some(TaskState::TaskStaging)), (3, Some(TaskState::TaskRunning))] {
        store.persist(number * 2, Change::Task(worker(number)));
        let status = StatusRecord::new(worker(number).id, TaskKind::Worker, state);
        store.persist(number * 2 + 1, Change::Status(status));
    }
    store.close().unwrap();
    let (store, ..) = open(folder.path());
    let times = store.launch_times();
    let tasks: BTreeSet<&str> = times.keys().map(String::as_str).collect();
    assert_eq!(tasks, ["miner-worker-1", "miner-worker-2"].into());
    assert!(times.values().all(|at| (before..=database::now_ms()).contains(at)), "{times:?}");
}

#[test]
fn all_records_are_recovered_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (store, recovered, notices) = open(folder.path());
    assert_eq!(recovered, RecoveredState { next_number: 1, ..nothing(&recovered) });
    let big = u128::from(u64::MAX) * 7;
    let changes = [
        Change::Framework("f".into()),
        Change::Task(server()),
        Change::Task(worker(2)),
        status(&server(), TaskState::TaskRunning, Some(report(1, 0))),
        status(&worker(2), TaskState::TaskRunning, Some(report(2, big))),
        status(&worker(2), TaskState::TaskRunning, Some(report(1, 5))),
        status(&worker(2), TaskState::TaskRunning, Some(report(2, big))),
        Change::Peak(1),
        Change::Task(worker(3)),
        Change::Forget(worker(3).id),
    ];
    for (change_id, change) in changes.iter().enumerate() {
        store.persist(change_id as u64, change.clone());
    }
    store.close().unwrap();
    let written: Vec<ChangeId> = notices
        .iter()
        .flat_map(|notice| match notice {
            StoreEvent::Persisted(change_ids) => change_ids,
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(written, (0..changes.len() as u64).collect::<Vec<_>>());

    let (_store, recovered, _notices) = open(folder.path());
    assert_eq!(recovered.framework.unwrap().id, "f");
    assert_eq!((recovered.next_number, recovered.peak_workers), (3, 1));
    let running = Some(TaskState::TaskRunning);
    let expected = [TaskRecord { state: running, ..server() }, TaskRecord { state: running, ..worker(2) }];
    assert_eq!(recovered.tasks, expected);
    let line = recovered.ledger.line("miner-worker-2").unwrap();
    assert_eq!((line.worker.hashes, line.worker.accepted, line.pool.accepted), (big, 2, 1));
    assert_eq!(recovered.ledger.sum().1, 1);
    assert_eq!(rows(folder.path()), 4, "a repeated report brings its shares once");
    let expected: Vec<_> = [("miner-server-1", 1), ("miner-worker-2", 2)]
        .into_iter()
        .flat_map(|(task, sequence)| {
            let shares = report(sequence, 0).accounts[0].rows.clone().into_iter().enumerate();
            shares.map(move |(ordinal, share)| (task, sequence, ordinal as u64, share))
        })
        .collect();
    let kept = shares(folder.path());
    let found = kept.iter().map(|it| (it.task.as_str(), it.sequence, it.ordinal, it.share.clone()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(kept.iter().all(|it| it.worker == "miner-worker-2"));
}

#[test]
fn a_reported_server_address_is_recovered_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path());
    let address = Some(ServerAddress { host: "other".into(), stratum_port: 1, http_port: 2 });
    let report = Report { sequence: 1, accounts: vec![], server: address.clone() };
    let changes = [
        Change::Framework("f".into()),
        Change::Task(server()),
        status(&server(), TaskState::TaskRunning, Some(report)),
    ];
    for change in changes {
        store.persist(0, change);
    }
    store.close().unwrap();
    assert_eq!(open(folder.path()).1.tasks[0].address, address);
}

#[test]
fn an_ended_framework_is_not_recovered_but_its_numbers_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, _notices) = open(folder.path());
    let changes = [Change::Framework("f".into()), Change::Task(worker(7)), Change::FrameworkEnded];
    for change in changes {
        store.persist(0, change);
    }
    store.close().unwrap();
    let (_store, recovered, _notices) = open(folder.path());
    assert_eq!(recovered, RecoveredState { next_number: 8, ..nothing(&recovered) });
}

#[test]
fn the_framework_is_remembered_for_changes_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    for change in [Change::Framework("f".into()), Change::Task(worker(1))] {
        let (store, ..) = open(folder.path());
        store.persist(0, change);
        store.close().unwrap();
    }
    assert_eq!(open(folder.path()).1.tasks.len(), 1);
}

#[test]
fn a_second_scheduler_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, ..) = open(folder.path());
    let error = Store::open(folder.path(), WEEK, |_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("--state-dir"));
}

#[test]
fn a_later_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join(STATE_FOLDER.database))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(folder.path(), WEEK, |_| ()).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 99, .. }));
    assert!(error.to_string().ends_with("formats up to 3: start the newer program that wrote it"), "{error}");
    let copy = folder.path().join("scheduler.format-3.sqlite");
    std::fs::write(&copy, "").unwrap();
    let error = Store::open(folder.path(), WEEK, |_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("move {} to", copy.display())), "{error}");
}

#[test]
fn a_failed_write_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, notices) = open(folder.path());
    let other = Connection::open(folder.path().join(STATE_FOLDER.database)).unwrap();
    other.execute_batch("ALTER TABLE framework RENAME TO away").unwrap();
    store.persist(1, Change::Framework("f".into()));
    assert!(matches!(notices.recv(), Ok(StoreEvent::WriteFailed { place: StorePlace::Folder, .. })));
    other.execute_batch("ALTER TABLE away RENAME TO framework").unwrap();
    let persisted: BTreeSet<ChangeId> = notices
        .iter()
        .find_map(|notice| match notice {
            StoreEvent::Persisted(change_ids) => Some(change_ids.into_iter().collect()),
            _ => None,
        })
        .unwrap();
    assert!(persisted.contains(&1));
    store.close().unwrap();
}

#[test]
fn the_excess_of_untracked_miners_becomes_one_account_and_the_sum_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path());
    let account = |worker: String, accepted| Account {
        worker,
        totals: Totals { accepted, accepted_work: u128::from(accepted) << 65, ..Totals::default() },
        ..Account::default()
    };
    let excess = 7;
    let mut accounts: Vec<_> =
        (0..UNTRACKED_MINERS + excess).map(|i| account(format!("stranger {i}"), i as u64 + 10)).collect();
    accounts.push(account(OTHERS.to_owned(), 5));
    accounts.push(account(worker(2).id, 1));
    let report = Report { sequence: 1, accounts, server: None };
    let changes = [
        Change::Framework("f".into()),
        Change::Task(server()),
        Change::Task(worker(2)),
        status(&server(), TaskState::TaskKilled, Some(report)),
    ];
    for change in changes {
        store.persist(0, change);
    }
    store.close().unwrap();
    let before = open(folder.path()).1.ledger;
    for _ in 0..2 {
        let (store, ..) = open(folder.path());
        store.persist(0, Change::AggregateUntrackedMiners(server().id));
        store.close().unwrap();
        let after = open(folder.path()).1.ledger;
        assert_eq!(after.sum(), before.sum());
        assert_eq!(after.lines().len(), UNTRACKED_MINERS + 2);
        // `OTHERS` had 5 shares. The seven accounts that were added to it had 10 to 16 shares, together 91.
        assert_eq!(after.line(OTHERS).unwrap().pool.accepted, 5 + 91);
        assert_eq!(after.line(&worker(2).id).unwrap().pool.accepted, 1);
    }
}

#[test]
fn a_folder_keeps_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = |folder: &Path| {
        let (store, recovered, _events) = open(folder);
        store.close().unwrap();
        recovered.specification_key.unwrap()
    };
    let first = key(folder.path());
    assert_eq!(key(folder.path()), first);
    // This folder does not exist before the store is started.
    let later = folder.path().join("later");
    let (mut store, recovered) = Store::open(&later, WEEK, |_| ()).unwrap();
    store.start().unwrap();
    store.close().unwrap();
    assert_eq!(Some(key(&later)), recovered.specification_key);
    assert_ne!(key(&later), first);
}
