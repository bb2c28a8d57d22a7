//! Reads single shares from the database. A scheduler may be adding and removing shares at the same time.
//!
//! Each portion is read in a separate transaction, because one long transaction would keep SQLite from writing its log back to
//! the database, so that the log would grow.

use std::ops::ControlFlow;
use std::time::Duration;

use database::unsigned;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use task::{ShareRow, Verdict};

use super::schema::{SHARES_2, has_table};
use super::share_columns;

/// Maximum number of rows that are read in one transaction. A row has one worker's shares in one report.
const REPORTS: i64 = 100;
/// Maximum number of shares of format 2 that are read in one transaction.
const ROWS_2: i64 = 1000;

/// A share as a task reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredShare {
    /// The reporting task: the worker itself, or the server that received the share.
    pub task: String,
    /// The worker that found the share.
    pub worker: String,
    /// The number of the task's report.
    pub sequence: u64,
    /// The share's index in the report, from 0.
    pub ordinal: u64,
    /// When the report was stored, milliseconds since the Unix epoch.
    pub received_ms: u64,
    /// The share.
    pub share: ShareRow,
}

type Each<'a> = &'a mut dyn FnMut(StoredShare) -> ControlFlow<()>;

/// When the oldest share was received, milliseconds since the Unix epoch.
pub(super) fn oldest_ms(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let mut oldest: Option<i64> = None;
    for (table, sql) in [
        (SHARES_2, "SELECT min(received_ms) FROM share"),
        ("reported_shares", "SELECT received_ms FROM reported_shares ORDER BY id LIMIT 1"),
    ] {
        if oldest.is_none() && has_table(connection, table)? {
            oldest = connection.query_row(sql, [], |row| row.get(0)).optional()?.flatten();
        }
    }
    Ok(oldest.and_then(|oldest| oldest.try_into().ok()))
}

/// Calls `each` with one share after another, until `each` breaks.
pub(super) fn read(connection: &Connection, each: Each<'_>) -> rusqlite::Result<()> {
    if has_table(connection, SHARES_2)? && read_2(connection, each)?.is_break() {
        return Ok(());
    }
    if has_table(connection, "reported_shares")? {
        let _ = read_reports(connection, each)?;
    }
    Ok(())
}

fn read_reports(connection: &Connection, each: Each<'_>) -> rusqlite::Result<ControlFlow<()>> {
    let mut query = connection.prepare(
        "SELECT id, task, coalesce(worker, task), sequence, received_ms, shares FROM reported_shares
         WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut last: Option<i64> = Some(i64::MIN);
    while let Some(after) = last.take() {
        let portion: Vec<(i64, Vec<StoredShare>)> = query
            .query_map([after, REPORTS], |row| Ok((row.get(0)?, report(row)?)))?
            .collect::<Result<_, _>>()?;
        for (id, shares) in portion {
            last = Some(id);
            for share in shares {
                if each(share).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn report(row: &Row<'_>) -> rusqlite::Result<Vec<StoredShare>> {
    let (task, worker): (String, String) = (row.get(1)?, row.get(2)?);
    let (sequence, received_ms) = (unsigned(row.get(3)?), unsigned(row.get(4)?));
    let shares = share_columns::decode(row.get_ref(5)?.as_blob()?).ok_or_else(|| {
        let what = format!("column shares of table reported_shares: report {sequence} of {task} is damaged");
        rusqlite::Error::FromSqlConversionFailure(5, Type::Blob, what.into())
    })?;
    let stored = |(ordinal, share)| StoredShare {
        task: task.clone(),
        worker: worker.clone(),
        sequence,
        ordinal: ordinal as u64,
        received_ms,
        share,
    };
    Ok(shares.into_iter().enumerate().map(stored).collect())
}

/// Reads the shares of formats 1 and 2, task by task.
fn read_2(connection: &Connection, each: Each<'_>) -> rusqlite::Result<ControlFlow<()>> {
    let mut query = connection.prepare(
        "SELECT task, worker, sequence, ordinal, received_ms, job, extranonce2, ntime, version, nonce, difficulty,
             verdict, round_trip_us
         FROM share WHERE (task, worker, sequence, ordinal) > (?1, ?2, ?3, ?4)
         ORDER BY task, worker, sequence, ordinal LIMIT ?5",
    )?;
    let mut last = Some((String::new(), String::new(), i64::MIN, i64::MIN));
    while let Some((task, worker, sequence, ordinal)) = last.take() {
        let after = params![task, worker, sequence, ordinal, ROWS_2];
        let portion: Vec<StoredShare> = query.query_map(after, row_2)?.collect::<Result<_, _>>()?;
        for share in portion {
            last = Some((
                share.task.clone(),
                share.worker.clone(),
                share.sequence.cast_signed(),
                share.ordinal.cast_signed(),
            ));
            if each(share).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn row_2(row: &Row<'_>) -> rusqlite::Result<StoredShare> {
    let verdict: String = row.get(11)?;
    let verdict = verdict_2(&verdict).ok_or_else(|| {
        let what = format!("column verdict of table share: unknown verdict {verdict:?}");
        rusqlite::Error::FromSqlConversionFailure(11, Type::Text, what.into())
    })?;
    // NaN was stored as NULL.
    let difficulty: Option<f64> = row.get(10)?;
    Ok(StoredShare {
        task: row.get(0)?,
        worker: row.get(1)?,
        sequence: unsigned(row.get(2)?),
        ordinal: unsigned(row.get(3)?),
        received_ms: unsigned(row.get(4)?),
        share: ShareRow {
            job: row.get(5)?,
            extranonce2: row.get(6)?,
            ntime: row.get(7)?,
            version: row.get(8)?,
            nonce: row.get(9)?,
            difficulty: difficulty.unwrap_or(f64::NAN),
            verdict,
            round_trip: Duration::from_micros(unsigned(row.get(12)?)),
        },
    })
}

fn verdict_2(text: &str) -> Option<Verdict> {
    Some(match text {
        "accepted" => Verdict::Accepted,
        "stale" => Verdict::Stale,
        "unanswered" => Verdict::Unanswered,
        _ => Verdict::Rejected(text.strip_prefix("rejected ")?.parse().ok()?),
    })
}
