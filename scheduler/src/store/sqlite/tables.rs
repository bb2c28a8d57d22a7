//! The tables: a row for each record.

use database::integer;
use rusqlite::{Params, Transaction, params};

use crate::journal::{Account, Assignment, AvoidedAgent, Controls, Entry, Origin, TaskRecord};

/// The number at the end of a task id, which gives the order of the launches.
fn number(id: &str) -> i64 {
    id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The tables, within a transaction. They keep all tasks and accounts; retired tasks are marked.
pub(super) struct Tables<'a> {
    pub transaction: &'a Transaction<'a>,
    /// The id of the current framework, to which new rows belong.
    pub framework: Option<String>,
    /// The time that is written to new and changed rows, milliseconds since the Unix epoch.
    pub now: i64,
}

impl Tables<'_> {
    pub fn run(&self, sql: &str, values: impl Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// Inserts or replaces an account. Its `shares_sequence` is kept.
    pub fn set_account(&self, account: Account<'_>) -> rusqlite::Result<()> {
        let Entry { sequence, totals, rows_omitted } = account.entry;
        self.run(
            "INSERT INTO account (task, worker, kind, framework, sequence, hashes, accepted_work, accepted, rejected,
                 stale, unanswered, blocks, rows_omitted, updated_ms, candidates, orphaned)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
             ON CONFLICT (task, worker) DO UPDATE SET kind = excluded.kind, framework = excluded.framework,
                 sequence = excluded.sequence, hashes = excluded.hashes, accepted_work = excluded.accepted_work,
                 accepted = excluded.accepted, rejected = excluded.rejected, stale = excluded.stale,
                 unanswered = excluded.unanswered, blocks = excluded.blocks, rows_omitted = excluded.rows_omitted,
                 updated_ms = excluded.updated_ms, candidates = excluded.candidates,
                 orphaned = excluded.orphaned",
            params![
                account.reporter,
                account.worker,
                account.kind.name(),
                self.framework.as_deref().unwrap_or_default(),
                integer(sequence),
                totals.hashes.to_string(),
                totals.accepted_work.to_string(),
                integer(totals.accepted),
                integer(totals.rejected),
                integer(totals.stale),
                integer(totals.unanswered),
                integer(totals.blocks),
                integer(rows_omitted),
                self.now,
                integer(totals.candidates),
                integer(totals.orphaned),
            ],
        )
    }

    /// Inserts or replaces a task. If `task` has no attributes, an existing task keeps its attributes. A task that is stored as
    /// `closed` (its final update is recorded) remains closed.
    pub fn set_task(&self, task: &TaskRecord) -> rusqlite::Result<()> {
        let address = task.address.as_ref();
        let pool = match &task.assignment {
            Some(Assignment::Pool(url)) => Some(url),
            _ => None,
        };
        self.run(
            "INSERT INTO task (id, number, framework, kind, agent, host, server, cpus_milli, stratum_host,
                 stratum_port, http_port, state, created_ms, updated_ms, pool, origin, agent_url, specification,
                 attributes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT (id) DO UPDATE SET agent = excluded.agent, host = excluded.host, server = excluded.server,
                 cpus_milli = excluded.cpus_milli, stratum_host = excluded.stratum_host,
                 stratum_port = excluded.stratum_port, http_port = excluded.http_port, state = excluded.state,
                 updated_ms = excluded.updated_ms, pool = excluded.pool, origin = excluded.origin,
                 agent_url = excluded.agent_url, specification = excluded.specification, retired = 0,
                 attributes = coalesce(excluded.attributes, attributes)",
            params![
                task.id,
                number(&task.id),
                self.framework.as_deref().unwrap_or_default(),
                task.kind.name(),
                task.agent,
                task.host,
                task.server(),
                integer(task.cpus_milli()),
                address.map(|address| &address.host),
                address.map(|address| address.stratum_port),
                address.map(|address| address.http_port),
                task.state.map(|state| state.as_str_name()),
                self.now,
                pool,
                origin(task.origin),
                task.agent_url,
                task.specification,
                attributes(task),
            ],
        )?;
        if task.closed {
            self.run("INSERT OR IGNORE INTO closed (task) VALUES (?1)", [&task.id])?;
        }
        Ok(())
    }

    /// Removes a task.
    pub fn delete_task(&self, id: &str) -> rusqlite::Result<()> {
        self.run("DELETE FROM task WHERE id = ?1", [id])
    }

    pub fn set_avoided(&self, agent: &AvoidedAgent) -> rusqlite::Result<()> {
        self.run(
            "INSERT OR REPLACE INTO avoided_agent (agent, why, since_ms) VALUES (?1, ?2, ?3)",
            params![agent.agent, agent.why, integer(agent.since_ms)],
        )
    }

    pub fn write_controls(&self, controls: &Controls) -> rusqlite::Result<()> {
        // Controls consist of numbers and text, so this cannot fail.
        let json = serde_json::to_string(controls).unwrap_or_default();
        self.run("INSERT OR REPLACE INTO controls (id, json) VALUES (1, ?1)", [json])
    }
}

/// The attributes as JSON; `None` if there are none.
fn attributes(task: &TaskRecord) -> Option<String> {
    if task.attributes.is_empty() { None } else { serde_json::to_string(&task.attributes).ok() }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Launched { .. } => "launched",
        Origin::Unrecorded => "found",
    }
}
