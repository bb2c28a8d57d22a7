use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use mesos::v1::TaskState;
use task::{Report, ShareRow, Verdict};
use tempfile::TempDir;

use super::*;
use crate::journal::{Assignment, Change, Controls, Origin, RecoveredState, StatusRecord};
use crate::store::LedgerSnapshot;
use crate::store::sqlite::{StateFolder, StoredShare, ledger_snapshot, stored_shares};
use crate::store::sqlite::{read, records};
use crate::task_id::TaskKind;

/// The environment variable that makes a child process of this test abort. Its value is `PATH=STATEMENT`: the child converts the
/// database at PATH, and aborts before the first SQL statement that begins with STATEMENT.
const DIE_AT: &str = "MINER_TEST_DIE_AT";

/// The path of a database of this format, which an old version of this program wrote. The fixture's README describes it.
fn fixture(format: i64) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(format!("format-{format}")).join(STATE_FOLDER.database)
}

/// A state folder of this format, written by an old version of this program.
fn folder_of(format: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture(format), folder.path().join(STATE_FOLDER.database)).unwrap();
    folder
}

fn folder() -> TempDir {
    folder_of(1)
}

/// The stored single shares.
fn shares(folder: &TempDir) -> Vec<StoredShare> {
    let mut shares = Vec::new();
    stored_shares(folder.path(), |share| {
        shares.push(share);
        ControlFlow::Continue(())
    })
    .unwrap();
    shares
}

fn connect(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join(STATE_FOLDER.database)).unwrap()
}

fn snapshot(folder: &TempDir) -> LedgerSnapshot {
    ledger_snapshot(folder.path(), true).unwrap()
}

/// Opens the folder as a scheduler does.
fn open(folder: &TempDir) -> RecoveredState {
    let (state_folder, recovered) = StateFolder::open(folder.path()).unwrap();
    state_folder.close().unwrap();
    recovered
}

