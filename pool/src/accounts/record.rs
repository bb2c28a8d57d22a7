//! The records that the data folder keeps.

use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use task::{ShareRow, Totals};

use super::block_history::BlockSummary;
use crate::share::RejectionCounts;

/// What has changed in the accounts, but is not on disk yet. A worker's totals are sums since its account began, so writing them
/// twice does no harm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnsavedChanges {
    /// Workers whose totals changed.
    pub workers: Vec<(Arc<str>, WorkerRecord)>,
    /// Accepted shares, oldest first.
    pub shares: Vec<ShareRecord>,
    /// Number of accepted shares that are in the totals, but get no row because the disk is too slow.
    pub shares_omitted: u64,
    /// Blocks that were found.
    pub found: Vec<FoundRecord>,
    /// Blocks that the chain has accepted or refused.
    pub blocks: Vec<BlockRecord>,
}

impl UnsavedChanges {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.shares.is_empty() && self.found.is_empty() && self.blocks.is_empty()
    }
}

/// A worker's figures since its account began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorkerRecord {
    /// The totals.
    pub totals: Totals,
    /// The highest difficulty of an accepted share's hash; 0 without any.
    pub best_share: f64,
    /// When the last share was accepted, in milliseconds since the Unix epoch; `None` without any.
    pub last_share_ms: Option<u64>,
    /// Why its shares were rejected.
    pub rejections: RejectionCounts,
}

impl WorkerRecord {
    /// The same, where the rejected shares whose reason an earlier version of this program has not recorded count as
    /// [`RejectionCounts::other`].
    pub fn completed(mut self) -> Self {
        self.rejections.other += self.totals.rejected.saturating_sub(self.rejections.total());
        self
    }
}

impl From<Totals> for WorkerRecord {
    fn from(totals: Totals) -> Self {
        WorkerRecord { totals, ..WorkerRecord::default() }.completed()
    }
}

/// A block that was found and has no verdict yet.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRecord {
    /// The block.
    pub block: BlockSummary,
    /// The accepted work of all workers since the accounts began, when the block was found.
    pub pool_work: u128,
}

/// An accepted share.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareRecord {
    /// The name of the worker that found the share.
    pub worker: Arc<str>,
    /// The share.
    pub row: ShareRow,
    /// The work for which the share counts: the average number of hashes to find a share of its difficulty.
    pub work: u128,
    /// When the share was accepted, in milliseconds since the Unix epoch.
    pub accepted_ms: u64,
}

/// A found block that the chain has accepted or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// The block's hash.
    pub hash: BlockHash,
    /// The block's height.
    pub height: u32,
    /// The name of the worker that found the block.
    pub worker: Arc<str>,
    /// Number of the block's transactions, including the coinbase.
    pub transactions: usize,
    /// The amount that the coinbase pays.
    pub value: Amount,
    /// When the block was found, in seconds since the Unix epoch.
    pub found: u32,
    /// Why no node has the block: it was refused, or lost again. `None` if a node has accepted it.
    pub refused: Option<String>,
    /// Whether the block has left the chain of the node that had accepted it.
    pub orphaned: bool,
    /// Whether the record is from the disk: an earlier run of the pool has counted the block. What becomes of it changes the sums over
    /// all runs, and no count of this run.
    pub restored: bool,
}

/// The accounts that the data folder has from earlier runs of the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredAccounts {
    /// All workers.
    pub workers: Vec<(Arc<str>, WorkerRecord)>,
    /// Number of blocks that did not become part of the chain.
    pub refused_blocks: u64,
    /// The last blocks that were accepted, orphaned or not, or beaten by others, oldest first. Beaten ones count as orphaned here.
    pub last_blocks: Vec<BlockRecord>,
    /// Blocks without a verdict whose shares are not in the totals: the earlier run was killed before it had written them.
    pub uncounted: Vec<BlockHash>,
    /// The last found blocks, judged or not, oldest first.
    pub found: Vec<BlockSummary>,
    /// The accepted work of all workers when the last block was found: 0 if none was, `None` if an earlier version of this program
    /// found it.
    pub round: Option<u128>,
}

impl Default for RecoveredAccounts {
    /// What an empty folder has.
    fn default() -> Self {
        RecoveredAccounts {
            workers: Vec::new(),
            refused_blocks: 0,
            last_blocks: Vec::new(),
            uncounted: Vec::new(),
            found: Vec::new(),
            round: Some(0),
        }
    }
}
