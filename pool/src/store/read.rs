//! Reads accounts and blocks from their rows.

use std::time::Duration;

use bitcoin::Amount;
use database::{has_column, integer, now_ms, sum, unsigned};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
use serde_json::Value;
use task::Totals;

use super::write::WorkerIds;
use crate::accounts::{
    BEATEN, BlockRecord, BlockState, BlockSummary, MAX_BLOCKS, RecoveredAccounts, WorkerRecord,
};
use crate::share::{FoundBlock, RejectionCounts};
use crate::source::WATCHED;

/// A block and its share were found at the same time, within this.
const SHARE_WITHIN: Duration = Duration::from_secs(60);

/// Selects all workers: id, name, and the columns that [`totals`] and [`worker`] read.
pub(super) fn workers(connection: &Connection) -> rusqlite::Result<Statement<'_>> {
    let counts =
        if has_column(connection, "worker", "candidates")? { "candidates, orphaned" } else { "0, 0" };
    let figures = match has_column(connection, "worker", "rejections")? {
        true => "best_share, last_share_ms, rejections",
        false => "0.0, NULL, '{}'",
    };
    connection.prepare(&format!(
        "SELECT id, name, accepted, rejected, stale, unanswered, accepted_work, blocks, {counts}, {figures}
         FROM worker ORDER BY name"
    ))
}

/// Selects all blocks, the lowest height first: the columns that [`block`] reads.
pub(super) fn blocks(connection: &Connection) -> rusqlite::Result<Statement<'_>> {
    let last = if has_column(connection, "block", "orphaned")? { "orphaned" } else { "0" };
    connection.prepare(&format!("{BLOCK}, {last} FROM block ORDER BY height, found"))
}

/// The columns of a block that every version has.
const BLOCK: &str = "SELECT hash, height, worker, transactions, value, found, refused";

/// Reads all workers, and the ids of their rows.
pub(super) fn recover(connection: &Connection) -> rusqlite::Result<(RecoveredAccounts, WorkerIds)> {
    let (mut recovered, mut ids) = (RecoveredAccounts::default(), WorkerIds::new());
    let mut query = workers(connection)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let name: std::sync::Arc<str> = row.get(1)?;
        ids.insert(name.clone(), row.get(0)?);
        recovered.workers.push((name, worker(row)?));
    }
    let refused = "SELECT count(*) FROM block WHERE refused IS NOT NULL";
    recovered.refused_blocks = connection.query_row(refused, [], |row| row.get(0)).map(unsigned)?;
    let last = format!(
        "{BLOCK}, orphaned OR refused IS NOT NULL FROM block WHERE refused IS NULL OR refused = ?
         ORDER BY height DESC, found DESC LIMIT {WATCHED}"
    );
    recovered.last_blocks =
        connection.prepare(&last)?.query_map([BEATEN], block)?.collect::<rusqlite::Result<_>>()?;
    recovered.last_blocks.reverse();
    recovered.found = found_blocks(connection)?;
    recovered.round = round(connection)?;
    Ok((recovered, ids))
}

/// The last found blocks, judged or not, oldest first.
fn found_blocks(connection: &Connection) -> rusqlite::Result<Vec<BlockSummary>> {
    let judged = format!(
        "SELECT block.hash, block.height, block.worker, block.transactions, block.value, block.found, block.refused,
             block.orphaned, found_block.effort
         FROM block LEFT JOIN found_block ON found_block.hash = block.hash
         ORDER BY block.found DESC, block.height DESC LIMIT {MAX_BLOCKS}"
    );
    let unjudged = format!(
        "SELECT hash, height, worker, transactions, value, found, NULL, 0, effort
         FROM (SELECT * FROM found_block ORDER BY id DESC LIMIT {MAX_BLOCKS}) AS found_block
         WHERE NOT EXISTS (SELECT 1 FROM block WHERE block.hash = found_block.hash)"
    );
    let summary = |row: &Row<'_>| Ok(BlockSummary::new(&block(row)?, row.get(8)?));
    let candidate = |row: &Row<'_>| Ok(BlockSummary { state: BlockState::Candidate, ..summary(row)? });
    let mut blocks: Vec<_> =
        connection.prepare(&judged)?.query_map([], summary)?.collect::<rusqlite::Result<_>>()?;
    for block in connection.prepare(&unjudged)?.query_map([], candidate)? {
        blocks.push(block?);
    }
    blocks.sort_by_key(|block| (block.found, block.height));
    blocks.drain(..blocks.len().saturating_sub(MAX_BLOCKS));
    Ok(blocks)
}

