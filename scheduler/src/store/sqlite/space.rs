//! Single shares are kept for a time and in a space: the oldest ones go.
//!
//! All is done in pieces that take milliseconds, on the thread that writes: after each batch one piece, where there is
//! something to do, and more of them while nothing is to be written. No acknowledgement waits for the removal of
//! gigabytes. Pages that become free are used for what comes next; where the limit was lowered, or most of the file is
//! free, they go back to the system.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::schema::{SHARES_2, has_table};
use super::values::{integer, now_ms, unsigned};
use crate::end::date;
use crate::store::ShareLimits;

/// A piece removes so many reports' shares, and as many more as were just written.
const REPORTS: usize = 200;
/// So many shares of format 2, where each is a row of its own.
const ROWS_2: usize = 200;
/// And so many more for each change that was just written: as much room as the shares of a report take now.
const ROWS_2_A_CHANGE: usize = 20;
/// So many pages at most go back to the system in a piece: SQLite looks through the list of free pages for each of them, which
/// takes longer the longer the list is.
const PAGES: u64 = 10;
/// Between two of these pieces while there is something to write, which waits for them.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);
/// A file with no more free pages than this keeps them, if it is not too large.
const FEW_FREE: u64 = 4096;
/// The user hears of it once in this time.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What one piece did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Piece {
    /// There is more to do.
    pub more: bool,
    /// What to tell the user.
    pub tell: Option<String>,
}

/// Keeps single shares within their limits.
pub(in crate::store) struct Space {
    limits: ShareLimits,
    /// The table of format 2 still has rows, as far as is known.
    format_2: bool,
    told: Option<Instant>,
    /// When pages last went back to the system.
    gave_back: Option<Instant>,
}

/// How large the file is, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pages {
    /// Their size in bytes.
    size: u64,
    all: u64,
    free: u64,
}

impl Pages {
    fn read(connection: &Connection) -> rusqlite::Result<Pages> {
        let pragma = |sql: &str| -> rusqlite::Result<u64> {
            let number: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(unsigned(number))
        };
        Ok(Pages {
            size: pragma("PRAGMA page_size")?,
            all: pragma("PRAGMA page_count")?,
            free: pragma("PRAGMA freelist_count")?,
        })
    }

    /// Whether what is in use is beyond the limit.
    fn too_much(&self, limit: Option<u64>) -> bool {
        limit.is_some_and(|limit| self.all.saturating_sub(self.free).saturating_mul(self.size) > limit)
    }

    /// How many pages are to go back to the system: those beyond the limit, and most of them where most are free.
    fn surplus(&self, limit: Option<u64>) -> u64 {
        let used = self.all.saturating_sub(self.free);
        let beyond = limit.map_or(0, |limit| self.all.saturating_sub(limit / self.size.max(1)));
        let idle = if self.free > used.max(FEW_FREE) { self.free - used.max(FEW_FREE) } else { 0 };
        beyond.max(idle).min(self.free)
    }
}

impl Space {
    /// Looks whether the table of format 2 is there.
    pub fn new(limits: ShareLimits, connection: &Connection) -> rusqlite::Result<Self> {
        Ok(Space { limits, format_2: has_table(connection, SHARES_2)?, told: None, gave_back: None })
    }

    /// Does the next piece, after so many changes were written.
    pub fn tidy(&mut self, connection: &mut Connection, written: usize) -> rusqlite::Result<Piece> {
        let pages = Pages::read(connection)?;
        let oldest =
            integer(now_ms()).saturating_sub(self.limits.age.as_millis().try_into().unwrap_or(i64::MAX));
        let too_much = pages.too_much(self.limits.size);
        let before = if too_much { i64::MAX } else { oldest };
        if let Some(last_ms) = self.remove(connection, before, written)? {
            let tell = (too_much && last_ms >= oldest).then(|| self.tell(last_ms)).flatten();
            return Ok(Piece { more: true, tell });
        }
        let surplus = pages.surplus(self.limits.size);
        if surplus == 0 || written > 0 && self.gave_back.is_some_and(|at| at.elapsed() < GIVE_BACK_EVERY) {
            return Ok(Piece { more: surplus > 0, tell: None });
        }
        self.gave_back = Some(Instant::now());
        Ok(Piece { more: give_back(connection, surplus.min(PAGES))?, tell: None })
    }

    /// Removes the oldest shares that were received before a time; when the last one of them was.
    fn remove(
        &mut self,
        connection: &mut Connection,
        before: i64,
        written: usize,
    ) -> rusqlite::Result<Option<i64>> {
        if self.format_2 {
            if let Some(last) = remove_2(connection, before, ROWS_2 + ROWS_2_A_CHANGE * written)? {
                return Ok(Some(last));
            }
            self.format_2 = !drop_if_empty(connection)?;
            if self.format_2 {
                // The rest is younger, and so is all that came later.
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

    fn tell(&mut self, last_ms: i64) -> Option<String> {
        if self.told.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(format!(
            "the ledger has reached --ledger-max-size: single shares up to {} are removed, and older ones go as new ones \
             come; totals stay",
            date(unsigned(last_ms))
        ))
    }
}

/// The same in the table of format 2. When the last one of them was received.
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

/// The table of format 2 goes when nothing is left in it; whether it is gone.
fn drop_if_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {SHARES_2})");
    if connection.query_row(&sql, [], |row| row.get(0))? {
        return Ok(false);
    }
    connection.execute_batch(&format!("DROP TABLE {SHARES_2}"))?;
    Ok(true)
}

/// Gives so many free pages back to the system; whether the file became smaller. One that an earlier format has made keeps
/// them: only VACUUM, which takes as long as the file is large, could change that.
fn give_back(connection: &Connection, pages: u64) -> rusqlite::Result<bool> {
    let before = Pages::read(connection)?;
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    Ok(Pages::read(connection)?.all < before.all)
}

#[cfg(test)]
mod tests;
