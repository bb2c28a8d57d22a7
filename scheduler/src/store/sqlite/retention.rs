//! Removes the oldest single shares when they exceed their limits of age and size.
//!
//! The writing thread does this in steps of milliseconds: one step after each batch, and further steps while there is nothing to
//! write. So new changes never wait until gigabytes have been removed. Later rows reuse the freed pages. Pages are given back to
//! the system only if the limit was lowered or most of the file is free.

use std::time::{Duration, Instant};

use database::{integer, now_ms, unsigned};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::schema::{SHARES_2, has_table};
use crate::store::ShareLimits;
use crate::unix_time::date;

/// A step removes at most this number of rows of the table `reported_shares`, plus one for each change that was just written. A
/// row has the shares of one worker in one report.
const REPORTS: usize = 200;
/// A step removes at most this number of shares of format 2, in which each share has its own row.
const ROWS_2: usize = 200;
/// If changes were just written, a step may remove more shares than [`ROWS_2`]: this number more for each change.
const ROWS_2_PER_CHANGE: usize = 20;
/// Maximum number of pages that a step gives back to the system. For each page, SQLite searches its list of free pages, which
/// takes longer if the list is longer.
const PAGES: u64 = 10;
/// While changes are being written, at least this time passes between two steps that give pages back, because such a step delays
/// the changes.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);
/// While the file is within its limit, at least this number of free pages is kept for later rows instead of being given back to
/// the system.
const SPARE_PAGES: u64 = 4096;
/// The minimum time between two messages that tell the user that shares are removed.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The result of a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct PruneStep {
    /// Whether there may be work for another step.
    pub more: bool,
    /// The message to the user that shares are removed because of the size limit, if such a message is due.
    pub message: Option<String>,
}

/// Keeps single shares within their limits.
pub(in crate::store) struct ShareRetention {
    limits: ShareLimits,
    /// Whether the database still has the table of format 2.
    format_2: bool,
    /// When the user was last informed that shares are removed.
    told: Option<Instant>,
    /// When pages were last given back to the system.
    gave_back: Option<Instant>,
}

/// The size of the file, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DatabasePages {
    /// The size of a page in bytes.
    size: u64,
    all: u64,
    free: u64,
}

impl DatabasePages {
    fn read(connection: &Connection) -> rusqlite::Result<DatabasePages> {
        let pragma = |sql: &str| -> rusqlite::Result<u64> {
            let number: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(unsigned(number))
        };
        Ok(DatabasePages {
            size: pragma("PRAGMA page_size")?,
            all: pragma("PRAGMA page_count")?,
            free: pragma("PRAGMA freelist_count")?,
        })
    }

    /// Whether the used pages exceed the limit.
    fn exceed(&self, limit: Option<u64>) -> bool {
        limit.is_some_and(|limit| self.all.saturating_sub(self.free).saturating_mul(self.size) > limit)
    }

    /// The number of free pages to give back to the system. Free pages may be left: as many as there are used pages, or
    /// [`SPARE_PAGES`] if that is more. If the file would then exceed `limit`, fewer are left.
    fn surplus(&self, limit: Option<u64>) -> u64 {
        let used = self.all.saturating_sub(self.free);
        let beyond = limit.map_or(0, |limit| self.all.saturating_sub(limit / self.size.max(1)));
        let idle = if self.free > used.max(SPARE_PAGES) { self.free - used.max(SPARE_PAGES) } else { 0 };
        beyond.max(idle).min(self.free)
    }
}

impl ShareRetention {
    /// Prepares to keep the single shares in this database within `limits`.
    pub fn new(limits: ShareLimits, connection: &Connection) -> rusqlite::Result<Self> {
        Ok(ShareRetention { limits, format_2: has_table(connection, SHARES_2)?, told: None, gave_back: None })
    }

