//! Checks that three counts of shares agree after every fault: the pool's own database, what pools have reported to the ledger,
//! and what workers have reported to the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::support::ledger::{Counts, Ledger, PoolDatabase, Row};

/// A dead server's last report may lack the shares that the server accepted within one report interval, which is a second in
/// these tests. This longer limit allows for a busy machine.
const SHORT: Duration = Duration::from_secs(4);
/// Minimum time that a server runs before a test kills it. The ledger may lack the shares of the last 4 seconds ([`SHORT`]). If
/// the server never sent a report, the ledger lacks the shares of all 8 seconds, and the test fails.
pub const LONG: Duration = Duration::from_secs(8);
/// Maximum number of shares that a killed server may have accepted without storing them. It stores shares ten times a second.
const UNWRITTEN: u64 = 10;

/// Checks, after the framework has ended, that the scheduler's ledger agrees with the databases of the pool servers. `dead` are
/// the tasks that could not send a last report.
pub fn agree(state: &Path, work_folder: &Path, dead: &BTreeSet<String>) {
    let ledger = Ledger::read(state).expect("there is a ledger");
    assert!(ledger.pool() > 0, "{ledger:#?}");
    let mut own: BTreeMap<&str, Counts> = BTreeMap::new();
    let pools: Vec<(&Row, PoolDatabase)> = ledger
        .servers
        .iter()
        .map(|server| (server, PoolDatabase::of(&server.task, work_folder).unwrap_or_default()))
        .collect();
    for (server, pool) in &pools {
        let died = dead.contains(&server.task);
        assert_eq!(server.short, died, "a server that died, and no other, is short: {server:#?}");
        if died {
            short(server, pool);
        } else {
            assert_eq!(server.pool, sum(pool.workers.values()), "the pool's own count: {server:#?}");
        }
        for (worker, column) in &pool.workers {
            *own.entry(worker).or_default() += *column;
        }
    }
    let server_died = ledger.servers.iter().any(|server| server.short);
    for row in &ledger.workers {
        let own = own.get(row.task.as_str()).copied().unwrap_or_default();
        compare(row, own, server_died, dead.contains(&row.task));
    }
    let words = Ledger::printed(state);
    let said =
        |server: &Row| words.iter().filter(|line| line.contains(&format!("short: {} ", server.task))).count();
    for server in &ledger.servers {
        assert_eq!(said(server), usize::from(server.short), "who reads it is told: {words:#?}");
    }
}

/// Checks that the ledger lacks only those shares of a dead server that were accepted within one report interval.
fn short(server: &Row, pool: &PoolDatabase) {
    let missing = pool.accepted().saturating_sub(server.pool.accepted);
    let first = usize::try_from(missing).ok().and_then(|missing| pool.times.get(missing.checked_sub(1)?));
    let span = pool.times.first().zip(first).map_or(0, |(last, first)| last - first);
    assert!(
        u128::from(span.unsigned_abs()) < SHORT.as_millis(),
        "short by {missing}, {span} ms: {server:#?}"
    );
    assert!(pool.span() > SHORT, "a report that never came would not show: {server:#?} {pool:?}");
    assert!(server.pool.accepted <= pool.accepted() + UNWRITTEN, "counted twice: {server:#?} {pool:?}");
}

/// Compares a worker's row in the ledger with `own`, the worker's account in the pool's database. The row has both the pool's and
/// the worker's counts.
fn compare(row: &Row, own: Counts, server_died: bool, died: bool) {
    let (pool, worker) = (row.pool.accepted, row.worker.accepted);
    assert_eq!(row.unreported, Some(pool.saturating_sub(worker)), "nothing is hidden: {row:#?}");
    assert_eq!(row.uncounted, Some(worker.saturating_sub(pool)), "nothing is hidden: {row:#?}");
    if server_died {
        assert!(pool.max(worker) <= own.accepted + UNWRITTEN, "the pool has seen them all: {own:?} {row:#?}");
        return;
    }
    assert_eq!(row.pool, own, "the pool's own account: {row:#?}");
    assert!(worker <= pool, "the pool counts what a worker counts: {row:#?}");
    if !died {
        // A share whose response was in flight when the worker was killed counts as unanswered.
        assert!(pool - worker <= row.worker.unanswered, "the accounts agree: {row:#?}");
    }
}

fn sum<'a>(columns: impl Iterator<Item = &'a Counts>) -> Counts {
    columns.fold(Counts::default(), |mut sum, column| {
        sum += *column;
        sum
    })
}
