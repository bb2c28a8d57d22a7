//! Submits blocks to the nodes (`submitblock`, BIP-0022).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash};
use serde_json::json;
use tokio::sync::mpsc;

use crate::rpc::{RpcClient, RpcError};
use crate::text::one_line;
use logging::{Repeats, error_chain};
use net::Backoff;
use problem::Problem;

/// The first and the longest pause before a block is submitted again to a node that has not given a verdict.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// The same if the node is too busy to take the block: its queue has room again within milliseconds.
const BUSY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// A node that is too busy for so many tries in a row is worth a line.
const BUSY_TRIES: u32 = 8;
/// A node that has failed so many times in a row, other than by being busy, is out of reach.
const FAILED_TRIES: u32 = 2;
/// The answer of a node that does not know the block's parent.
const NO_PARENT: &str = "prev-blk-not-found";
/// For how long this answer is no verdict: the node may lag behind another one, or have lost the parent in a crash.
const NO_PARENT_LASTS: Duration = Duration::from_secs(30);

/// Error codes of Bitcoin Core and bcoin that blame the block, not the node: the block cannot be decoded, has no coinbase
/// (`RPC_INVALID_PARAMETER`), or breaks a rule (`RPC_VERIFY_ERROR`, `RPC_VERIFY_REJECTED`).
const BLOCK_ERRORS: [i64; 4] = [RpcError::DESERIALIZATION, -8, -25, -26];

/// A node's answer to a submitted block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// The block is the node's new tip. bcoin gives this answer also for a block on a branch.
    Accepted,
    /// The node already knows the block, for example after a submission whose answer was lost. bcoin gives this answer also
    /// for a block that it has rejected before.
    Duplicate,
    /// The node has found no fault in the block, but the block is not on the best chain.
    Inconclusive,
    /// The block is invalid; the node's reason without its prefix `rejected: `.
    Rejected(String),
}

impl BlockVerdict {
    /// Parses the result of `submitblock` of Bitcoin Core or bcoin.
    pub fn parse(result: Option<&str>) -> Self {
        let Some(text) = result else { return BlockVerdict::Accepted };
        let reason = text.strip_prefix("rejected:").unwrap_or(text).trim();
        match reason {
            "duplicate" => BlockVerdict::Duplicate,
            "duplicate-inconclusive" | "inconclusive" => BlockVerdict::Inconclusive,
            reason => BlockVerdict::Rejected(one_line(reason)),
        }
    }

    /// Whether the node has the block and accepts it as valid.
    pub fn is_accepted(&self) -> bool {
        matches!(self, BlockVerdict::Accepted | BlockVerdict::Duplicate)
    }
}

/// The progress of the submission to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SubmitProgress {
    /// The node will answer soon: the first tries are in progress, or it does not know the block's parent yet.
    Waiting,
    /// Submitting to this node has failed; the block will be submitted again. Contains the reason if that will fail, too, until
    /// somebody acts.
    Failed(Option<Problem>),
    /// The node has given its verdict on the block.
    Answered(BlockVerdict),
}

/// Submits a block to all nodes at the same time, and repeats this for nodes that do not answer, until one node has
/// accepted the block or all nodes that can be reached have answered. Without any answer, this future never completes.
///
/// The first try with each node is completed even if another node accepts the block meanwhile. A node that does not know the
/// block's parent, or is busy for a moment, gets the block again before the verdicts of others count.
///
/// `report` gets the reason why no node takes the block, if waiting will not help: for example, the user may not call the method.
pub async fn submit(
    clients: &[Arc<RpcClient>],
    block: &Block,
    mut report: impl FnMut(Problem),
) -> BlockVerdict {
    let hash = block.block_hash();
    let hex: Arc<str> = encode::serialize_hex(block).into();
    let (sender, mut receiver) = mpsc::channel(clients.len().max(1));
    for (node, client) in clients.iter().enumerate() {
        tokio::spawn(submit_to(client.clone(), hex.clone(), hash, node, sender.clone()));
    }
    drop(sender);
    let mut progress = vec![SubmitProgress::Waiting; clients.len()];
    let mut reported = None;
    while let Some((node, news)) = receiver.recv().await {
        if let Some(entry) = progress.get_mut(node) {
            *entry = news;
        }
        if let Some(verdict) = settled(&progress) {
            return verdict;
        }
        let problem = lasting(&progress);
        if problem.is_some() && problem != reported {
            problem.iter().cloned().for_each(&mut report);
            reported = problem;
        }
    }
    // All senders are dropped without a verdict only if the list of nodes is empty.
    BlockVerdict::Rejected("there is no node to submit it to".to_owned())
}

