//! Shares for an upstream pool, and counts of their outcomes.

use std::sync::Arc;

use client::Outcome;
use stratum::{Job, Reason, Share};
use tokio::sync::oneshot;

use super::{JudgedShare, ValidShare};
use crate::job::UpstreamJob;

/// A share that meets the target of an upstream pool.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamShare {
    /// The upstream pool's job. The share can be submitted only to the session that sent this job.
    pub job: Arc<Job>,
    /// The header time with which miners started the job, see [`UpstreamJob::start`].
    pub start: u32,
    /// See [`UpstreamJob::epoch`].
    pub epoch: u64,
    /// The share in the form that the upstream pool expects.
    pub share: Share,
    /// The share with its verdict, for the worker's account. It is counted there only after the upstream pool's answer.
    pub judged: JudgedShare,
}

impl UpstreamShare {
    /// Converts a valid share to the form that is submitted to the upstream pool. `upstream` is the job of this share.
    pub fn new(valid: &ValidShare, upstream: &UpstreamJob, judged: JudgedShare) -> Self {
        let share = Share {
            job: upstream.job.id.clone(),
            extranonce2: valid.extranonces.clone(),
            ntime: valid.ntime,
            nonce: valid.nonce,
            version: valid.version,
        };
        UpstreamShare {
            job: upstream.job.clone(),
            start: upstream.start,
            epoch: upstream.epoch,
            share,
            judged,
        }
    }
}

/// A connection's request to submit a share to the upstream pool.
#[derive(Debug)]
pub struct ForwardRequest {
    /// The share.
    pub share: UpstreamShare,
    /// Sends the share's outcome to the connection, which may have ended by then. `None`: the share is below the upstream pool's
    /// difficulty, but it makes a block. Its worker has the answer already, and its account has the share.
    pub reply: Option<oneshot::Sender<Outcome>>,
}

/// The answer to the miner that submitted a forwarded share.
///
/// # Errors
/// The reason, unless the upstream pool accepted the share.
pub fn answer_to_miner(outcome: Outcome) -> Result<(), Reason> {
    match outcome {
        Outcome::Accepted => Ok(()),
        Outcome::Rejected(reason) | Outcome::Stale(Some(reason)) => Err(reason),
        Outcome::Stale(None) => Err(Reason::new(Reason::JOB_NOT_FOUND, "stale: the upstream pool is gone")),
        Outcome::Unanswered => Err(Reason::new(Reason::OTHER, "the upstream pool has not answered")),
    }
}

/// How many shares for the upstream pool had which outcome since the start. Shares that are in `forwarded`, but have no
/// outcome, still wait for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamShareCounts {
    /// Shares that met an upstream pool's target.
    pub forwarded: u64,
    /// Shares that the upstream pool accepted.
    pub accepted: u64,
    /// Shares that the upstream pool rejected, except stale ones.
    pub rejected: u64,
    /// Shares that were too late for the upstream pool, or too late to be sent.
    pub stale: u64,
    /// Shares whose connection ended before the answer came. Their verdict is unknown.
    pub unanswered: u64,
    /// Accepted shares that met the network's target. The upstream pool does not say which of them became blocks.
    pub candidates: u64,
}

/// A summary of the upstream pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamSummary {
    /// Address of the pool that takes our shares; `None` while no pool does.
    pub pool: Option<String>,
    /// How many shares had which outcome.
    pub counts: UpstreamShareCounts,
}
