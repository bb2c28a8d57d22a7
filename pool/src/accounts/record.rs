//! What goes to disk and comes back from it.

use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use task::{ShareRow, Totals};

/// What the disk has not got yet. Totals are those since the accounts began, so writing them twice changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnsavedChanges {
    /// Workers whose totals changed.
    pub workers: Vec<(Arc<str>, Totals)>,
    /// Accepted shares, oldest first.
    pub shares: Vec<ShareRecord>,
    /// Accepted shares that are in the totals, but left no row, because the disk has not kept up.
    pub shares_omitted: u64,
    /// Blocks that were judged.
    pub blocks: Vec<BlockRecord>,
}

impl UnsavedChanges {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.shares.is_empty() && self.blocks.is_empty()
    }
}

/// An accepted share.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareRecord {
    /// Who found it.
    pub worker: Arc<str>,
    /// The share.
    pub row: ShareRow,
    /// The expected hashes that it counts for.
    pub work: u128,
    /// When it was accepted, milliseconds since the Unix epoch.
    pub accepted_ms: u64,
}

/// A block that miners found and the chain has judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Who found it.
    pub worker: Arc<str>,
    /// Its transactions, coinbase included.
    pub transactions: usize,
    /// What its coinbase pays.
    pub value: Amount,
    /// When it was found, seconds since the Unix epoch.
    pub found: u32,
    /// Why it did not become part of the chain; none if it did.
    pub refused: Option<String>,
}

/// What an earlier life of the pool left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveredAccounts {
    /// All workers' totals.
    pub workers: Vec<(Arc<str>, Totals)>,
    /// Blocks that did not become part of the chain.
    pub refused_blocks: u64,
}
