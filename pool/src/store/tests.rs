//! Tests what the data folder keeps across a clean stop, a kill and a failed write, and which files stay unchanged.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bitcoin::Network;
use task::{ShareRow, Totals, Verdict};

use super::*;
use crate::accounts::{
    BEATEN, BlockRecord, BlockState, BlockSummary, FoundRecord, ShareRecord, WorkerRecord,
};
use crate::share::{FoundBlock, RejectionCounts};

fn options(folder: &Path) -> StoreOptions {
    StoreOptions { folder: folder.to_owned(), retention: StoreOptions::RETENTION }
}

fn open(folder: &Path) -> (Store, RecoveredAccounts) {
    Store::open(&options(folder)).unwrap()
}

fn totals(accepted: u64) -> Totals {
    // This number does not fit into SQLite's integers.
    let accepted_work = u128::from(accepted) << 70;
    Totals { accepted, accepted_work, rejected: 1, stale: 2, unanswered: 4, blocks: 3, ..Totals::default() }
}

fn share(worker: &str, accepted_ms: u64) -> ShareRecord {
    let row = ShareRow {
        job: "j".into(),
        extranonce2: vec![0, 1],
        ntime: u32::MAX,
        version: 0x2000_0000,
        nonce: u32::MAX,
        difficulty: 1.5,
        verdict: Verdict::Accepted,
        round_trip: Duration::ZERO,
    };
    ShareRecord { worker: worker.into(), row, work: 1 << 70, accepted_ms }
}

fn now_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

fn found() -> FoundBlock {
    let block = Box::new(bitcoin::constants::genesis_block(Network::Regtest));
    FoundBlock { worker: "a".into(), height: 7, at: 8, block }
}

/// Writes these batches through the store, and then closes the store.
fn write_all(store: Store, batches: Vec<UnsavedChanges>) {
    let mut batches = batches.into_iter();
    let last = Arc::new(Mutex::new(false));
    let done = last.clone();
    let take = move || {
        batches.next().unwrap_or_else(|| {
            *done.lock().unwrap() = true;
            UnsavedChanges::default()
        })
    };
    let writing = store.start(take, |_| {}).unwrap();
    while !*last.lock().unwrap() {
        std::thread::sleep(Duration::from_millis(5));
    }
    writing.close().unwrap();
}

#[test]
fn totals_and_rows_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered, RecoveredAccounts::default());
    let first = UnsavedChanges {
        workers: vec![("a".into(), totals(1).into()), ("b".into(), totals(5).into())],
        shares: vec![share("a", now_ms())],
        ..UnsavedChanges::default()
    };
    let record = found().record(Some("high-hash".into()));
    let second = UnsavedChanges {
        workers: vec![("a".into(), totals(2).into())],
        shares: vec![share("a", now_ms()), share("b", now_ms())],
        blocks: vec![record.clone()],
        ..UnsavedChanges::default()
    };
    write_all(store, vec![first, second]);

    let (store, mut recovered) = open(folder.path());
    recovered.workers.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(recovered.workers, [("a".into(), totals(2).into()), ("b".into(), totals(5).into())]);
    assert_eq!(recovered.refused_blocks, 1);
    let more = UnsavedChanges {
        workers: vec![("b".into(), totals(6).into())],
        shares: vec![share("b", 9)],
        ..UnsavedChanges::default()
    };
    write_all(store, vec![more]);

    let accounts = read_accounts(folder.path()).unwrap();
    let rows: Vec<_> =
        accounts.workers.iter().map(|w| (w.name.as_str(), w.totals.accepted, w.rows)).collect();
    // The row of 1970 is older than a week, so it was removed.
    assert_eq!(rows, [("a", 2, 2), ("b", 6, 1)]);
    assert_eq!(accounts.totals.accepted_work, 8 << 70);
    let BlockRecord { hash, .. } = record;
    assert_eq!((accounts.blocks[0].hash, accounts.blocks[0].height), (hash, 7));
    assert_eq!(accounts.blocks[0].refused.as_deref(), Some("high-hash"));
}

