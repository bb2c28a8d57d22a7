//! A found block on its way from a session to the source of its work.

use std::sync::Arc;

use bitcoin::{Amount, Block};

use crate::accounts::BlockRecord;

/// A block that a miner has found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundBlock {
    /// The worker's name, as its account has it.
    pub worker: Arc<str>,
    /// The block's height.
    pub height: u32,
    /// When it was found, seconds since the Unix epoch.
    pub at: u32,
    /// The block, checked as far as it can be without the chain.
    pub block: Box<Block>,
}

impl FoundBlock {
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
