//! A found block on its way to the nodes and, meanwhile, to the disk.

use node::{BlockVerdict, Nodes};

use crate::share::FoundBlock;
use crate::shared::PoolState;
use crate::store::PendingBlocks;

/// Submits a block to all nodes until one has judged it. If `waiting` is given it is written down at the same time, and
/// no verdict counts before that is done.
pub async fn submit(
    nodes: Nodes,
    found: FoundBlock,
    waiting: Option<PendingBlocks>,
) -> (FoundBlock, BlockVerdict) {
    let (verdict, ()) = tokio::join!(nodes.submit(&found.block), keep(&found, waiting));
    (found, verdict)
}

async fn keep(found: &FoundBlock, waiting: Option<PendingBlocks>) {
    let Some(waiting) = waiting else { return };
    let (hash, folder) = (found.block.block_hash(), waiting.folder().to_owned());
    let found = found.clone();
    let kept = tokio::task::spawn_blocking(move || waiting.keep(&found)).await;
    // The blocks of a pool without a disk are submitted all the same.
    if let Err(error) = kept.unwrap_or_else(|error| Err(error.into())) {
        tracing::error!(%hash, folder = %folder.display(), %error, "a found block can't be written down");
    }
}

/// Blocks that no node had judged when an earlier life of the pool ended.
pub async fn left_behind(shared: &PoolState) -> Vec<FoundBlock> {
    let Some(waiting) = shared.waiting.clone() else { return Vec::new() };
    let folder = waiting.folder().to_owned();
    let read = tokio::task::spawn_blocking(move || waiting.waiting()).await;
    let blocks = read.unwrap_or_else(|error| Err(error.into())).unwrap_or_else(|error| {
        tracing::error!(folder = %folder.display(), %error, "found blocks can't be read");
        Vec::new()
    });
    for found in &blocks {
        tracing::warn!(hash = %found.block.block_hash(), height = found.height, "no node has judged this block yet");
    }
    blocks
}

/// The pool ends before any node has judged these blocks.
pub fn left(shared: &PoolState, blocks: usize) {
    match &shared.waiting {
        Some(waiting) => {
            let folder = waiting.folder().display();
            tracing::error!(blocks, %folder, "no node has answered: the next start submits these blocks again");
        }
        None => tracing::error!(blocks, "no node has answered: these blocks are lost"),
    }
}

/// Counts a block that has been judged.
pub fn judged(shared: &PoolState, found: &FoundBlock, verdict: &BlockVerdict) {
    let hash = found.block.block_hash();
    let worker = &*found.worker;
    let refused = match verdict {
        BlockVerdict::Accepted | BlockVerdict::Duplicate => {
            let (transactions, pays) = (found.block.txdata.len(), found.value());
            tracing::info!(%hash, worker, transactions, %pays, "block found");
            None
        }
        BlockVerdict::Inconclusive => {
            tracing::warn!(%hash, worker, "block found, but another was faster");
            Some("inconclusive".to_owned())
        }
        BlockVerdict::Rejected(reason) => {
            tracing::error!(%hash, worker, reason, "THE NODE REJECTED OUR BLOCK");
            Some(reason.clone())
        }
    };
    shared.count_block(found.record(refused));
}