#[test]
fn rows_are_kept_for_a_week_and_totals_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let ago = |hours: u64| share("a", now_ms() - hours * 3_600_000);
    let shares = [0, 1, 24, 7 * 24 - 1, 7 * 24 + 1, 30 * 24].map(ago).to_vec();
    write_all(
        store,
        vec![UnsavedChanges {
            workers: vec![("a".into(), totals(6).into())],
            shares,
            ..UnsavedChanges::default()
        }],
    );
    let worker = read_accounts(folder.path()).unwrap().workers.remove(0);
    assert_eq!((worker.rows, worker.totals), (4, totals(6)));
}

#[test]
fn blocks_that_came_second_are_read_as_orphaned_and_rejected_ones_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    for (refused, last) in [(BEATEN, vec![true]), ("high-hash", vec![])] {
        let (store, _) = open(folder.path());
        let blocks = vec![found().record(Some(refused.into()))];
        write_all(store, vec![UnsavedChanges { blocks, ..UnsavedChanges::default() }]);
        let (_store, recovered) = open(folder.path());
        let orphaned: Vec<_> = recovered.last_blocks.iter().map(|block| block.orphaned).collect();
        assert_eq!((orphaned, recovered.refused_blocks), (last, 1));
    }
}

#[test]
fn the_files_of_the_latest_hundred_refused_blocks_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let pending = open(folder.path()).0.pending_blocks();
    let now = std::time::SystemTime::now();
    for number in 0..101u64 {
        // The order of the files' names differs from the order of their age.
        let path = pending.folder().join(format!("{:03}.refused.json", number * 37 % 101));
        File::create(path).unwrap().set_modified(now - Duration::from_secs(1_000 - number)).unwrap();
    }
    pending.write(&found()).unwrap();
    pending.judged(&found().record(Some("high-hash".into()))).unwrap();
    let left =
        fs::read_dir(pending.folder()).unwrap().map(|file| file.unwrap().file_name()).collect::<Vec<_>>();
    let has = |name: &str| left.iter().any(|file| file.to_str() == Some(name));
    assert_eq!(left.len(), 100);
    assert!(!has("000.refused.json") && !has("037.refused.json") && has("074.refused.json"));
    assert!(has(&format!("{}.refused.json", found().block.block_hash())));
}

#[test]
fn a_folder_in_use_and_files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let error = Store::open(&options(folder.path())).unwrap_err();
    assert!(
        matches!(error, StoreError::Locked { .. }) && error.to_string().contains("--data-dir"),
        "{error}"
    );
    drop(store);
    let path = folder.path().join(DATA_FOLDER.database);
    let sql = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    sql("PRAGMA user_version = 2");
    for error in
        [Store::open(&options(folder.path())).unwrap_err(), read_accounts(folder.path()).unwrap_err()]
    {
        assert!(matches!(error, StoreError::Format { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("pool.sqlite"), "{error}");
    }
    sql("PRAGMA user_version = 1; PRAGMA application_id = 7");
    let foreign = |folder: &Path| {
        for error in [Store::open(&options(folder)).unwrap_err(), read_accounts(folder).unwrap_err()] {
            assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
        }
    };
    foreign(folder.path());
    std::fs::write(&path, "Dear diary, today I have not found a block. ".repeat(50)).unwrap();
    foreign(folder.path());
    let before = std::fs::read(&path).unwrap();
    assert!(before.starts_with(b"Dear diary"));

    let empty = tempfile::tempdir().unwrap();
    let error = read_accounts(empty.path()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    let file = empty.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&options(&file)).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }) && error.to_string().contains("file"), "{error}");
}

