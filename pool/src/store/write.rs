//! Writes changes as rows, in one transaction.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use database::{integer, now_ms};
use rusqlite::{Connection, Transaction, params};
use serde_json::{Map, Value};

use crate::accounts::{BlockRecord, FoundRecord, ShareRecord, UnsavedChanges, WorkerRecord};

/// Maximum number of old rows that are removed in one transaction. The number is small, so that new shares never wait long.
const EXPIRE_AT_ONCE: u32 = 5_000;

/// Name of a worker → the id of the worker's row.
pub(super) type WorkerIds = HashMap<Arc<str>, i64>;

/// Writes all changes or none.
pub(super) fn write(
    connection: &mut Connection,
    ids: &mut WorkerIds,
    unsaved: &UnsavedChanges,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let mut new = WorkerIds::new();
    for (name, record) in &unsaved.workers {
        let id = worker(&transaction, name, record)?;
        if !ids.contains_key(name) {
            new.insert(name.clone(), id);
        }
    }
    for record in &unsaved.shares {
        // Each worker with a share also has a row with its totals, written above or in an earlier transaction, so its id is
        // known.
        if let Some(id) = new.get(&record.worker).or_else(|| ids.get(&record.worker)) {
            share(&transaction, *id, record)?;
        }
    }
    for record in &unsaved.found {
        found(&transaction, record)?;
    }
    for record in &unsaved.blocks {
        block(&transaction, record)?;
    }
    transaction.commit()?;
    ids.extend(new);
    Ok(())
}

fn worker(transaction: &Transaction<'_>, name: &str, record: &WorkerRecord) -> rusqlite::Result<i64> {
    let WorkerRecord { totals, best_share, last_share_ms, rejections } = record;
    let rejections = rejections.named().into_iter().filter(|(_, count)| *count > 0);
    let rejections: Map<String, Value> =
        rejections.map(|(name, count)| (name.to_owned(), count.into())).collect();
    transaction
        .prepare_cached(
            "INSERT INTO worker (name, accepted, rejected, stale, unanswered, accepted_work, blocks, updated_ms,
                 candidates, orphaned, best_share, last_share_ms, rejections)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (name) DO UPDATE SET accepted = excluded.accepted, rejected = excluded.rejected,
                 stale = excluded.stale, unanswered = excluded.unanswered,
                 accepted_work = excluded.accepted_work, blocks = excluded.blocks,
                 updated_ms = excluded.updated_ms, candidates = excluded.candidates, orphaned = excluded.orphaned,
                 best_share = excluded.best_share, last_share_ms = excluded.last_share_ms,
                 rejections = excluded.rejections
             RETURNING id",
        )?
        .query_row(
            params![
                name,
                integer(totals.accepted),
                integer(totals.rejected),
                integer(totals.stale),
                integer(totals.unanswered),
                totals.accepted_work.to_string(),
                integer(totals.blocks),
                integer(now_ms()),
                integer(totals.candidates),
                integer(totals.orphaned),
                best_share,
                last_share_ms.map(integer),
                Value::from(rejections).to_string(),
            ],
            |row| row.get(0),
        )
}

fn share(transaction: &Transaction<'_>, worker: i64, record: &ShareRecord) -> rusqlite::Result<()> {
    let ShareRecord { row, work, accepted_ms, .. } = record;
    transaction
        .prepare_cached(
            "INSERT INTO share (worker, accepted_ms, job, extranonce2, ntime, version, nonce, difficulty, work)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            worker,
            integer(*accepted_ms),
            row.job,
            row.extranonce2,
            row.ntime,
            row.version,
            row.nonce,
            row.difficulty,
            work.to_string(),
        ])
        .map(drop)
}

fn found(transaction: &Transaction<'_>, record: &FoundRecord) -> rusqlite::Result<()> {
    let FoundRecord { block, pool_work } = record;
    // A block that a killed pool has found may be found again.
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO found_block
                 (hash, height, worker, found, transactions, value, effort, pool_work)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            block.hash.to_string(),
            block.height,
            &*block.worker,
            block.found,
            integer(block.transactions as u64),
            integer(block.value.to_sat()),
            block.effort,
            pool_work.to_string(),
        ])
        .map(drop)
}

fn block(transaction: &Transaction<'_>, record: &BlockRecord) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO block (hash, height, worker, found, transactions, value, refused, orphaned)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            record.hash.to_string(),
            record.height,
            &*record.worker,
            record.found,
            integer(record.transactions as u64),
            integer(record.value.to_sat()),
            record.refused,
            record.orphaned,
        ])
        .map(drop)
}

/// Removes some of the rows of shares that are older than `retention`; returns whether there may be more.
pub(super) fn expire(connection: &Connection, retention: Duration) -> rusqlite::Result<bool> {
    let limit = now_ms().saturating_sub(u64::try_from(retention.as_millis()).unwrap_or(u64::MAX));
    let removed = connection
        .prepare_cached(
            "DELETE FROM share WHERE id IN
                 (SELECT id FROM share WHERE accepted_ms < ?1 ORDER BY accepted_ms LIMIT ?2)",
        )?
        .execute(params![integer(limit), EXPIRE_AT_ONCE])?;
    Ok(removed >= EXPIRE_AT_ONCE as usize)
}
