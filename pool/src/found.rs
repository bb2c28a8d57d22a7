//! What miners find that a source of work has to hear of.

use std::sync::Arc;

use bitcoin::{Amount, Block};
use stratum::{Reason, Share};
use task::Verdict;
use tokio::sync::oneshot;

use crate::accounts::{Judged, ledger_verdict};
use crate::record::BlockRecord;

/// A block that a miner has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The worker's name, as its account has it.
    pub worker: Arc<str>,
    /// The block's height.
    pub height: u32,
    /// When it was found, seconds since the Unix epoch.
    pub at: u32,
    /// The block, checked as far as it can be without the chain.
    pub block: Box<Block>,
}

/// A share that an upstream pool wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The subscription that its job came with.
    pub link: u64,
    /// The share as the upstream pool has to get it.
    pub share: Share,
    /// The share as it is to be counted, once the upstream pool has judged it.
    pub judged: Judged,
}

/// A share on its way to an upstream pool.
#[allow(dead_code, reason = "for the source of work that speaks to an upstream pool, which comes next")]
#[derive(Debug)]
pub struct Forward {
    /// The share.
    pub wanted: Wanted,
    /// Where the miner waits for the reply. Whether it still does matters to nobody.
    pub reply: oneshot::Sender<Reply>,
}

/// What became of a share that an upstream pool wanted.
#[allow(dead_code, reason = "for the source of work that speaks to an upstream pool, which comes next")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The upstream pool's own verdict.
    Verdict(stratum::Verdict),
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
            Reply::Verdict(stratum::Verdict::Accepted) => Ok(()),
            Reply::Verdict(stratum::Verdict::Rejected(reason)) => Err(reason.clone()),
            Reply::Stale => Err(Reason::new(Reason::JOB_NOT_FOUND, "stale: the upstream pool is gone")),
            Reply::Unanswered => Err(Reason::new(Reason::OTHER, "the upstream pool has not answered")),
        }
    }

    #[allow(dead_code, reason = "for the source of work that speaks to an upstream pool, which comes next")]
    /// As accounts know it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Reply::Verdict(verdict) => ledger_verdict(verdict),
            Reply::Stale => Verdict::Stale,
            Reply::Unanswered => Verdict::Unanswered,
        }
    }
}

impl Found {
    /// What is kept of it when the chain has judged; `refused` says why it has not become part of it.
    pub fn record(&self, refused: Option<String>) -> BlockRecord {
        BlockRecord {
            hash: self.block.block_hash(),
            height: self.height,
            worker: self.worker.clone(),
            transactions: self.block.txdata.len(),
            value: self.value(),
            found: self.at,
            refused,
        }
    }

    /// What its coinbase pays.
    pub fn value(&self) -> Amount {
        let outputs = self.block.txdata.first().map(|coinbase| &coinbase.output[..]).unwrap_or_default();
        outputs.iter().map(|output| output.value).sum()
    }
}
