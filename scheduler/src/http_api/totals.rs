//! The figures of the framework as a whole.

use std::collections::BTreeMap;

use serde::Serialize;
use task::Totals;
use utoipa::ToSchema;

use crate::core::Overview;

/// The figures of the framework. Numbers that many JSON readers cannot represent are strings.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Totals)]
pub(crate) struct TotalsJson<'a> {
    /// Whether the scheduler is subscribed to a master.
    connected: bool,
    /// The framework's id, once it has one.
    framework: Option<&'a str>,
    /// The sum of the hashrates that workers have told lately, in H/s.
    hashrate: f64,
    /// Hashes that are accounted, as a decimal number.
    hashes: String,
    /// Hashes that only live messages tell of so far, as a decimal number.
    live_hashes: String,
    /// Shares that only live messages tell of so far.
    live_shares: SharesJson,
    /// What is accounted, counted twice.
    accounts: AccountsJson,
    /// Blocks that were found.
    blocks: u64,
    /// Accepted shares that met the network's target.
    candidates: u64,
    /// Blocks that have left the node's chain.
    orphaned: u64,
    /// The highest number of workers that ran at the same time.
    workers: u64,
    /// Workers that run.
    running_workers: u64,
    /// Workers that have told their hashrate lately.
    reporting_workers: u64,
    /// The CPUs of all tasks that have not ended.
    cpus: f64,
    /// Mesos' name of a state: how many tasks are in it, or have ended in it.
    states: &'a BTreeMap<String, u64>,
    /// How many tasks that have not ended are in each state.
    live_states: &'a BTreeMap<String, u64>,
}

/// The number of shares with each verdict.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Shares)]
pub(crate) struct SharesJson {
    /// Accepted by the pool.
    accepted: u64,
    /// Rejected by the pool for any reason except staleness.
    rejected: u64,
    /// Rejected as stale, or dropped before they were sent.
    stale: u64,
    /// Submitted, but never answered.
    unanswered: u64,
}

impl From<Totals> for SharesJson {
    fn from(totals: Totals) -> Self {
        let Totals { accepted, rejected, stale, unanswered, .. } = totals;
        Self { accepted, rejected, stale, unanswered }
    }
}

/// What is accounted: by the pool servers, and by the workers themselves.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Accounts)]
struct AccountsJson {
    pool: AccountJson,
    workers: AccountJson,
}

/// What one side has counted.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountJson {
    shares: SharesJson,
    /// The expected hashes of the accepted shares, as a decimal number.
    accepted_work: String,
    blocks: u64,
    candidates: u64,
    orphaned: u64,
}

impl From<Totals> for AccountJson {
    fn from(totals: Totals) -> Self {
        Self {
            shares: totals.into(),
            accepted_work: totals.accepted_work.to_string(),
            blocks: totals.blocks,
            candidates: totals.candidates,
            orphaned: totals.orphaned,
        }
    }
}

impl<'a> From<&'a Overview> for TotalsJson<'a> {
    fn from(overview: &'a Overview) -> Self {
        let totals = &overview.totals;
        Self {
            connected: overview.connected,
            framework: overview.framework.as_deref(),
            hashrate: overview.hashrate,
            hashes: totals.worker.hashes.to_string(),
            live_hashes: overview.unaccounted.hashes.to_string(),
            live_shares: overview.unaccounted.into(),
            accounts: AccountsJson { pool: totals.pool.into(), workers: totals.worker.into() },
            blocks: overview.blocks,
            candidates: totals.candidates(),
            orphaned: totals.pool.orphaned,
            workers: overview.peak,
            running_workers: overview.running_workers,
            reporting_workers: overview.reporting_workers,
            cpus: overview.cpus_milli as f64 / 1000.0,
            states: &overview.states,
            live_states: &overview.live_states,
        }
    }
}
