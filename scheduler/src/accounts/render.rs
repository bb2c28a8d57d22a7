//! Accounts as a table and as CSV.

use std::fmt::{self, Write};

use super::{Accounts, Column, EARLIER, Row};
use crate::end::date;
use crate::store::FailedLaunches;

/// Longer names are cut in the table: miners that are no tasks choose theirs.
const NAME: usize = 40;

const HEADINGS: [&str; 11] = [
    "task",
    "host",
    "state",
    "accepted: pool",
    "worker",
    "rejected: pool",
    "worker",
    "blocks: pool",
    "worker",
    "unreported",
    "uncounted",
];

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<[String; 11]> = vec![HEADINGS.map(str::to_owned)];
        lines.extend(self.workers.iter().map(cells));
        lines.push(cells(&self.total));
        let server = |row: &Row| {
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
        if let Some(ms) = self.rows_since_ms {
            writeln!(f, "single shares are complete here since {}; totals are since the start", date(ms))?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; 11] {
    let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), printable);
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    // A zero would say that the pool of others took nothing.
    let pool = |count: u64| number((!row.elsewhere).then_some(count));
    [
        printable(&row.task),
        text(&row.host),
        text(&row.state),
        pool(row.pool.accepted),
        row.worker.accepted.to_string(),
        pool(row.pool.rejected.saturating_add(row.pool.stale)),
        (row.worker.rejected.saturating_add(row.worker.stale)).to_string(),
        pool(row.pool.blocks),
        row.worker.blocks.to_string(),
        number(row.unreported),
        number(row.uncounted),
    ]
}

/// A name that somebody chose must not move the cursor.
fn printable(name: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut cut: String = name.chars().take(NAME).map(clean).collect();
    if name.chars().nth(NAME).is_some() {
        cut.push('…');
    }
    cut
}

/// All lines as CSV (RFC 4180, lines end in LF), a header first.
pub(super) fn csv(accounts: &Accounts) -> String {
    let mut text = String::from("kind,task,host,state");
    for reporter in ["pool", "worker"] {
        for name in FIELDS {
            text.push_str(&format!(",{reporter}_{name}"));
        }
    }
    text.push_str(",unreported,uncounted,short\n");
    for (kind, rows) in [
        ("worker", &accounts.workers[..]),
        ("total", std::slice::from_ref(&accounts.total)),
        ("server", &accounts.servers),
    ] {
        for row in rows {
            text.push_str(&csv_line(kind, row));
            text.push('\n');
        }
    }
    text
}

const FIELDS: [&str; 8] =
    ["hashes", "accepted_work", "accepted", "rejected", "stale", "unanswered", "blocks", "rows_omitted"];

fn csv_line(kind: &str, row: &Row) -> String {
    let kind = match kind {
        _ if row.task == EARLIER => "earlier",
        "worker" if row.host.is_none() => "outsider",
        kind => kind,
    };
    let text = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut cells = vec![kind.to_owned(), quoted(&row.task), text(&row.host), text(&row.state)];
    for column in [&row.pool, &row.worker] {
        cells.extend(figures(column));
    }
    let short = if kind == "server" { row.short.to_string() } else { String::new() };
    cells.extend([number(row.unreported), number(row.uncounted), short]);
    cells.join(",")
}

fn figures(column: &Column) -> [String; 8] {
    [
        column.hashes.to_string(),
        column.accepted_work.to_string(),
        column.accepted.to_string(),
        column.rejected.to_string(),
        column.stale.to_string(),
        column.unanswered.to_string(),
        column.blocks.to_string(),
        column.rows_omitted.to_string(),
    ]
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
