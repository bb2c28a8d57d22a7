//! A found block, which a session passes to the source of its work.

use std::sync::Arc;

use bitcoin::{Amount, Block};

use super::ValidShare;
use crate::accounts::BlockRecord;
use crate::job::HeaderBuilder;

/// A block that a miner found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundBlock {
    /// The name of the worker's account.
    pub worker: Arc<str>,
    /// The block's height.
    pub height: u32,
    /// When the block was found, in seconds since the Unix epoch.
    pub at: u32,
    /// The block. All rules that can be checked without the chain have been checked.
    pub block: Box<Block>,
}

impl FoundBlock {
    /// The block that a share makes. `None` if it makes no block, if another share has already made this block, or if the
    /// job is from an upstream pool.
    ///
    /// # Errors
    /// If the share meets the network's target, but the block is invalid: a fault of this program or of the template.
    pub fn from_share(
        share: &ValidShare,
        worker: &Arc<str>,
        at: u32,
    ) -> Result<Option<Self>, node::draft::AssembleError> {
        let job = &share.issued.job;
        let (HeaderBuilder::Template(draft), Some(claim)) = (&share.issued.builder, job.claim()) else {
            return Ok(None);
        };
        if !share.meets_job_target || claim.is_taken() {
            return Ok(None);
        }
        let block = Box::new(draft.assemble(share.solution())?);
        let found = FoundBlock { worker: worker.clone(), height: job.height, at, block };
        Ok(claim.take().then_some(found))
    }

    /// The record for the accounts, once the chain has judged the block. `refused` is the reason why the chain refused the
    /// block.
    pub fn record(&self, refused: Option<String>) -> BlockRecord {
        BlockRecord {
            hash: self.block.block_hash(),
            height: self.height,
            worker: self.worker.clone(),
            transactions: self.block.txdata.len(),
            value: self.value(),
            found: self.at,
            refused,
            orphaned: false,
            restored: false,
        }
    }

    /// The amount that the coinbase pays.
    pub fn value(&self) -> Amount {
        let outputs = self.block.txdata.first().map(|coinbase| &coinbase.output[..]).unwrap_or_default();
        outputs.iter().map(|output| output.value).sum()
    }
}
