//! Submits found blocks to the nodes and, meanwhile, writes them to disk.

use node::{BlockVerdict, Nodes};

use crate::pool_state::PoolState;
use crate::share::FoundBlock;
use crate::store::PendingBlocks;

/// Submits a block to all nodes until one has judged it. Meanwhile the block is written to `pending`, if there is a data
/// folder. The verdict is returned only after the write has ended.
pub async fn submit(
    nodes: Nodes,
    found: FoundBlock,
    pending: Option<PendingBlocks>,
) -> (FoundBlock, BlockVerdict) {
    let (verdict, ()) = tokio::join!(nodes.submit(&found.block), write(&found, pending));
    (found, verdict)
}

async fn write(found: &FoundBlock, pending: Option<PendingBlocks>) {
    let Some(pending) = pending else { return };
    let (hash, folder) = (found.block.block_hash(), pending.folder().to_owned());
    let found = found.clone();
    let written = tokio::task::spawn_blocking(move || pending.write(&found)).await;
    // A failed write is only logged, because the block is submitted in any case.
    if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
        tracing::error!(%hash, folder = %folder.display(), %error, "a found block cannot be written to disk");
    }
}

/// Reads the blocks that no node had judged when an earlier run of the pool ended.
pub async fn read_pending(shared: &PoolState) -> Vec<FoundBlock> {
    let Some(pending) = shared.pending_blocks.clone() else { return Vec::new() };
    let folder = pending.folder().to_owned();
    let read = tokio::task::spawn_blocking(move || pending.read_all()).await;
    let blocks = read.unwrap_or_else(|error| Err(error.into())).unwrap_or_else(|error| {
        tracing::error!(folder = %folder.display(), %error, "found blocks cannot be read");
        Vec::new()
    });
    for found in &blocks {
        let hash = found.block.block_hash();
        tracing::warn!(%hash, height = found.height, "no node has judged this block yet: submitting it again");
    }
    blocks
}

/// Logs that the pool ends before a node has judged these blocks.
pub fn log_unjudged(shared: &PoolState, blocks: usize) {
    match &shared.pending_blocks {
        Some(pending) => {
            let folder = pending.folder().display();
            tracing::error!(blocks, %folder, "no node has answered: the next start submits these blocks again");
        }
        None => tracing::error!(blocks, "no node has answered: these blocks are lost"),
    }
}

/// Counts and logs a block with the nodes' verdict.
pub fn count(shared: &PoolState, found: &FoundBlock, verdict: &BlockVerdict) {
    let hash = found.block.block_hash();
    let (worker, height) = (&*found.worker, found.height);
    let refused = match verdict {
        BlockVerdict::Accepted | BlockVerdict::Duplicate => {
            if shared.operator_log.admits_block() {
                let (transactions, pays) = (found.block.txdata.len(), found.value());
                tracing::info!(height, %hash, worker, transactions, %pays, "block found, and accepted by the node");
            }
            None
        }
        BlockVerdict::Inconclusive => {
            tracing::warn!(height, %hash, worker, "block found, but another was faster");
            Some("inconclusive".to_owned())
        }
        BlockVerdict::Rejected(reason) => {
            tracing::error!(height, %hash, worker, reason, "THE NODE REJECTED OUR BLOCK");
            Some(reason.clone())
        }
    };
    shared.count_block(found.record(refused));
}
