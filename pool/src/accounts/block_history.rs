//! The last found blocks, whatever has become of them, and the effort that each took.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::{Amount, BlockHash};
use hasher::{CompactTarget, Target};

use super::record::{BlockRecord, FoundRecord};
use crate::share::FoundBlock;

/// Maximum number of blocks that are kept.
pub const MAX_BLOCKS: usize = 1_000;
/// A block that a node had accepted is recorded as refused with this before the reason.
pub const LOST: &str = "lost: ";

/// A block that came second, and that nodes keep on a branch, is recorded as refused with this (BIP-0022).
pub const BEATEN: &str = "inconclusive";

/// What has become of a found block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// No node has judged it yet.
    Candidate,
    /// A node, or the built-in chain, has accepted it.
    Accepted,
    /// It was accepted, and has left the node's chain.
    Orphaned,
    /// It was accepted, and no node has it any more, for this reason.
    Lost(String),
    /// It was refused, in the node's words.
    Rejected(String),
}

impl BlockState {
    /// The name of the state, and the reason for it.
    pub fn named(&self) -> (&'static str, Option<&str>) {
        match self {
            BlockState::Candidate => ("candidate", None),
            BlockState::Accepted => ("accepted", None),
            BlockState::Orphaned => ("orphaned", None),
            BlockState::Lost(reason) => ("lost", Some(reason)),
            BlockState::Rejected(reason) => ("rejected", Some(reason)),
        }
    }
}

impl From<&BlockRecord> for BlockState {
    fn from(record: &BlockRecord) -> Self {
        match (&record.refused, record.orphaned) {
            (None, false) => BlockState::Accepted,
            (None, true) => BlockState::Orphaned,
            (Some(reason), _) => match reason.strip_prefix(LOST) {
                Some(reason) => BlockState::Lost(reason.to_owned()),
                None => BlockState::Rejected(reason.clone()),
            },
        }
    }
}

/// A found block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSummary {
    /// The block's hash.
    pub hash: BlockHash,
    /// The block's height.
    pub height: u32,
    /// The name of the worker that found the block.
    pub worker: Arc<str>,
    /// When the block was found, in seconds since the Unix epoch.
    pub found: u32,
    /// Number of the block's transactions, including the coinbase.
    pub transactions: usize,
    /// The amount that the coinbase pays.
    pub value: Amount,
    /// The pool's accepted work since the block before was found, in percent of the work that a block takes on average. `None` if
    /// it is unknown: an earlier version of this program found this block or the one before, or a kill has lost it.
    pub effort: Option<f64>,
    /// What has become of it.
    pub state: BlockState,
}

impl BlockSummary {
    /// A block that was judged, and whose effort is known or not.
    pub fn new(record: &BlockRecord, effort: Option<f64>) -> Self {
        BlockSummary {
            hash: record.hash,
            height: record.height,
            worker: record.worker.clone(),
            found: record.found,
            transactions: record.transactions,
            value: record.value,
            effort,
            state: record.into(),
        }
    }
}

/// The last found blocks, oldest first.
#[derive(Debug)]
pub struct BlockHistory {
    blocks: VecDeque<BlockSummary>,
    /// The pool's accepted work when the last block was found: a new round began. `None` if it is unknown.
    round: Option<u128>,
}

impl Default for BlockHistory {
    /// No block yet: the first round begins with the first share.
    fn default() -> Self {
        BlockHistory { blocks: VecDeque::new(), round: Some(0) }
    }
}

impl BlockHistory {
    /// Continues with the blocks of earlier runs, oldest first.
    pub fn restore(blocks: Vec<BlockSummary>, round: Option<u128>) -> Self {
        BlockHistory { blocks: blocks.into(), round }
    }

    /// A block was found when the accepted work of the pool was `work`. It ends a round, whatever becomes of it: its finder's
    /// luck is used up.
    pub fn found(&mut self, found: &FoundBlock, work: u128) -> FoundRecord {
        let bits = CompactTarget(found.block.header.bits.to_consensus());
        let expected = Target::from_compact(bits).map_or(0, |target| target.work());
        let effort = self.effort(work, expected as f64);
        let record = found.record(None);
        let block = BlockSummary { state: BlockState::Candidate, ..BlockSummary::new(&record, effort) };
        self.round = Some(work);
        self.put(block.clone());
        FoundRecord { block, pool_work: work }
    }

    /// Whether this block is kept.
    pub fn has(&self, hash: BlockHash) -> bool {
        self.blocks.iter().rev().any(|block| block.hash == hash)
    }

    /// There is a first verdict on a block that an earlier run had not written before it was killed, so that nothing is known of its
    /// effort.
    pub fn found_before(&mut self, record: &BlockRecord, work: u128) -> FoundRecord {
        let block = BlockSummary { state: BlockState::Candidate, ..BlockSummary::new(record, None) };
        self.round = Some(work);
        self.put(block.clone());
        FoundRecord { block, pool_work: work }
    }