    /// Removes some shares, or gives some pages back to the system. `written` is the number of changes in the transaction that
    /// was just written.
    pub fn prune(&mut self, connection: &mut Connection, written: usize) -> rusqlite::Result<PruneStep> {
        let pages = DatabasePages::read(connection)?;
        let oldest =
            integer(now_ms()).saturating_sub(self.limits.age.as_millis().try_into().unwrap_or(i64::MAX));
        let too_large = pages.exceed(self.limits.size);
        let before = if too_large { i64::MAX } else { oldest };
        if let Some(last_ms) = self.remove(connection, before, written)? {
            let message = (too_large && last_ms >= oldest).then(|| self.message(last_ms)).flatten();
            return Ok(PruneStep { more: true, message });
        }
        let surplus = pages.surplus(self.limits.size);
        if surplus == 0 || written > 0 && self.gave_back.is_some_and(|at| at.elapsed() < GIVE_BACK_EVERY) {
            return Ok(PruneStep { more: surplus > 0, message: None });
        }
        self.gave_back = Some(Instant::now());
        Ok(PruneStep { more: give_back(connection, surplus.min(PAGES))?, message: None })
    }

    /// Removes some of the shares that were received before the time `before`, the oldest first. Returns the time when the last
    /// removed share was received.
    fn remove(
        &mut self,
        connection: &mut Connection,
        before: i64,
        written: usize,
    ) -> rusqlite::Result<Option<i64>> {
        if self.format_2 {
            if let Some(last) = remove_2(connection, before, ROWS_2 + ROWS_2_PER_CHANGE * written)? {
                return Ok(Some(last));
            }
            self.format_2 = !drop_if_empty(connection)?;
            if self.format_2 {
                // The remaining shares of format 2 are too new to be removed. All shares of format 3 are even newer, so they are
                // kept, too.
                return Ok(None);
            }
        }
        let mut query = connection.prepare_cached(
            "SELECT id, received_ms FROM (SELECT id, received_ms FROM reported_shares ORDER BY id LIMIT ?1)
             WHERE received_ms < ?2 ORDER BY id DESC LIMIT 1",
        )?;
        let count = integer((REPORTS + written) as u64);
        let last: Option<(i64, i64)> =
            query.query_row([count, before], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((id, received_ms)) = last else { return Ok(None) };
        connection.prepare_cached("DELETE FROM reported_shares WHERE id <= ?1")?.execute([id])?;
        Ok(Some(received_ms))
    }

    /// A message to the user that shares are removed because of the size limit; `None` if the last such message is less than
    /// [`TELL_EVERY`] old.
    fn message(&mut self, last_ms: i64) -> Option<String> {
        if self.told.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(format!(
            "the ledger has reached --ledger-max-size: single shares up to {} have been removed, and the oldest are removed \
             as new ones arrive; totals are kept",
            date(unsigned(last_ms))
        ))
    }
}

/// Removes the oldest shares of format 2 that were received before a time. Returns the time when the last of them was received.
fn remove_2(connection: &mut Connection, before: i64, rows: usize) -> rusqlite::Result<Option<i64>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let key = "task, worker, sequence, ordinal";
    let sql = format!(
        "SELECT {key}, received_ms FROM share WHERE received_ms < ?1
         ORDER BY received_ms LIMIT {rows}"
    );
    let mut last = None;
    {
        let mut delete = transaction.prepare_cached(
            "DELETE FROM share WHERE task = ?1 AND worker = ?2 AND sequence = ?3 AND ordinal = ?4",
        )?;
        let mut query = transaction.prepare_cached(&sql)?;
        type Key = (String, String, i64, i64, i64);
        let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Key> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let rows: Vec<Key> = query.query_map([before], row)?.collect::<Result<_, _>>()?;
        for (task, worker, sequence, ordinal, received_ms) in rows {
            delete.execute((task, worker, sequence, ordinal))?;
            last = Some(received_ms);
        }
    }
    transaction.commit()?;
    Ok(last)
}

/// Drops the table of format 2 if it is empty. Returns whether the table was dropped.
fn drop_if_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {SHARES_2})");
    if connection.query_row(&sql, [], |row| row.get(0))? {
        return Ok(false);
    }
    connection.execute_batch(&format!("DROP TABLE {SHARES_2}"))?;
    Ok(true)
}

/// Gives free pages back to the system, and returns whether the file became smaller. A file that was created in an earlier format
/// never becomes smaller: only VACUUM could change that, and it rewrites the whole file.
fn give_back(connection: &Connection, pages: u64) -> rusqlite::Result<bool> {
    let before = DatabasePages::read(connection)?;
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    Ok(DatabasePages::read(connection)?.all < before.all)
}

#[cfg(test)]
mod tests;
