//! The ledger as a table and as CSV.

use std::fmt::{self, Write};

use task::{Totals, Verdict};

use super::{EARLIER, LedgerColumn, LedgerRow, LedgerTable};
use crate::journal::worker_candidates;
use crate::store::{FailedLaunches, StoredShare};
use crate::unix_time::date;

/// The maximum number of characters of a name in the table. Longer names are cut, because miners that are not tasks choose their
/// own names.
const MAX_NAME: usize = 40;

/// The maximum number of characters of a name in CSV.
const LONGEST_CELL: usize = 1024;

const HEADINGS: [&str; 11] = [
    "task",
    "host",
    "state",
    "accepted: pool",
    "worker",
    "rejected: pool",
    "worker",
    "blocks: pool",
    "candidates: worker",
    "unreported",
    "uncounted",
];

impl fmt::Display for LedgerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<[String; 11]> = vec![HEADINGS.map(str::to_owned)];
        lines.extend(self.workers.iter().map(cells));
        lines.push(cells(&self.total));
        let server = |row: &LedgerRow| {
            let mut cells = cells(row);
            for column in [4, 6, 8, 9, 10] {
                cells[column] = "-".to_owned();
            }
            cells
        };
        lines.extend(self.servers.iter().map(server));
        let mut widths = [0; 11];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            let mut text = String::new();
            for (i, (cell, width)) in line.iter().zip(widths).enumerate() {
                match i {
                    0..3 => write!(text, "{cell:width$}  ")?,
                    _ => write!(text, "{cell:>width$}  ")?,
                }
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        for server in self.servers.iter().filter(|server| server.short) {
            let (task, state) = (printable(&server.task), server.state.as_deref().unwrap_or("-"));
            writeln!(
                f,
                "short: {task} ended as {state} without its last report; its count may lack up to one report interval, or \
                 the time for which its agent was away"
            )?;
        }
        for FailedLaunches { launches, state, reason } in &self.failed_launches {
            let reason = reason.as_deref().map(|reason| format!(", {reason}")).unwrap_or_default();
            writeln!(f, "failed launches: {launches} ({state}{reason})")?;
        }
        if let Some(ms) = self.shares_since_ms {
            writeln!(f, "single shares are kept since {} (--shares)", date(ms))?;
        }
        if let Some(ms) = self.rows_since_ms {
            writeln!(f, "single shares are complete here since {}; totals count from the start", date(ms))?;
        }
        Ok(())
    }
}

fn cells(row: &LedgerRow) -> [String; 11] {
    let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), printable);
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    // The count of a foreign pool is unknown, not zero.
    let pool = |count: u64| number((!row.foreign_pool).then_some(count));
    let (pools, workers) = (row.pool.totals, row.worker.totals);
    [
        printable(&row.task),
        text(&row.host),
        text(&row.state),
        pool(pools.accepted),
        workers.accepted.to_string(),
        pool(pools.rejected.saturating_add(pools.stale)),
        workers.rejected.saturating_add(workers.stale).to_string(),
        if row.foreign_pool { "-".to_owned() } else { blocks(&pools) },
        worker_candidates(&workers).to_string(),
        number(row.unreported),
        number(row.uncounted),
    ]
}

/// The blocks that a node has accepted, and how many of them have left its chain since.
fn blocks(totals: &Totals) -> String {
    match totals.orphaned {
        0 => totals.blocks.to_string(),
        orphaned => format!("{} ({orphaned} orphaned)", totals.blocks),
    }
}

/// A name as the table shows it. Miners choose their names themselves.
fn printable(name: &str) -> String {
    text::printable(name, MAX_NAME).into_owned()
}

/// All rows as CSV after a header (RFC 4180, but lines end in LF).
pub(super) fn csv(table: &LedgerTable) -> String {
    let mut text = String::from("kind,task,host,state");
    for reporter in ["pool", "worker"] {
        for name in FIELDS {
            text.push_str(&format!(",{reporter}_{name}"));
        }
    }
    text.push_str(",unreported,uncounted,short\n");
    for (kind, rows) in [
        ("worker", &table.workers[..]),
        ("total", std::slice::from_ref(&table.total)),
        ("server", &table.servers),
    ] {
        for row in rows {
            text.push_str(&csv_line(kind, row));
            text.push('\n');
        }
    }
    text
}

const FIELDS: [&str; 10] = [
    "hashes",
    "accepted_work",
    "accepted",
    "rejected",
    "stale",
    "unanswered",
    "blocks",
    "rows_omitted",
    "candidates",
    "orphaned",
];

fn csv_line(kind: &str, row: &LedgerRow) -> String {
    let kind = match kind {
        _ if row.task == EARLIER => "earlier",
        "worker" if row.host.is_none() => "outsider",
        kind => kind,
    };
    let text = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut cells = vec![kind.to_owned(), quoted(&row.task), text(&row.host), text(&row.state)];
    for column in [&row.pool, &row.worker] {
        cells.extend(column_cells(column));
    }
    let short = if kind == "server" { row.short.to_string() } else { String::new() };
    cells.extend([number(row.unreported), number(row.uncounted), short]);
    cells.join(",")
}

/// The cells of a column, in the order of [`FIELDS`].
fn column_cells(column: &LedgerColumn) -> [String; 10] {
    let Totals { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks, candidates, orphaned } =
        column.totals;
    [
        hashes.to_string(),
        accepted_work.to_string(),
        accepted.to_string(),
        rejected.to_string(),
        stale.to_string(),
        unanswered.to_string(),
        blocks.to_string(),
        column.rows_omitted.to_string(),
        candidates.to_string(),
        orphaned.to_string(),
    ]
}

/// The header of single shares as CSV.
pub(super) const SHARE_HEADINGS: &str = "received_ms,task,worker,report,ordinal,job,extranonce2,ntime,version,nonce,difficulty,verdict,round_trip_us";

/// A single share as CSV, with version and nonce as Stratum writes them.
pub(super) fn share_line(stored: &StoredShare) -> String {
    let share = &stored.share;
    let verdict = match share.verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Rejected(code) => format!("rejected {code}"),
        Verdict::Stale => "stale".to_owned(),
        Verdict::Unanswered => "unanswered".to_owned(),
    };
    let cells = [
        stored.received_ms.to_string(),
        quoted(&stored.task),
        quoted(&stored.worker),
        stored.sequence.to_string(),
        stored.ordinal.to_string(),
        quoted(&share.job),
        hex::encode(&share.extranonce2),
        share.ntime.to_string(),
        format!("{:08x}", share.version),
        format!("{:08x}", share.nonce),
        share.difficulty.to_string(),
        verdict,
        share.round_trip.as_micros().to_string(),
    ];
    cells.join(",")
}

fn quoted(text: &str) -> String {
    let text = text::printable(text, LONGEST_CELL);
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into_owned()
    }
}
