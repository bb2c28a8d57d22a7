//! A block on its way to the nodes (`submitblock`, BIP-0022).

use std::sync::Arc;
use std::time::Duration;

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash};
use serde_json::json;
use tokio::sync::mpsc;

use crate::rpc::{RpcClient, RpcError};
use crate::text::one_line;
use logging::error_chain;
use net::Backoff;

/// The first and the longest pause before a block is submitted again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Errors that are about the block itself, as Bitcoin Core and bcoin number them: it can't be decoded, has no coinbase
/// (`RPC_INVALID_PARAMETER`), or breaks a rule (`RPC_VERIFY_ERROR`, `RPC_VERIFY_REJECTED`).
const OF_THE_BLOCK: [i64; 4] = [RpcError::DESERIALIZATION, -8, -25, -26];

/// What a node says about a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// It is the node's new tip, as far as Bitcoin Core says; bcoin says the same of a block on a branch.
    Accepted,
    /// The node has had it before: so it is after a submission whose answer was lost. bcoin also says so of a block
    /// that it has rejected before.
    Duplicate,
    /// It is valid so far, but not the best chain.
    Inconclusive,
    /// It is not valid, for the node's reason without its `rejected: `.
    Rejected(String),
}

impl BlockVerdict {
    /// Reads the result of `submitblock` in Bitcoin Core's dialect and bcoin's.
    pub fn parse(result: Option<&str>) -> BlockVerdict {
        let Some(text) = result else { return BlockVerdict::Accepted };
        let reason = text.strip_prefix("rejected:").unwrap_or(text).trim();
        match reason {
            "duplicate" => BlockVerdict::Duplicate,
            "duplicate-inconclusive" | "inconclusive" => BlockVerdict::Inconclusive,
            reason => BlockVerdict::Rejected(one_line(reason)),
        }
    }

    /// Whether the node has the block and takes it for valid.
    pub fn is_accepted(&self) -> bool {
        matches!(self, BlockVerdict::Accepted | BlockVerdict::Duplicate)
    }
}

/// What is known of one node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// Its first try still lasts.
    Waiting,
    /// Tried in vain, and tried again.
    Failed,
    /// It has judged.
    Answered(BlockVerdict),
}

/// Submits a block to every node at once, and again and again to those that don't answer, until one has accepted it
/// or all that can be reached have judged it. Without any answer it goes on for ever: dropping it ends that.
///
/// A first try that has begun is brought to its end even if another node has accepted the block meanwhile.
pub async fn submit(clients: &[Arc<RpcClient>], block: &Block) -> BlockVerdict {
    let hash = block.block_hash();
    let hex: Arc<str> = encode::serialize_hex(block).into();
    let (sender, mut receiver) = mpsc::channel(clients.len().max(1));
    for (node, client) in clients.iter().enumerate() {
        tokio::spawn(submit_to(client.clone(), hex.clone(), hash, node, sender.clone()));
    }
    drop(sender);
    let mut progress = vec![Progress::Waiting; clients.len()];
    while let Some((node, news)) = receiver.recv().await {
        if let Some(entry) = progress.get_mut(node) {
            *entry = news;
        }
        if let Some(verdict) = settled(&progress) {
            return verdict;
        }
    }
    // Only without any node.
    BlockVerdict::Rejected("there is no node to submit it to".to_owned())
}

/// One node's tries; ends when it has judged, or with the receiver.
async fn submit_to(
    client: Arc<RpcClient>,
    block: Arc<str>,
    hash: BlockHash,
    node: usize,
    sender: mpsc::Sender<(usize, Progress)>,
) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let result: Result<Option<String>, RpcError> = client.call("submitblock", json!([*block])).await;
        let progress = judge(&result);
        match (&progress, &result) {
            (Progress::Answered(verdict), _) => {
                tracing::info!(%hash, node = %client.url(), ?verdict, "a node has judged our block");
            }
            (_, Err(error)) => {
                tracing::warn!(%hash, error = error_chain(error), "block not submitted yet; trying again");
            }
            _ => {}
        }
        let answered = matches!(progress, Progress::Answered(_));
        if sender.send((node, progress)).await.is_err() || answered {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.delay()) => {}
            () = sender.closed() => return,
        }
    }
}