/// Submits a block to one node until the node answers or the receiver is dropped.
async fn submit_to(
    client: Arc<RpcClient>,
    block: Arc<str>,
    hash: BlockHash,
    node: usize,
    sender: mpsc::Sender<(usize, SubmitProgress)>,
) {
    let (mut backoff, mut repeats) = (Backoff::new(PAUSES.0, PAUSES.1), Repeats::default());
    let mut busy_backoff = Backoff::new(BUSY_PAUSES.0, BUSY_PAUSES.1);
    let (begun, mut tries) = (Instant::now(), Tries::default());
    loop {
        let result: Result<Option<String>, RpcError> = client.call("submitblock", json!([*block])).await;
        let is_busy = result.as_ref().is_err_and(RpcError::is_busy);
        tries.count(&result, is_busy);
        let progress = judge(&result, tries, begun.elapsed());
        match (&progress, &result) {
            (SubmitProgress::Answered(verdict), _) => {
                tracing::debug!(%hash, node = %client.url(), ?verdict, "a node has answered our block");
            }
            (SubmitProgress::Waiting, Err(error)) if is_busy => {
                tracing::debug!(%hash, error = error_chain(error), "the node is too busy for our block; trying again");
            }
            (_, Err(error)) => {
                let error = error_chain(error);
                if let Some(repeated) = repeats.print(&error, Instant::now()) {
                    tracing::warn!(%hash, error, repeated, "block not submitted yet; trying again");
                }
            }
            (_, Ok(_)) => {
                tracing::debug!(%hash, node = %client.url(), "the node does not know the parent of our block; trying again");
            }
        }
        let answered = matches!(progress, SubmitProgress::Answered(_));
        if answered {
            client.say_block_judged();
        }
        if sender.send((node, progress)).await.is_err() || answered {
            return;
        }
        let pause = if is_busy { busy_backoff.delay() } else { backoff.delay() };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = client.is_back() => {}
            () = sender.closed() => return,
        }
    }
}

/// How many of the last tries with a node have failed in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    /// Because the node was busy.
    busy: u32,
    /// For another reason.
    failed: u32,
}

impl Tries {
    fn count(&mut self, result: &Result<Option<String>, RpcError>, is_busy: bool) {
        *self = match result {
            Ok(_) => Tries::default(),
            Err(_) if is_busy => Tries { busy: self.busy + 1, failed: 0 },
            Err(_) => Tries { busy: 0, failed: self.failed + 1 },
        }
    }

    /// Whether a node that is busy for a moment, or closes one connection, will take the block in a moment.
    fn may_succeed_soon(self) -> bool {
        self.busy < BUSY_TRIES && self.failed < FAILED_TRIES
    }
}

/// The progress after a try to submit the block, whose answer came this time after the first try began; `tries` counts this one, too.
/// An error in the block is the node's verdict; an error of the node, such as a full disk, makes the try fail.
fn judge(result: &Result<Option<String>, RpcError>, tries: Tries, since_first: Duration) -> SubmitProgress {
    match result {
        Ok(Some(answer)) if answer.ends_with(NO_PARENT) && since_first < NO_PARENT_LASTS => {
            SubmitProgress::Waiting
        }
        Ok(answer) => SubmitProgress::Answered(BlockVerdict::parse(answer.as_deref())),
        Err(RpcError::Refused { code, message, .. }) if BLOCK_ERRORS.contains(code) => {
            SubmitProgress::Answered(BlockVerdict::Rejected(message.clone()))
        }
        Err(error) if !error.is_transient() => SubmitProgress::Failed(Some(error.problem())),
        Err(_) if tries.may_succeed_soon() => SubmitProgress::Waiting,
        Err(_) => SubmitProgress::Failed(None),
    }
}

