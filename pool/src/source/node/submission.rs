//! Submits found blocks to the nodes and, meanwhile, writes them to disk.

use std::sync::Arc;

use bitcoin::BlockHash;
use node::{BlockVerdict, Nodes, RpcClient, RpcError};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::state::{ChainAnswer, Event};
use crate::accounts::{BEATEN, BlockRecord, LOST};
use crate::pool_state::PoolState;
use crate::share::FoundBlock;
use crate::store::PendingBlocks;

/// Submits a block to all nodes until one has judged it. Meanwhile the block is written to `pending`, if there is a data
/// folder. The verdict is returned only after the write has ended. `not_taken` gets an event if no node takes the block, and waiting
/// will not help.
pub async fn submit(
    nodes: Nodes,
    found: FoundBlock,
    pending: Option<PendingBlocks>,
    not_taken: mpsc::UnboundedSender<Event>,
) -> Vec<(FoundBlock, BlockVerdict)> {
    let (verdict, ()) = tokio::join!(verdict(&nodes, &found, &not_taken), write(&found, pending));
    vec![(found, verdict)]
}

/// Submits a block to all nodes until one has judged it; see [`submit`].
async fn verdict(
    nodes: &Nodes,
    found: &FoundBlock,
    not_taken: &mpsc::UnboundedSender<Event>,
) -> BlockVerdict {
    let (hash, height) = (found.block.block_hash(), found.height);
    // Sending fails if the pool ends, and needs no health any more.
    let report = |problem| drop(not_taken.send(Event::NotTaken { hash, height, problem }));
    nodes.submit_reporting(&found.block, report).await
}

/// Submits blocks again, one after another: first those that a node has accepted and lost, then those that no node has judged yet. See
/// [`submit`].
pub async fn resubmit(
    nodes: Nodes,
    lost: Vec<FoundBlock>,
    unjudged: Vec<FoundBlock>,
    not_taken: mpsc::UnboundedSender<Event>,
) -> Vec<(FoundBlock, BlockVerdict)> {
    let mut judged = Vec::new();
    if let Some(first) = lost.first() {
        let (height, hash) = (first.height, first.block.block_hash());
        tracing::warn!(blocks = lost.len(), height, %hash, "the node has lost blocks that it had accepted: submitting them again");
    }
    for found in lost {
        let verdict = verdict(&nodes, &found, &not_taken).await;
        judged.push((found, verdict));
    }
    for found in unjudged {
        judged.extend(submit(nodes.clone(), found, None, not_taken.clone()).await);
    }
    judged
}

/// Asks a node which of these blocks are in its chain.
pub async fn places(node: Arc<RpcClient>, blocks: Vec<BlockHash>) -> Vec<(BlockHash, ChainAnswer)> {
    let mut places = Vec::new();
    for hash in blocks {
        let answer: Result<Value, _> = node.call("getblockheader", json!([hash.to_string(), true])).await;
        match answer {
            // A block on a branch has -1 confirmations.
            Ok(header) => {
                let answer = |confirmations| match confirmations {
                    0.. => ChainAnswer::InChain,
                    _ => ChainAnswer::OnBranch,
                };
                places.extend(header["confirmations"].as_i64().map(|number| (hash, answer(number))));
            }
            Err(error) if error.is_unknown_block() => places.push((hash, ChainAnswer::Unknown)),
            Err(RpcError::Refused { .. }) => {}
            // The node is away. The next look comes with the next tip.
            Err(_) => break,
        }
    }
    places
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

/// Reads the last blocks that nodes had accepted when an earlier run of the pool ended.
pub async fn read_accepted(shared: &PoolState) -> Vec<FoundBlock> {
    let Some(pending) = shared.pending_blocks.clone() else { return Vec::new() };
    let folder = pending.folder().to_owned();
    let read = tokio::task::spawn_blocking(move || pending.read_accepted()).await;
    read.unwrap_or_else(|error| Err(error.into())).unwrap_or_else(|error| {
        tracing::error!(folder = %folder.display(), %error, "found blocks cannot be read");
        Vec::new()
    })
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
            shared.operator_log.accepted(found);
            None
        }
        BlockVerdict::Inconclusive => {
            if shared.operator_log.admits_refused_block() {
                tracing::warn!(height, %hash, worker, "candidate submitted, but another block was faster");
            }
            Some(BEATEN.to_owned())
        }
        BlockVerdict::Rejected(reason) => {
            if shared.operator_log.admits_refused_block() {
                tracing::error!(height, %hash, worker, reason, "THE NODE REJECTED OUR BLOCK");
            }
            Some(reason.clone())
        }
    };
    shared.count_block(found.record(refused));
}

/// Counts an accepted block as refused that no node has any more.
pub fn count_lost(shared: &PoolState, record: BlockRecord, reason: String) {
    let (hash, height) = (record.hash, record.height);
    tracing::error!(%hash, height, reason, "an accepted block is lost: no node has it any more");
    shared.uncount_block(record, format!("{LOST}{reason}"));
}

/// Counts a block as accepted that another one had beaten.
pub fn count_won(shared: &PoolState, record: BlockRecord) {
    let (hash, height) = (record.hash, record.height);
    tracing::info!(%hash, height, "our block that came second is in the node's chain after all");
    shared.count_won(record);
}

/// Counts an accepted block as orphaned, or as back in the chain.
pub fn count_place(shared: &PoolState, record: BlockRecord) {
    let (hash, height) = (record.hash, record.height);
    if shared.operator_log.admits_refused_block() {
        match record.orphaned {
            true => tracing::warn!(%hash, height, "our block is orphaned: the node's chain has left it"),
            false => tracing::info!(%hash, height, "our orphaned block is back in the node's chain"),
        }
    }
    shared.count_place(record);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use node::{Credentials, RpcLimits};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    /// A node that allows nobody until `allows` is set, and then accepts every block.
    async fn node(allows: Arc<AtomicBool>) -> Nodes {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string().parse().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
                }
                let (status, body) = match allows.load(Ordering::Relaxed) {
                    true => ("200 OK", r#"{"result":null,"error":null,"id":1}"#),
                    false => ("403 Forbidden", ""),
                };
                let head =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}", body.len());
                stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
            }
        });
        let client = RpcClient::new(url, Credentials::None, RpcLimits::default()).unwrap();
        Nodes::new(vec![client]).unwrap()
    }

    #[tokio::test]
    async fn a_lost_block_that_no_node_takes_is_reported_and_submitted_until_one_does() {
        let allows = Arc::new(AtomicBool::new(false));
        let nodes = node(allows.clone()).await;
        let block = Box::new(bitcoin::constants::genesis_block(bitcoin::Network::Regtest));
        let found = FoundBlock { worker: "w".into(), height: 7, at: 8, block };
        let (not_taken, mut events) = mpsc::unbounded_channel();
        let resubmitting = tokio::spawn(resubmit(nodes, vec![found.clone()], Vec::new(), not_taken));
        let event = timeout(DEADLINE, events.recv()).await.expect("in time").expect("a report");
        let Event::NotTaken { hash, height, problem } = event else { panic!("{event:?}") };
        assert_eq!((hash, height), (found.block.block_hash(), 7));
        assert!(problem.text.contains("rpcallowip"), "{problem:?}");
        allows.store(true, Ordering::Relaxed);
        let judged = timeout(DEADLINE, resubmitting).await.expect("in time").expect("no panic");
        assert_eq!(judged, [(found, BlockVerdict::Accepted)]);
    }
}