    /// The chain has accepted or refused a block, or has changed its mind.
    pub fn judged(&mut self, record: &BlockRecord) {
        // A block that is not kept any more has no state.
        if let Some(block) = self.blocks.iter_mut().rev().find(|block| block.hash == record.hash) {
            block.state = record.into();
        }
    }

    /// The effort of the present round in percent, if a block takes `expected` hashes on average.
    pub fn effort(&self, work: u128, expected: f64) -> Option<f64> {
        let done = work.saturating_sub(self.round?) as f64;
        (expected > 0.0).then(|| done / expected * 100.0)
    }

    /// All blocks, oldest first.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &BlockSummary> {
        self.blocks.iter()
    }

    fn put(&mut self, block: BlockSummary) {
        if self.blocks.len() >= MAX_BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::block::{Header, Version};
    use bitcoin::hashes::Hash;
    use bitcoin::{Block, CompactTarget as Bits, TxMerkleNode};

    use super::*;

    /// A block of difficulty 1, which takes about 2^32 hashes.
    fn found(nonce: u32) -> FoundBlock {
        let header = Header {
            version: Version::ONE,
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1,
            bits: Bits::from_consensus(0x1d00_ffff),
            nonce,
        };
        let block = Box::new(Block { header, txdata: Vec::new() });
        FoundBlock { worker: "w".into(), height: nonce, at: nonce, block }
    }

    fn states(history: &BlockHistory) -> Vec<BlockState> {
        history.blocks().map(|block| block.state.clone()).collect()
    }

    #[test]
    fn the_efforts_of_all_rounds_sum_up_to_the_work() {
        let mut history = BlockHistory::default();
        let works: [u128; 4] = [1 << 32, 3 << 32, (3 << 32) + 5, 7 << 32];
        let efforts = works.map(|work| history.found(&found(work as u32), work).block.effort.unwrap());
        let near = |effort: f64, wanted: f64| (effort - wanted).abs() < 0.02;
        assert!(near(efforts[0], 100.0) && near(efforts[1], 200.0) && near(efforts[2], 0.0), "{efforts:?}");
        assert!(near(efforts.iter().sum(), 700.0), "{efforts:?}");
        assert_eq!(history.effort(8 << 32, (2_u64 << 32) as f64), Some(50.0));
        assert_eq!(history.effort(0, 1.0), Some(0.0), "a kill may have lost the last shares");
        assert_eq!(history.effort(8 << 32, 0.0), None);
    }

    #[test]
    fn a_round_of_an_earlier_version_has_no_effort() {
        let mut history = BlockHistory::restore(Vec::new(), None);
        assert_eq!(history.found(&found(1), 1 << 32).block.effort, None);
        assert!(history.found(&found(2), 2 << 32).block.effort.is_some());
    }

    #[test]
    fn a_block_that_was_lost_in_a_kill_begins_a_round_without_an_effort_of_its_own() {
        let mut history = BlockHistory::restore(Vec::new(), Some(0));
        let record = found(1).record(None);
        assert!(!history.has(record.hash));
        assert_eq!(history.found_before(&record, 5 << 32).block.effort, None);
        history.judged(&record);
        assert_eq!((states(&history), history.has(record.hash)), (vec![BlockState::Accepted], true));
        assert_eq!(history.effort(6 << 32, (1_u64 << 32) as f64), Some(100.0));
    }

    #[test]
    fn a_block_has_the_last_state_that_was_told() {
        let mut history = BlockHistory::default();
        let found = found(1);
        history.found(&found, 1);
        assert_eq!(states(&history), [BlockState::Candidate]);
        let mut record = found.record(None);
        for (refused, orphaned, state) in [
            (None, false, BlockState::Accepted),
            (None, true, BlockState::Orphaned),
            (None, false, BlockState::Accepted),
            (Some("lost: it is gone"), false, BlockState::Lost("it is gone".into())),
            (Some("high-hash"), false, BlockState::Rejected("high-hash".into())),
        ] {
            (record.refused, record.orphaned) = (refused.map(str::to_owned), orphaned);
            history.judged(&record);
            assert_eq!(states(&history), [state]);
        }
    }

    #[test]
    fn the_last_thousand_blocks_are_kept() {
        let mut history = BlockHistory::default();
        for number in 0..MAX_BLOCKS as u32 + 5 {
            history.found(&found(number), 0);
        }
        let heights: Vec<_> = history.blocks().map(|block| block.height).collect();
        assert_eq!((heights.len(), heights[0], heights[999]), (MAX_BLOCKS, 5, 1_004));
    }
}