/// Why no node takes the block until somebody acts; `None` if a node may still take it. Every node must have been tried.
fn lasting(nodes: &[SubmitProgress]) -> Option<Problem> {
    let mut problems = Vec::new();
    for node in nodes {
        let SubmitProgress::Failed(problem) = node else { return None };
        problems.extend(problem.clone());
    }
    problems.into_iter().min_by_key(|problem| problem.kind)
}

/// The verdict of a node that has accepted the block. If no node has accepted it, and no node will answer soon, the best other
/// verdict. `None` if there is no such verdict yet.
fn settled(nodes: &[SubmitProgress]) -> Option<BlockVerdict> {
    let verdicts = || {
        nodes.iter().filter_map(|node| match node {
            SubmitProgress::Answered(verdict) => Some(verdict),
            _ => None,
        })
    };
    if let Some(accepted) = verdicts().find(|verdict| verdict.is_accepted()) {
        return Some(accepted.clone());
    }
    if nodes.contains(&SubmitProgress::Waiting) {
        return None;
    }
    verdicts().find(|verdict| **verdict == BlockVerdict::Inconclusive).or_else(|| verdicts().next()).cloned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ::testing::http_peer::{HttpPeer, Reply};

    use super::*;
    use crate::rpc::{Credentials, RpcLimits};
    use crate::testing::fake::soon;

    /// So many tries have failed that the node will not answer soon.
    const OUT_OF_REACH: Tries = Tries { busy: 0, failed: FAILED_TRIES };

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
            judge(
                &Err(RpcError::Refused { node, method: "submitblock", code, message }),
                OUT_OF_REACH,
                Duration::ZERO,
            )
        };
        let rejected = SubmitProgress::Answered(BlockVerdict::Rejected("Block decode failed".into()));
        assert_eq!(refused(RpcError::DESERIALIZATION), rejected);
        assert_eq!(refused(-25), rejected);
        // The node is still starting, reports an exception or an internal error, or does not allow this user to call the
        // method.
        for code in [RpcError::WARMUP, -1, -32603, -32601] {
            assert!(matches!(refused(code), SubmitProgress::Failed(_)), "{code}");
        }
        let timeout =
            RpcError::Timeout { node: "n".into(), method: "submitblock", after: Duration::from_secs(1) };
        assert_eq!(judge(&Err(timeout), OUT_OF_REACH, Duration::ZERO), SubmitProgress::Failed(None));
        assert_eq!(
            judge(&Ok(None), OUT_OF_REACH, Duration::ZERO),
            SubmitProgress::Answered(BlockVerdict::Accepted)
        );
    }

    #[test]
    fn one_acceptance_settles_and_a_rejection_waits_for_the_others() {
        use SubmitProgress::{Answered, Failed, Waiting};
        let failed = || Failed(None);
        let rejected = || Answered(BlockVerdict::Rejected("high-hash".into()));
        let reject = Some(BlockVerdict::Rejected("high-hash".into()));
        assert_eq!(settled(&[Waiting, Answered(BlockVerdict::Accepted)]), Some(BlockVerdict::Accepted));
        assert_eq!(settled(&[rejected(), Answered(BlockVerdict::Duplicate)]), Some(BlockVerdict::Duplicate));
        assert_eq!(settled(&[rejected(), Waiting]), None);
        assert_eq!(settled(&[rejected(), failed()]), reject);
        assert_eq!(
            settled(&[rejected(), Answered(BlockVerdict::Inconclusive)]),
            Some(BlockVerdict::Inconclusive)
        );
        assert_eq!(settled(&[failed(), failed()]), None);
        assert_eq!(settled(&[failed(), Waiting]), None);
    }

    #[test]
    fn a_refusal_is_lasting_if_every_node_was_tried_and_none_has_answered() {
        use SubmitProgress::{Answered, Failed, Waiting};
        let (node, user) = ("n".to_owned(), "u".to_owned());
        let refused = judge(
            &Err(RpcError::NotWhitelisted { node, method: "submitblock", user }),
            OUT_OF_REACH,
            Duration::ZERO,
        );
        let kind = |nodes: &[SubmitProgress]| lasting(nodes).map(|problem| problem.kind);
        assert_eq!(kind(std::slice::from_ref(&refused)), Some(problem::ProblemKind::NodeWhitelist));
        assert_eq!(kind(&[Failed(None), refused.clone()]), Some(problem::ProblemKind::NodeWhitelist));
        assert_eq!(kind(&[Failed(None)]), None);
        assert_eq!(kind(&[Waiting, refused.clone()]), None);
        assert_eq!(kind(&[Answered(BlockVerdict::Inconclusive), refused]), None);
    }

    #[test]
    fn a_node_without_the_parent_gets_the_block_again_for_a_while() {
        let answer = Ok(Some("prev-blk-not-found".to_owned()));
        assert_eq!(judge(&answer, OUT_OF_REACH, Duration::ZERO), SubmitProgress::Waiting);
        let rejected = SubmitProgress::Answered(BlockVerdict::Rejected("prev-blk-not-found".into()));
        assert_eq!(judge(&answer, OUT_OF_REACH, NO_PARENT_LASTS), rejected);
        let (waiting, away) = (SubmitProgress::Waiting, SubmitProgress::Failed(None));
        let inconclusive = SubmitProgress::Answered(BlockVerdict::Inconclusive);
        assert_eq!(settled(&[waiting.clone(), inconclusive.clone()]), None);
        assert_eq!(settled(&[away, inconclusive]), Some(BlockVerdict::Inconclusive));
        assert_eq!(
            settled(&[waiting, SubmitProgress::Answered(BlockVerdict::Accepted)]),
            Some(BlockVerdict::Accepted)
        );
    }

    /// A node that answers the submission of a block with this JSON, but first drops so many connections.
    async fn node(drops: usize, answer: &str) -> (HttpPeer, Arc<RpcClient>, Arc<AtomicUsize>) {
        let body = format!(r#"{{"result":{answer},"error":null,"id":1}}"#);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let peer = HttpPeer::start(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
            before if before < drops => Reply::Close,
            _ => Reply::Bytes(answer.clone()),
        });
        let peer = peer.await;
        let url = peer.address.to_string().parse().unwrap();
        let client = RpcClient::new(url, Credentials::None, RpcLimits::default()).unwrap();
        (peer, Arc::new(client), tries)
    }

    #[tokio::test]
    async fn a_node_that_drops_a_connection_gets_two_tries_before_another_node_s_verdict_counts() {
        let block = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        for (drops, verdict) in
            [(0, BlockVerdict::Accepted), (1, BlockVerdict::Accepted), (2, BlockVerdict::Inconclusive)]
        {
            let (_dropping, client, tries) = node(drops, "null").await;
            let (_other, other, _) = node(0, r#""inconclusive""#).await;
            let clients = [client, other];
            let found = soon(submit(&clients, &block, |problem| panic!("{problem:?}"))).await;
            assert_eq!((found, tries.load(Ordering::Relaxed)), (verdict, (drops + 1).min(2)), "{drops}");
        }
    }

    #[test]
    fn a_node_that_is_busy_or_fails_once_will_answer_soon() {
        let busy =
            || Err(RpcError::Timeout { node: "n".into(), method: "submitblock", after: Duration::ZERO });
        let mut tries = Tries::default();
        for (is_busy, soon) in [(true, BUSY_TRIES - 1), (false, FAILED_TRIES - 1)] {
            for number in 1..=soon + 1 {
                tries.count(&busy(), is_busy);
                let waits = judge(&busy(), tries, Duration::ZERO) == SubmitProgress::Waiting;
                assert_eq!(waits, number <= soon, "{is_busy} {number}");
            }
        }
        tries.count(&Ok(None), false);
        assert!(tries.may_succeed_soon());
    }
}
