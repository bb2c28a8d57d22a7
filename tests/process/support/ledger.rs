//! Reads the accounts: the output of `mesos-miner ledger --json`, and the pool's database.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use serde::Deserialize;

use super::DEADLINE;
use super::process::mesos_miner;

/// The output of `mesos-miner ledger --json` for one framework.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Ledger {
    pub workers: Vec<Row>,
    pub servers: Vec<Row>,
    pub total: Row,
}

/// The row of one task.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Row {
    pub task: String,
    pub state: Option<String>,
    pub pool: Counts,
    pub worker: Counts,
    pub unreported: Option<u64>,
    pub uncounted: Option<u64>,
    pub short: bool,
}

/// The shares and blocks that a pool or a worker has counted.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Counts {
    pub accepted: u64,
    pub rejected: u64,
    pub stale: u64,
    pub unanswered: u64,
    pub blocks: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.stale += other.stale;
        self.unanswered += other.unanswered;
        self.blocks += other.blocks;
    }
}

impl Row {
    pub fn is_running(&self) -> bool {
        self.state.as_deref() == Some("TASK_RUNNING")
    }
}

impl Ledger {
    /// Reads the ledger in a state folder, also while a scheduler writes it; `None` if there is no ledger yet.
    pub fn read(state_dir: &Path) -> Option<Self> {
        Ledger::at("--state-dir".as_ref(), state_dir.as_os_str())
    }

    /// Reads the ledger that schedulers share in ZooKeeper; `None` if there is no ledger yet.
    pub fn shared(zk: &str) -> Option<Self> {
        Ledger::at("--zk".as_ref(), zk.as_ref())
    }

    fn at(option: &OsStr, place: &OsStr) -> Option<Self> {
        let ended = mesos_miner(["ledger".as_ref(), "--json".as_ref(), option, place]).wait(DEADLINE);
        if !ended.status.success() {
            assert!(ended.errors().contains("there is no ledger"), "{ended:#?}");
            return None;
        }
        Some(
            serde_json::from_str(&ended.stdout.join(""))
                .unwrap_or_else(|error| panic!("{error}: {ended:#?}")),
        )
    }

    /// The output of `mesos-miner ledger` without `--json`.
    pub fn printed(state_dir: &Path) -> Vec<String> {
        let ended =
            mesos_miner(["ledger".as_ref(), "--state-dir".as_ref(), state_dir.as_os_str()]).wait(DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
        ended.stdout
    }

    /// The row of a worker.
    pub fn worker(&self, task: &str) -> Option<&Row> {
        self.workers.iter().find(|row| row.task == task)
    }

    /// The rows of the running workers.
    pub fn running(&self) -> impl Iterator<Item = &Row> {
        self.workers.iter().filter(|row| row.is_running())
    }

    /// The number of accepted shares that the pool servers have counted. Checks that the servers' rows and the workers' rows have
    /// the same sum.
    pub fn pool(&self) -> u64 {
        let of_servers: u64 = self.servers.iter().map(|row| row.pool.accepted).sum();
        let of_workers: u64 = self.workers.iter().map(|row| row.pool.accepted).sum();
        assert_eq!((of_servers, of_workers), (of_workers, self.total.pool.accepted), "{self:#?}");
        of_servers
    }
}

/// A server task's own accounts, from the database in its sandbox.
#[derive(Debug, Default)]
pub struct PoolDatabase {
    /// The server's account of each worker.
    pub workers: BTreeMap<String, Counts>,
    /// When each share was accepted, in milliseconds since the Unix epoch, latest first.
    pub times: Vec<i64>,
}

impl PoolDatabase {
    /// Reads the database of a server task whose sandbox is below `work_folder`. `None` if there is no database, or if the
    /// server ended before it created the tables.
    pub fn of(server: &str, work_folder: &Path) -> Option<Self> {
        let database = find(work_folder, &|path| {
            path.ends_with("mesos-miner-pool/pool.sqlite") && path.iter().any(|part| part == server)
        })?;
        let connection = Connection::open(database).expect("a database");
        let mut workers = connection
            .prepare("SELECT name, accepted, rejected, stale, unanswered, blocks FROM worker")
            .ok()?;
        let account = |row: &rusqlite::Row<'_>| {
            let count = |place: usize| row.get::<_, i64>(place).map(i64::unsigned_abs);
            let column = Counts {
                accepted: count(1)?,
                rejected: count(2)?,
                stale: count(3)?,
                unanswered: count(4)?,
                blocks: count(5)?,
            };
            Ok((row.get(0)?, column))
        };
        let workers = workers.query_map([], account).expect("rows").map(|row| row.expect("an account"));
        let mut times = connection.prepare("SELECT accepted_ms FROM share ORDER BY 1 DESC").expect("a table");
        let times = times.query_map([], |row| row.get(0)).expect("rows").map(|time| time.expect("a number"));
        Some(PoolDatabase { workers: workers.collect(), times: times.collect() })
    }

    /// Accepted shares of all workers.
    pub fn accepted(&self) -> u64 {
        self.workers.values().map(|column| column.accepted).sum()
    }

    /// The time between the first and the last accepted share.
    pub fn span(&self) -> Duration {
        let span = self.times.first().zip(self.times.last()).map_or(0, |(last, first)| last - first);
        Duration::from_millis(u64::try_from(span).unwrap_or(0))
    }
}

/// Finds a file below a folder for which `wanted` returns true. Symbolic links are not followed.
fn find(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().find_map(|entry| match entry.file_type().ok()? {
        kind if kind.is_dir() => find(&entry.path(), wanted),
        kind if kind.is_file() && wanted(&entry.path()) => Some(entry.path()),
        _ => None,
    })
}