/// What the outcome of one try means. An error that the node itself gives for the block is its verdict; one of its own
/// troubles, such as a full disk, is none.
fn judge(result: &Result<Option<String>, RpcError>) -> Progress {
    match result {
        Ok(answer) => Progress::Answered(BlockVerdict::parse(answer.as_deref())),
        Err(RpcError::Refused { code, message, .. }) if OF_THE_BLOCK.contains(code) => {
            Progress::Answered(BlockVerdict::Rejected(message.clone()))
        }
        Err(_) => Progress::Failed,
    }
}

/// The verdict, once there is no better one to be had soon.
fn settled(nodes: &[Progress]) -> Option<BlockVerdict> {
    let verdicts = || {
        nodes.iter().filter_map(|node| match node {
            Progress::Answered(verdict) => Some(verdict),
            _ => None,
        })
    };
    if let Some(accepted) = verdicts().find(|verdict| verdict.is_accepted()) {
        return Some(accepted.clone());
    }
    if nodes.contains(&Progress::Waiting) {
        return None;
    }
    verdicts().find(|verdict| **verdict == BlockVerdict::Inconclusive).or_else(|| verdicts().next()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_are_read() {
        for (result, verdict) in [
            (None, BlockVerdict::Accepted),
            (Some("duplicate"), BlockVerdict::Duplicate),
            (Some("rejected: duplicate"), BlockVerdict::Duplicate),
            (Some("inconclusive"), BlockVerdict::Inconclusive),
            (Some("duplicate-inconclusive"), BlockVerdict::Inconclusive),
            (Some("duplicate-invalid"), BlockVerdict::Rejected("duplicate-invalid".into())),
            (Some("high-hash"), BlockVerdict::Rejected("high-hash".into())),
            (Some("rejected: high-hash"), BlockVerdict::Rejected("high-hash".into())),
            (Some("rejected"), BlockVerdict::Rejected("rejected".into())),
            (Some(""), BlockVerdict::Rejected("no text".into())),
        ] {
            assert_eq!(BlockVerdict::parse(result), verdict);
        }
    }

    #[test]
    fn errors_about_the_block_are_verdicts_and_others_are_not() {
        let refused = |code| {
            let (node, message) = ("n".to_owned(), "Block decode failed".to_owned());
            judge(&Err(RpcError::Refused { node, method: "submitblock", code, message }))
        };
        let rejected = Progress::Answered(BlockVerdict::Rejected("Block decode failed".into()));
        assert_eq!(refused(RpcError::DESERIALIZATION), rejected);
        assert_eq!(refused(-25), rejected);
        // Still starting, an exception, an internal error, a method that this user may not call.
        for code in [RpcError::WARMUP, -1, -32603, -32601] {
            assert_eq!(refused(code), Progress::Failed, "{code}");
        }
        let timeout =
            RpcError::Timeout { node: "n".into(), method: "submitblock", after: Duration::from_secs(1) };
        assert_eq!(judge(&Err(timeout)), Progress::Failed);
        assert_eq!(judge(&Ok(None)), Progress::Answered(BlockVerdict::Accepted));
    }

    #[test]
    fn one_acceptance_settles_and_a_rejection_waits_for_the_others() {
        use Progress::{Answered, Failed, Waiting};
        let rejected = || Answered(BlockVerdict::Rejected("high-hash".into()));
        let reject = Some(BlockVerdict::Rejected("high-hash".into()));
        assert_eq!(settled(&[Waiting, Answered(BlockVerdict::Accepted)]), Some(BlockVerdict::Accepted));
        assert_eq!(settled(&[rejected(), Answered(BlockVerdict::Duplicate)]), Some(BlockVerdict::Duplicate));
        assert_eq!(settled(&[rejected(), Waiting]), None);
        assert_eq!(settled(&[rejected(), Failed]), reject);
        assert_eq!(
            settled(&[rejected(), Answered(BlockVerdict::Inconclusive)]),
            Some(BlockVerdict::Inconclusive)
        );
        assert_eq!(settled(&[Failed, Failed]), None);
        assert_eq!(settled(&[Failed, Waiting]), None);
    }
}