fn format(connection: &Connection) -> i64 {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// Every row of a table as text.
fn rows(connection: &Connection, table: &str) -> Vec<String> {
    let mut query = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = query.column_count();
    let text = |row: &rusqlite::Row<'_>| {
        Ok((0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect::<String>())
    };
    query.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap()
}

fn table_names(connection: &Connection) -> Vec<String> {
    let mut query = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_ledger_reads_the_same_before_and_after() {
    for (before_format, workers, pool, count) in [(1, 2600, 69_598, 93), (2, 2608, 69_602, 123)] {
        let folder = folder_of(before_format);
        let (before, before_shares) = (snapshot(&folder), shares(&folder));
        assert_eq!(format(&connect(&folder)), before_format, "reading changes nothing");
        assert!(before.tasks.iter().any(|task| task.attributes.get("rack").is_some()), "{:?}", before.tasks);
        assert_eq!(before.ledger.sum().0.worker.accepted, workers);
        assert_eq!(before.ledger.sum().0.pool.accepted, pool);
        assert_eq!(before_shares.len(), count);
        open(&folder);
        assert_eq!(format(&connect(&folder)), FORMAT);
        assert_eq!(snapshot(&folder), before);
        assert_eq!(shares(&folder), before_shares);
    }
}

/// Each column of format 2 is read correctly.
#[test]
fn single_shares_of_format_2_are_read_as_they_were_written() {
    let folder = folder_of(2);
    open(&folder);
    let of = |task: &str, sequence| -> Vec<StoredShare> {
        shares(&folder).into_iter().filter(|it| it.task == task && it.sequence == sequence).collect()
    };
    for (task, worker) in [
        ("miner-worker-781", "miner-worker-781"),
        ("miner-worker-782", "miner-worker-782"),
        ("miner-server-780", "miner-worker-781"),
    ] {
        let kept = of(task, 4);
        assert!(kept.iter().all(|it| it.worker == worker));
        assert_eq!(kept.iter().map(|it| it.ordinal).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(
            kept.iter().map(|it| it.share.verdict).collect::<Vec<_>>(),
            [Verdict::Accepted, Verdict::Rejected(23), Verdict::Stale, Verdict::Unanswered]
        );
        let last = ShareRow {
            job: "job1".into(),
            extranonce2: vec![],
            ntime: 1_700_000_003,
            version: 0x2000_6000,
            nonce: u32::MAX / 4,
            difficulty: 0.25 + 3e9,
            verdict: Verdict::Unanswered,
            round_trip: Duration::from_micros(3_000_070),
        };
        assert_eq!(kept[3].share, last);
    }
}

/// An old version of this program has stored the shares of report 4. Then the current version receives report 4 again.
#[test]
fn shares_of_a_repeated_report_are_not_stored_twice() {
    let folder = folder_of(2);
    open(&folder);
    let before = shares(&folder);
    let report = |sequence| {
        let rows = vec![before[0].share.clone(); 2];
        let account = task::Account { worker: "miner-worker-781".into(), rows, ..task::Account::default() };
        let (task, running) = ("miner-worker-781".into(), Some(TaskState::TaskRunning));
        Change::Status(StatusRecord {
            report: Some(Report { sequence, accounts: vec![account], server: None }),
            ..StatusRecord::new(task, TaskKind::Worker, running)
        })
    };
    let mut framework = Some("f".to_owned());
    for (sequence, more) in [(4, 0), (5, 2), (5, 2)] {
        records::write(&mut connect(&folder), &mut framework, &[(1, report(sequence))]).unwrap();
        assert_eq!(shares(&folder).len(), before.len() + more, "{sequence}");
    }
}

#[test]
fn sentinels_of_format_1_are_converted() {
    let folder = folder();
    connect(&folder)
        .execute("UPDATE task SET server = 'ssl://pool:1' WHERE id = 'miner-worker-17'", [])
        .unwrap();
    let before = snapshot(&folder);
    let recovered = open(&folder);
    let task = |id: &str| recovered.tasks.iter().find(|task| task.id == id).unwrap();
    let of = |id: &str| (task(id).origin, task(id).assignment.clone(), task(id).state);
    let launched = Origin::Launched { cpus_milli: 1000 };
    let server = Some(Assignment::Server("miner-server-12".into()));
    assert_eq!(of("miner-worker-13"), (launched, server, Some(TaskState::TaskRunning)));
    assert_eq!(of("miner-worker-17").1, Some(Assignment::Pool("ssl://pool:1".into())));
    assert_eq!(of("miner-worker-777"), (Origin::Unrecorded, None, Some(TaskState::TaskRunning)));
    assert_eq!(of("miner-server-778").0, Origin::Unrecorded);
    assert_eq!(of("miner-worker-779").2, None);
    assert_eq!(snapshot(&folder).tasks, before.tasks, "and they are read so from format 1");
}

#[test]
fn the_backup_is_the_old_database_without_single_shares() {
    for before_format in [1, 2] {
        let folder = folder_of(before_format);
        let before = snapshot(&folder);
        open(&folder);
        let copy = folder.path().join(format!("scheduler.format-{before_format}.sqlite"));
        let fixture = Connection::open(fixture(before_format)).unwrap();
        let copied = Connection::open(&copy).unwrap();
        assert_eq!(format(&copied), before_format);
        assert_eq!(table_names(&copied), table_names(&fixture));
        for table in table_names(&fixture).iter().filter(|table| *table != SHARES_2) {
            assert_eq!(rows(&copied, table), rows(&fixture, table), "{table}");
        }
        assert!(rows(&copied, SHARES_2).is_empty());
        assert!(!copy.with_extension("sqlite.partial").exists());
        // The user goes back to the backup.
        drop(copied);
        fs::rename(copy, folder.path().join(STATE_FOLDER.database)).unwrap();
        assert_eq!(snapshot(&folder), LedgerSnapshot { shares_since_ms: None, ..before });
    }
}

#[test]
fn sqlites_statistics_are_not_in_the_backup() {
    let folder = folder();
    let (before, before_tables) = (snapshot(&folder), table_names(&connect(&folder)));
    connect(&folder).execute_batch("ANALYZE").unwrap();
    assert!(table_names(&connect(&folder)).contains(&"sqlite_stat1".to_owned()));
    open(&folder);
    assert_eq!(format(&connect(&folder)), FORMAT);
    assert_eq!(snapshot(&folder), before);
    let copy = Connection::open(folder.path().join("scheduler.format-1.sqlite")).unwrap();
    assert_eq!(table_names(&copy), before_tables);
}

/// Runs only the first `stop` steps of the migration, as if the process were killed then. Returns whether the migration was
/// complete.
fn migrate_until(folder: &TempDir, before: i64, stop: usize) -> bool {
    let mut connection = connect(folder);
    let path = folder.path().join(STATE_FOLDER.database);
    let (copy, mut left) = (backup_path(&path, before), stop);
    let partial = copy.with_extension("sqlite.partial");
    let mut step = || {
        left = left.checked_sub(1)?;
        Some(())
    };
    if step().is_none() {
        fs::write(&partial, "half a copy").unwrap();
        return false;
    }
    write_backup(&connection, &partial, before).unwrap();
    if step().is_none() {
        return false;
    }
    publish(&partial, &copy).unwrap();
    let ended = convert(&mut connection, before, |_| step().ok_or(rusqlite::Error::QueryReturnedNoRows));
    ended.is_ok()
}

#[test]
fn an_interrupted_migration_changes_nothing_and_the_next_one_starts_anew() {
    let all = NEW_COLUMNS.len() + CONVERSIONS.len();
    for (before_format, statements) in [(1, all), (2, 7 + 4)] {
        let reference = folder_of(before_format);
        let (before, expected) = (snapshot(&reference), open(&reference));
        let mut stop = 0;
        loop {
            let folder = folder_of(before_format);
            let done = migrate_until(&folder, before_format, stop);
            assert_eq!(snapshot(&folder), before, "{stop}");
            assert_eq!(format(&connect(&folder)), if done { FORMAT } else { before_format }, "{stop}");
            let mut found = open(&folder);
            found.specification_key.clone_from(&expected.specification_key);
            assert_eq!(found, expected, "{stop}");
            assert_eq!(snapshot(&folder), before, "{stop}");
            if done {
                break;
            }
            stop += 1;
        }
        assert_eq!(stop, 2 + statements + 1 + 2, "all steps were tried");
    }
}

/// Earlier versions with this format did not record that TEARDOWN was about to be sent, nor what operators have said.
#[test]
fn a_folder_of_this_format_gets_the_columns_and_tables_that_it_lacks() {
    let mut connection = Connection::open_in_memory().unwrap();
    prepare(&mut connection, Path::new("memory")).unwrap();
    connection.execute_batch("ALTER TABLE framework DROP COLUMN tearing_down; DROP TABLE controls").unwrap();
    for _ in 0..2 {
        prepare(&mut connection, Path::new("memory")).unwrap();
    }
    let changes = [Change::Framework("f".into()), Change::TearingDown(true)];
    records::write(&mut connection, &mut None, &changes.map(|change| (0, change))).unwrap();
    let recovered = read::recover(&connection).unwrap();
    assert!(recovered.framework.unwrap().tearing_down);
    assert_eq!(recovered.controls, Controls::default());
}

/// The child processes that this test starts die in the middle of the transaction.
#[test]
fn nothing_has_changed_when_the_process_dies() {
    const NAME: &str = "store::sqlite::migration::tests::nothing_has_changed_when_the_process_dies";
    if let Ok(told) = std::env::var(DIE_AT) {
        let (path, statement) = told.split_once('=').unwrap();
        let mut connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        let done = convert(&mut connection, 1, |next| match next.starts_with(statement) {
            true => std::process::abort(),
            false => Ok(()),
        });
        panic!("it lives on: {done:?}");
    }
    let reference = folder();
    let (before, expected) = (snapshot(&reference), open(&reference));
    for statement in ["ALTER TABLE task ADD COLUMN retired", "UPDATE account", "DROP", "PRAGMA", "COMMIT"] {
        let folder = folder();
        let path = folder.path().join(STATE_FOLDER.database);
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env(DIE_AT, format!("{}={statement}", path.display()))
            .output()
            .unwrap();
        assert_eq!(ended.status.signal(), Some(6), "{ended:?}");
        assert_eq!(format(&connect(&folder)), 1, "{statement}");
        assert_eq!(snapshot(&folder), before, "{statement}");
        let mut found = open(&folder);
        found.specification_key.clone_from(&expected.specification_key);
        assert_eq!(found, expected, "{statement}");
    }
}

/// The table of single shares may have gigabytes, so the migration must not read it. Here its first page is garbage, so that
/// reading it fails.
#[test]
fn single_shares_are_not_read() {
    for before_format in [1, 2] {
        no_share_is_looked_at(&folder_of(before_format));
    }
}

fn no_share_is_looked_at(folder: &TempDir) {
    let before = snapshot(folder).ledger;
    let pages: Vec<(u32, u32)> = {
        let connection = connect(folder);
        let sql = "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE tbl_name = 'share'";
        let mut query = connection.prepare(sql).unwrap();
        let pages = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        pages.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(pages.len(), 2, "the table and its index");
    let mut file = File::options().write(true).open(folder.path().join(STATE_FOLDER.database)).unwrap();
    for (page, size) in pages {
        file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
        file.write_all(&vec![0xff; size as usize]).unwrap();
    }
    drop(file);
    let recovered = open(folder);
    assert_eq!(recovered.ledger.sum(), before.sum());
    assert_eq!(format(&connect(folder)), FORMAT);
    for column in ["count(*)", "min(received_ms)"] {
        let looked = connect(folder)
            .query_row(&format!("SELECT {column} FROM share"), [], |row| row.get::<_, Option<i64>>(0));
        assert!(looked.is_err(), "{column}");
    }
}

#[test]
fn folders_of_the_first_programs_and_incomplete_ones_are_converted() {
    let folder = folder();
    connect(&folder).execute_batch("DROP TABLE earlier; DROP TABLE folder;").unwrap();
    assert_eq!(open(&folder).tasks.len(), 16, "nothing tells which ones had retired elsewhere");
    let half_made = tempfile::tempdir().unwrap();
    let sql = "CREATE TABLE framework (id TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, ended_ms INTEGER,
        peak INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID";
    connect(&half_made).execute_batch(sql).unwrap();
    assert_eq!(open(&half_made).next_number, 1);
    assert_eq!(format(&connect(&half_made)), FORMAT);
    let columns = |folder: &TempDir| {
        let connection = connect(folder);
        let mut query = connection
            .prepare(
                "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
                 WHERE m.tbl_name <> 'share' ORDER BY 1",
            )
            .unwrap();
        let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
        names.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let new = tempfile::tempdir().unwrap();
    open(&new);
    assert_eq!(columns(&half_made), columns(&new));
    assert_eq!(columns(&folder), columns(&new));
    assert!(!new.path().join("scheduler.format-1.sqlite").exists(), "there was nothing to copy");
}

#[test]
fn a_sum_that_cannot_be_read_stops_the_start() {
    let folder = folder();
    let broken = r#"{"worker":{"hashes":"many"},"pool":{},"blocks":0}"#;
    connect(&folder).execute("UPDATE earlier SET sum = ?1", [broken]).unwrap();
    let error = StateFolder::open(folder.path()).unwrap_err();
    let text = format!("{:#}", anyhow::Error::from(error));
    for part in ["scheduler.sqlite", "sqlite3", "column sum of table earlier", "many"] {
        assert!(text.contains(part), "{text}");
    }
    connect(&folder).execute("UPDATE earlier SET sum = '{}'", []).unwrap();
    assert_eq!(open(&folder).ledger.sum().0.worker.accepted, 2600 - 1010, "an absent one is zero");
}

#[test]
fn folders_of_earlier_formats_are_read_and_get_the_table_of_failed_launches() {
    for format in [1, 2] {
        let folder = folder_of(format);
        let there = || table_names(&connect(&folder)).contains(&"failed_launches".to_owned());
        let before = snapshot(&folder);
        assert!(!there(), "whoever reads changes nothing");
        open(&folder);
        assert!(there());
        assert_eq!(snapshot(&folder).failed_launches, before.failed_launches);
    }
}