/// The pool's accepted work when the last block was found: 0 if none was, `None` if an earlier version of this program found it.
fn round(connection: &Connection) -> rusqlite::Result<Option<u128>> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let last = connection
        .query_row("SELECT pool_work, found FROM found_block ORDER BY id DESC LIMIT 1", [], |row| {
            Ok((sum(row, 0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    Ok(match (number("SELECT max(found) FROM block")?, last) {
        (None, None) => Some(0),
        (Some(_), None) => None,
        (judged, Some((work, found))) => judged.is_none_or(|judged| judged <= found).then_some(work),
    })
}

/// Whether the database has the verdict on a block.
pub(super) fn has_block(connection: &Connection, hash: &str) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM block WHERE hash = ?1)", [hash], |row| row.get(0))
}

/// Whether the share of a block that no node has judged is in the totals. If its row may be too old to be kept, it is.
pub(super) fn has_share(
    connection: &Connection,
    found: &FoundBlock,
    retention: Duration,
) -> rusqlite::Result<bool> {
    let (header, found_ms) = (&found.block.header, u64::from(found.at) * 1_000);
    let around = SHARE_WITHIN.as_millis() as u64;
    if found_ms.saturating_add(retention.as_millis() as u64) < now_ms().saturating_add(around) {
        return Ok(true);
    }
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM share WHERE accepted_ms BETWEEN ?1 AND ?2 AND nonce = ?3 AND ntime = ?4 AND version = ?5)",
        params![
            integer(found_ms.saturating_sub(around)),
            integer(found_ms.saturating_add(around)),
            header.nonce,
            header.time,
            header.version.to_consensus().cast_unsigned(),
        ],
        |row| row.get(0),
    )
}

/// The totals in a row of [`workers`].
pub(super) fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    let count = |column| row.get(column).map(unsigned);
    Ok(Totals {
        accepted: count(2)?,
        rejected: count(3)?,
        stale: count(4)?,
        unanswered: count(5)?,
        accepted_work: sum(row, 6)?,
        blocks: count(7)?,
        candidates: count(8)?,
        orphaned: count(9)?,
        ..Totals::default()
    })
}

/// The figures in a row of [`workers`].
fn worker(row: &Row<'_>) -> rusqlite::Result<WorkerRecord> {
    let rejections: String = row.get(12)?;
    // What this program has not written counts as rejected for other reasons.
    let rejections: Value = serde_json::from_str(&rejections).unwrap_or_default();
    let rejections = RejectionCounts::from_named(|reason| rejections[reason].as_u64().unwrap_or(0));
    let last_share_ms = row.get::<_, Option<i64>>(11)?.map(unsigned);
    let record = WorkerRecord { totals: totals(row)?, best_share: row.get(10)?, last_share_ms, rejections };
    Ok(record.completed())
}

/// A block in a row of [`blocks`].
pub(super) fn block(row: &Row<'_>) -> rusqlite::Result<BlockRecord> {
    let hash: String = row.get(0)?;
    let malformed = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
    Ok(BlockRecord {
        hash: hash.parse().map_err(malformed)?,
        height: row.get(1)?,
        worker: row.get(2)?,
        transactions: row.get(3).map(unsigned)? as usize,
        value: Amount::from_sat(row.get(4).map(unsigned)?),
        found: row.get(5)?,
        refused: row.get(6)?,
        orphaned: row.get(7)?,
        restored: true,
    })
}