#[test]
fn a_write_that_fails_is_reported_and_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    // Another writer locks the database for longer than SQLite waits.
    let other = Connection::open(folder.path().join(DATA_FOLDER.database)).unwrap();
    store.connection.busy_timeout(Duration::from_millis(50)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (sender, refusals) = mpsc::channel();
    let mut batch =
        Some(UnsavedChanges { workers: vec![("a".into(), totals(1).into())], ..UnsavedChanges::default() });
    let refused = move |refused| sender.send(refused).unwrap();
    let writing = store.start(move || batch.take().unwrap_or_default(), refused).unwrap();
    let soon = Duration::from_secs(60);
    let why = refusals.recv_timeout(soon).unwrap().unwrap();
    assert!(why.starts_with("cannot write to data folder ") && why.ends_with("database is locked"), "{why}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(refusals.recv_timeout(soon), Ok(None));
    writing.close().unwrap();
    assert_eq!(read_accounts(folder.path()).unwrap().totals.accepted, 1);
}

#[test]
fn a_found_block_is_kept_until_its_verdict_is_in_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let pending = store.pending_blocks();
    pending.write(&found()).unwrap();
    assert_eq!(pending.read_all().unwrap(), [found()]);
    // Other files in the folder stay unchanged.
    std::fs::write(pending.folder().join("x.json"), "{}").unwrap();
    std::fs::write(pending.folder().join("x.json.new"), "{").unwrap();
    assert_eq!(pending.read_all().unwrap(), [found()]);
    let record = found().record(None);
    write_all(store, vec![UnsavedChanges { blocks: vec![record], ..UnsavedChanges::default() }]);
    assert_eq!(pending.read_all().unwrap(), []);
    assert_eq!(read_accounts(folder.path()).unwrap().blocks[0].refused, None);
    assert_eq!(pending.read_accepted().unwrap(), [found()], "a node may lose it yet");

    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let pending = store.pending_blocks();
    pending.write(&found()).unwrap();
    let refused = found().record(Some("bad-txns".into()));
    write_all(store, vec![UnsavedChanges { blocks: vec![refused], ..UnsavedChanges::default() }]);
    assert_eq!(pending.read_all().unwrap(), []);
    let hash = found().block.block_hash();
    let left = std::fs::read_to_string(pending.folder().join(format!("{hash}.refused.json"))).unwrap();
    assert!(left.contains("bad-txns") && left.contains("\"block\": \"01000000"), "{left}");
}

#[test]
fn a_block_that_was_judged_before_the_kill_is_not_counted_again() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let pending = store.pending_blocks();
    write_all(
        store,
        vec![UnsavedChanges { blocks: vec![found().record(None)], ..UnsavedChanges::default() }],
    );
    // Simulates a process that was killed between the transaction and the removal of the file.
    pending.write(&found()).unwrap();
    let (_store, _) = open(folder.path());
    assert_eq!(pending.read_all().unwrap(), []);
    assert_eq!(pending.read_accepted().unwrap(), [found()]);
}

#[test]
fn a_found_block_whose_share_was_not_written_before_the_kill_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let at = u32::try_from(now_ms() / 1_000).unwrap();
    let found = FoundBlock { at, ..found() };
    store.pending_blocks().write(&found).unwrap();
    drop(store);
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered.uncounted, [found.block.block_hash()]);

    // Another share is not this one.
    let header = found.block.header;
    let row = |nonce| ShareRow {
        ntime: header.time,
        version: header.version.to_consensus().cast_unsigned(),
        nonce,
        ..share("a", 0).row
    };
    let record = |nonce| ShareRecord { row: row(nonce), ..share("a", now_ms()) };
    let written = |shares| UnsavedChanges {
        workers: vec![("a".into(), totals(1).into())],
        shares,
        ..UnsavedChanges::default()
    };
    write_all(store, vec![written(vec![record(header.nonce ^ 1)])]);
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered.uncounted.len(), 1);
    write_all(store, vec![written(vec![record(header.nonce)])]);
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered.uncounted, []);

    // The row of a share may have been removed long ago.
    let mut old = FoundBlock { at: 8, ..found };
    old.block.header.nonce ^= 2;
    store.pending_blocks().write(&old).unwrap();
    drop(store);
    assert_eq!(open(folder.path()).1.uncounted, []);
}

