//! The accounts, as `mesos-miner ledger --json` gives them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Deserialize;

use super::SOON;
use super::process::mesos_miner;

/// What `mesos-miner ledger` says of one framework.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Books {
    pub workers: Vec<Row>,
    pub servers: Vec<Row>,
    pub total: Row,
}

/// One line.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Row {
    pub task: String,
    pub state: Option<String>,
    pub pool: Column,
    pub worker: Column,
    pub unreported: Option<u64>,
    pub uncounted: Option<u64>,
    pub short: bool,
}

/// One count.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Column {
    pub accepted: u64,
    pub rejected: u64,
    pub stale: u64,
    pub unanswered: u64,
    pub blocks: u64,
}

impl Row {
    pub fn is_running(&self) -> bool {
        self.state.as_deref() == Some("TASK_RUNNING")
    }
}

impl Books {
    /// Reads them beside a scheduler that may be writing them; `None` while there are none.
    pub fn read(state_dir: &Path) -> Option<Books> {
        Books::at("--state-dir".as_ref(), state_dir.as_os_str())
    }

    /// The same of what schedulers share in ZooKeeper.
    pub fn shared(zk: &str) -> Option<Books> {
        Books::at("--zk".as_ref(), zk.as_ref())
    }

    fn at(option: &OsStr, place: &OsStr) -> Option<Books> {
        let ended = mesos_miner(["ledger".as_ref(), "--json".as_ref(), option, place]).wait(SOON);
        if !ended.status.success() {
            assert!(ended.errors().contains("there is no ledger"), "{ended:#?}");
            return None;
        }
        Some(
            serde_json::from_str(&ended.stdout.join(""))
                .unwrap_or_else(|error| panic!("{error}: {ended:#?}")),
        )
    }

    /// The line of a worker.
    pub fn worker(&self, task: &str) -> Option<&Row> {
        self.workers.iter().find(|row| row.task == task)
    }

    /// The workers that run now.
    pub fn running(&self) -> impl Iterator<Item = &Row> {
        self.workers.iter().filter(|row| row.is_running())
    }

    /// What the pool servers count: the sum of both ways to add it up must be the same.
    pub fn pool(&self) -> u64 {
        let of_servers: u64 = self.servers.iter().map(|row| row.pool.accepted).sum();
        let of_workers: u64 = self.workers.iter().map(|row| row.pool.accepted).sum();
        assert_eq!((of_servers, of_workers), (of_workers, self.total.pool.accepted), "{self:#?}");
        of_servers
    }
}

/// What a server task has counted itself, in the database in its sandbox.
#[derive(Debug)]
pub struct PoolBooks {
    /// Accepted shares.
    pub accepted: u64,
    /// When each of them was accepted, milliseconds since the Unix epoch, the last first.
    pub times: Vec<i64>,
}

impl PoolBooks {
    /// Of a server task whose sandbox is somewhere below `work_folder`; `None` if it never had one.
    pub fn of(server: &str, work_folder: &Path) -> Option<PoolBooks> {
        let database = find(work_folder, &|path| {
            path.ends_with("mesos-miner-pool/pool.sqlite") && path.iter().any(|part| part == server)
        })?;
        let connection = Connection::open(database).expect("a database");
        let accepted =
            connection.query_row("SELECT total(accepted) FROM worker", [], |row| row.get::<_, f64>(0));
        let mut times = connection.prepare("SELECT accepted_ms FROM share ORDER BY 1 DESC").expect("a table");
        let times = times.query_map([], |row| row.get(0)).expect("rows").map(|time| time.expect("a number"));
        Some(PoolBooks { accepted: accepted.expect("a sum") as u64, times: times.collect() })
    }
}

/// The first file below a folder that is wanted. Links are not followed.
fn find(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().find_map(|entry| match entry.file_type().ok()? {
        kind if kind.is_dir() => find(&entry.path(), wanted),
        kind if kind.is_file() && wanted(&entry.path()) => Some(entry.path()),
        _ => None,
    })
}
