use std::io::{Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use mesos::v1::TaskState;
use tempfile::TempDir;

use super::*;
use crate::journal::{Assignment, Origin, Recovered};
use crate::store::sqlite::{StateFolder, ledger_snapshot};
use crate::store::{DATABASE, LedgerSnapshot};

/// Tells a process of this test at which statement to die.
const DIE_AT: &str = "MINER_TEST_DIE_AT";

/// A folder as the last program of format 1 left it; the fixture's README says what is in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1/scheduler.sqlite");
    fs::copy(fixture, folder.path().join(DATABASE)).unwrap();
    folder
}

fn connect(folder: &TempDir) -> Connection {
    Connection::open(folder.path().join(DATABASE)).unwrap()
}

fn snapshot(folder: &TempDir) -> LedgerSnapshot {
    ledger_snapshot(folder.path(), true).unwrap()
}

/// As a scheduler does it.
fn open(folder: &TempDir) -> Recovered {
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

fn tables(connection: &Connection) -> Vec<String> {
    let mut query = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_ledger_reads_the_same_before_and_after() {
    let folder = folder();
    let before = snapshot(&folder);
    assert_eq!(format(&connect(&folder)), 1, "reading changes nothing");
    assert_eq!(before.ledger.sum().0.worker.accepted, 2600);
    assert_eq!(before.ledger.sum().0.pool.accepted, 69_598);
    open(&folder);
    assert_eq!(format(&connect(&folder)), 2);
    assert_eq!(snapshot(&folder), before);
    assert_eq!(rows(&connect(&folder), "share").len(), 93);
}

#[test]
fn sentinels_become_what_they_meant() {
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
    assert_eq!(of("miner-worker-777"), (Origin::Found, None, Some(TaskState::TaskRunning)));
    assert_eq!(of("miner-server-778").0, Origin::Found);
    assert_eq!(of("miner-worker-779").2, None);
    assert_eq!(snapshot(&folder).tasks, before.tasks, "and they are read so from format 1");
}

#[test]
fn the_copy_is_the_database_as_it_was_without_single_shares() {
    let folder = folder();
    open(&folder);
    let copy = folder.path().join("scheduler.format-1.sqlite");
    let fixture =
        Connection::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1/scheduler.sqlite"))
            .unwrap();
    let copied = Connection::open(&copy).unwrap();
    assert_eq!(format(&copied), 1);
    assert_eq!(tables(&copied), tables(&fixture));
    for table in tables(&fixture).iter().filter(|table| *table != "share") {
        assert_eq!(rows(&copied, table), rows(&fixture, table), "{table}");
    }
    assert!(rows(&copied, "share").is_empty());
    assert!(!folder.path().join("scheduler.format-1.sqlite.partial").exists());
    // Back again.
    let before = snapshot(&folder);
    drop(copied);
    fs::rename(copy, folder.path().join(DATABASE)).unwrap();
    assert_eq!(snapshot(&folder), LedgerSnapshot { shares_since_ms: None, ..before });
}

#[test]
fn statistics_that_sqlite_keeps_are_no_part_of_the_copy() {
    let folder = folder();
    let (before, before_tables) = (snapshot(&folder), tables(&connect(&folder)));
    connect(&folder).execute_batch("ANALYZE").unwrap();
    assert!(tables(&connect(&folder)).contains(&"sqlite_stat1".to_owned()));
    open(&folder);
    assert_eq!(format(&connect(&folder)), 2);
    assert_eq!(snapshot(&folder), before);
    let copy = Connection::open(folder.path().join("scheduler.format-1.sqlite")).unwrap();
    assert_eq!(tables(&copy), before_tables);
}

/// What would be done if the process ended there; whether all was done.
fn migrate_until(folder: &TempDir, stop: usize) -> bool {
    let mut connection = connect(folder);
    let path = folder.path().join(DATABASE);
    let (copy, mut left) = (copy_path(&path, BEFORE), stop);
    let partial = copy.with_extension("sqlite.partial");
    let mut step = || {
        left = left.checked_sub(1)?;
        Some(())
    };
    if step().is_none() {
        fs::write(&partial, "half a copy").unwrap();
        return false;
    }
    write_copy(&connection, &partial).unwrap();
    if step().is_none() {
        return false;
    }
    publish(&partial, &copy).unwrap();
    let ended = convert(&mut connection, |_| step().ok_or(rusqlite::Error::QueryReturnedNoRows));
    ended.is_ok()
}

#[test]
fn whoever_is_stopped_at_any_step_has_changed_nothing_and_the_next_one_begins_anew() {
    let reference = folder();
    let (before, expected) = (snapshot(&reference), open(&reference));
    let mut stop = 0;
    loop {
        let folder = folder();
        let done = migrate_until(&folder, stop);
        assert_eq!(snapshot(&folder), before, "{stop}");
        assert_eq!(format(&connect(&folder)), if done { 2 } else { 1 }, "{stop}");
        let mut found = open(&folder);
        found.specification_key.clone_from(&expected.specification_key);
        assert_eq!(found, expected, "{stop}");
        assert_eq!(snapshot(&folder), before, "{stop}");
        if done {
            break;
        }
        stop += 1;
    }
    assert_eq!(stop, 2 + NEW_COLUMNS.len() + 1 + CONVERSIONS.len() + 2, "all steps were tried");
}

/// The same with processes that die in the middle of the transaction.
#[test]
fn nothing_has_changed_when_the_process_dies() {
    const NAME: &str = "store::sqlite::migration::tests::nothing_has_changed_when_the_process_dies";
    if let Ok(told) = std::env::var(DIE_AT) {
        let (path, statement) = told.split_once('=').unwrap();
        let mut connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        let done = convert(&mut connection, |next| match next.starts_with(statement) {
            true => std::process::abort(),
            false => Ok(()),
        });
        panic!("it lives on: {done:?}");
    }
    let reference = folder();
    let (before, expected) = (snapshot(&reference), open(&reference));
    for statement in ["ALTER TABLE task ADD COLUMN retired", "UPDATE task SET pool", "PRAGMA", "COMMIT"] {
        let folder = folder();
        let path = folder.path().join(DATABASE);
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

/// Their table may have gigabytes. Here its first page is garbage, so that whoever looks at it fails.
#[test]
fn single_shares_are_not_looked_at() {
    let folder = folder();
    let before = snapshot(&folder).ledger;
    let pages: Vec<(u32, u32)> = {
        let connection = connect(&folder);
        let sql = "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE tbl_name = 'share'";
        let mut query = connection.prepare(sql).unwrap();
        let pages = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        pages.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(pages.len(), 2, "the table and its index");
    let mut file = File::options().write(true).open(folder.path().join(DATABASE)).unwrap();
    for (page, size) in pages {
        file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
        file.write_all(&vec![0xff; size as usize]).unwrap();
    }
    drop(file);
    let recovered = open(&folder);
    assert_eq!(recovered.ledger.sum(), before.sum());
    assert_eq!(format(&connect(&folder)), 2);
    for column in ["count(*)", "min(received_ms)"] {
        let looked = connect(&folder)
            .query_row(&format!("SELECT {column} FROM share"), [], |row| row.get::<_, Option<i64>>(0));
        assert!(looked.is_err(), "{column}");
    }
}

#[test]
fn folders_of_the_first_programs_and_half_made_ones_are_brought_up_to_date() {
    let folder = folder();
    connect(&folder).execute_batch("DROP TABLE earlier; DROP TABLE folder;").unwrap();
    assert_eq!(open(&folder).tasks.len(), 16, "nothing tells which ones had retired elsewhere");
    let half_made = tempfile::tempdir().unwrap();
    let sql = "CREATE TABLE framework (id TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, ended_ms INTEGER,
        peak INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID";
    connect(&half_made).execute_batch(sql).unwrap();
    assert_eq!(open(&half_made).next_number, 1);
    assert_eq!(format(&connect(&half_made)), 2);
    let columns = |folder: &TempDir| {
        let connection = connect(folder);
        let mut query = connection
            .prepare(
                "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY 1",
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
fn a_folder_of_format_2_without_failed_launches_is_read_as_it_is_and_gets_their_table() {
    let folder = folder();
    open(&folder);
    let before = snapshot(&folder);
    connect(&folder).execute_batch("DROP TABLE failed_launches").unwrap();
    assert_eq!(snapshot(&folder), before);
    let there = |folder: &TempDir| tables(&connect(folder)).contains(&"failed_launches".to_owned());
    assert!(!there(&folder), "whoever reads changes nothing");
    open(&folder);
    assert!(there(&folder));
}