#[test]
fn the_files_of_the_last_accepted_blocks_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let pending = open(folder.path()).0.pending_blocks();
    let numbered = |nonce| {
        let mut found = found();
        found.block.header.nonce = nonce;
        found
    };
    for number in 0..103 {
        pending.write(&numbered(number)).unwrap();
        pending.judged(&numbered(number).record(None)).unwrap();
    }
    let mut kept: Vec<_> =
        pending.read_accepted().unwrap().iter().map(|found| found.block.header.nonce).collect();
    kept.sort_unstable();
    assert_eq!(kept, (3..103).collect::<Vec<_>>());
    // It is counted again, as orphaned, and has no file.
    pending.judged(&numbered(1).record(None)).unwrap();
    assert_eq!(pending.read_accepted().unwrap().len(), 100);
}

/// A block that was found at this time, when the pool's work was `pool_work`.
fn found_at(at: u32, pool_work: u128) -> (FoundBlock, FoundRecord) {
    let mut found = found();
    (found.at, found.block.header.nonce) = (at, at);
    let summary = BlockSummary::new(&found.record(None), Some(12.5));
    (found, FoundRecord { block: BlockSummary { state: BlockState::Candidate, ..summary }, pool_work })
}

#[test]
fn found_blocks_come_back_with_effort_and_state_and_the_round_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, recovered) = open(folder.path());
    assert_eq!((recovered.found.len(), recovered.round), (0, Some(0)));
    let (first, first_record) = found_at(1, 1 << 70);
    let (second, second_record) = found_at(2, 2 << 70);
    let (_, third_record) = found_at(3, 3 << 70);
    let lost = second.record(Some("lost: it is gone".into()));
    let batch = UnsavedChanges {
        found: vec![first_record, second_record, third_record],
        blocks: vec![BlockRecord { orphaned: true, ..first.record(None) }, lost],
        ..UnsavedChanges::default()
    };
    write_all(store, vec![batch]);
    let (_store, recovered) = open(folder.path());
    let told: Vec<_> =
        recovered.found.into_iter().map(|block| (block.found, block.effort, block.state)).collect();
    let states = [BlockState::Orphaned, BlockState::Lost("it is gone".into()), BlockState::Candidate];
    let expected: Vec<_> = (1..).zip(states).map(|(at, state)| (at, Some(12.5), state)).collect();
    assert_eq!((told, recovered.round), (expected, Some(3 << 70)));
}

/// An earlier version knows the totals of workers, and none of the newer columns.
#[test]
fn shares_that_an_earlier_version_has_rejected_meanwhile_count_without_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let rejections = RejectionCounts { duplicate: 1, ..RejectionCounts::default() };
    let worker = WorkerRecord { best_share: 2.5, last_share_ms: Some(7), rejections, ..totals(1).into() };
    write_all(
        store,
        vec![UnsavedChanges { workers: vec![("a".into(), worker)], ..UnsavedChanges::default() }],
    );
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered.workers, [("a".into(), worker)]);
    drop(store);
    let other = rusqlite::Connection::open(DATA_FOLDER.database_path(folder.path())).unwrap();
    other.execute("UPDATE worker SET rejected = 4", []).unwrap();
    drop(other);
    let (_store, recovered) = open(folder.path());
    let rejections = RejectionCounts { duplicate: 1, other: 3, ..RejectionCounts::default() };
    assert_eq!(recovered.workers[0].1.rejections, rejections);
}

/// An earlier version does not know the table of found blocks.
#[test]
fn a_block_that_an_earlier_version_has_found_meanwhile_has_no_effort() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let (_, record) = found_at(1, 5);
    write_all(store, vec![UnsavedChanges { found: vec![record], ..UnsavedChanges::default() }]);
    let (store, recovered) = open(folder.path());
    assert_eq!(recovered.round, Some(5));
    drop(store);
    let other = rusqlite::Connection::open(DATA_FOLDER.database_path(folder.path())).unwrap();
    let hash = format!("{:064x}", 1);
    other.execute("INSERT INTO block VALUES (?1, 8, 'a', 9, 1, 0, NULL, 0)", [hash]).unwrap();
    drop(other);
    let (_store, recovered) = open(folder.path());
    let efforts: Vec<_> = recovered.found.iter().map(|block| (block.found, block.effort)).collect();
    assert_eq!((efforts, recovered.round), (vec![(1, Some(12.5)), (9, None)], None));
}
