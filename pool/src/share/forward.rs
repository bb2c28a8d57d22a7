//! A share on its way to an upstream pool, and what became of it.

use std::sync::Arc;

use stratum::{Job, Reason, Share};
use task::Verdict;
use tokio::sync::oneshot;

use crate::accounts::{JudgedShare, ledger_verdict};

/// A share that an upstream pool wants.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamShare {
    /// The job as the upstream pool gave it: the share can go back only where it came from.
    pub job: Arc<Job>,
    /// The share as the upstream pool has to get it.
    pub share: Share,
    /// The share as it is to be counted, once the upstream pool has judged it.
    pub judged: JudgedShare,
}

/// A share on its way to an upstream pool.
#[derive(Debug)]
pub struct ForwardRequest {
    /// The share.
    pub wanted: UpstreamShare,
    /// Where the miner waits for the reply. Whether it still does matters to nobody.
    pub reply: oneshot::Sender<Reply>,
}

/// What became of a share that an upstream pool wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The upstream pool's own verdict.
    Verdict(Result<(), Reason>),
    /// It could not be sent any more: its job is of a connection that is gone.
    Stale,
    /// It was sent, and the connection ended before an answer came.
    Unanswered,
}

impl Reply {
    /// The answer for the miner.
    ///
    /// # Errors
    /// The reason, unless the upstream pool has accepted the share.
    pub fn to_miner(&self) -> Result<(), Reason> {
        match self {
            Reply::Verdict(Ok(())) => Ok(()),
            Reply::Verdict(Err(reason)) => Err(reason.clone()),
            Reply::Stale => Err(Reason::new(Reason::JOB_NOT_FOUND, "stale: the upstream pool is gone")),
            Reply::Unanswered => Err(Reason::new(Reason::OTHER, "the upstream pool has not answered")),
        }
    }

    /// As accounts know it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Reply::Verdict(verdict) => ledger_verdict(verdict),
            Reply::Stale => Verdict::Stale,
            Reply::Unanswered => Verdict::Unanswered,
        }
    }
}

/// What became of the shares that an upstream pool wanted, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamShareCounts {
    /// Shares that an upstream pool wanted. What is missing below is still waited for.
    pub forwarded: u64,
    /// Accepted by the upstream pool.
    pub accepted: u64,
    /// Rejected by the upstream pool, but for coming too late.
    pub rejected: u64,
    /// Too late: for the upstream pool, or to be sent at all.
    pub stale: u64,
    /// The connection ended before an answer came, so nobody knows.
    pub unanswered: u64,
    /// Accepted shares that met the network's target, at most one per tip: blocks, if the upstream pool has made any of
    /// them.
    pub blocks: u64,
}

/// The upstream pool at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamSummary {
    /// Address of the pool that takes our shares; none while no pool does.
    pub pool: Option<String>,
    /// What became of the shares.
    pub counts: UpstreamShareCounts,
}
