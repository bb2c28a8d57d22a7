//! Our last blocks that nodes know: which of them a node has lost, and which are in its chain.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use super::Effect;
use crate::accounts::BlockRecord;
use crate::share::FoundBlock;

/// Maximum number of blocks, and the number of blocks on top of one after which it is no longer watched. No reorganisation of
/// this depth has ever happened, and no coinbase can be spent before.
pub const WATCHED: usize = 100;
/// Maximum size of the blocks that are kept to be submitted again, in bytes.
const KEPT_BYTES: usize = 64 << 20;
/// How often a block that a node has accepted is submitted again before it is given up: a node that crashes again and again may lose
/// it each time, but a block that no crash explains must not be submitted for ever.
const RESUBMISSIONS: u32 = 20;
/// How long a node may not know a block above its tip, until the block is not in the chain. The node may still be loading the blocks
/// below it.
const UNKNOWN_LASTS: Duration = Duration::from_secs(5 * 60);

/// What a node says about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainAnswer {
    /// The block is in the node's chain.
    InChain,
    /// The block is on a branch.
    OnBranch,
    /// The node does not know the block: it was on a branch, or the node has lost it.
    Unknown,
}

/// What the nodes' chain last said about a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A node accepted the block at this time.
    Accepted(Instant),
    /// The block is being submitted again.
    Resubmitted,
    /// The block is not in the chain.
    Orphaned,
}

/// A block that a node has accepted, or keeps on a branch.
#[derive(Debug)]
struct OurBlock {
    record: BlockRecord,
    /// The block; `None` if it need not be submitted again, or is too old to be kept.
    found: Option<FoundBlock>,
    place: Place,
    resubmissions: u32,
    /// Since when a node does not know the block; `None` if it knows it, or was not asked.
    unknown_since: Option<Instant>,
}

impl OurBlock {
    /// Whether a node does not know the block, which still counts as in the chain.
    fn is_missing(&self) -> bool {
        self.unknown_since.is_some() && !self.record.orphaned
    }

    fn extends(&self, tip: BlockHash) -> bool {
        self.found.as_ref().is_some_and(|found| found.block.header.prev_blockhash == tip)
    }
}

/// Blocks that a node should have, but lacks.
#[derive(Debug, Default, PartialEq)]
pub struct LackingBlocks {
    /// The blocks to submit again, each the parent of the next.
    pub resubmit: Vec<FoundBlock>,
    /// Blocks that are given up, since they were lost again and again.
    pub given_up: Vec<BlockRecord>,
}

/// Our last blocks that nodes know, oldest first.
#[derive(Debug, Default)]
pub struct OurBlocks(VecDeque<OurBlock>);

impl OurBlocks {
    /// Continues with blocks of an earlier run of the pool, oldest first; `kept` are those whose bytes are at hand. They were
    /// accepted before `now`.
    pub fn restore(records: Vec<BlockRecord>, mut kept: Vec<FoundBlock>, now: Instant) -> Self {
        let block = |record: BlockRecord| {
            let place = if record.orphaned { Place::Orphaned } else { Place::Accepted(now) };
            let index = kept.iter().position(|found| found.block.block_hash() == record.hash);
            let found = index.map(|index| kept.swap_remove(index));
            OurBlock { record, found, place, resubmissions: 0, unknown_since: None }
        };
        OurBlocks(records.into_iter().map(block).collect())
    }

    /// A node has accepted a block for the first time.
    pub fn accepted(&mut self, found: FoundBlock, now: Instant) {
        self.push(found.record(None), Some(found), Place::Accepted(now));
    }

    /// The nodes have a block on a branch, since another one came first. `record` says that it is refused.
    pub fn beaten(&mut self, record: BlockRecord) {
        self.push(BlockRecord { orphaned: true, ..record }, None, Place::Orphaned);
    }

    fn push(&mut self, record: BlockRecord, found: Option<FoundBlock>, place: Place) {
        self.0.retain(|block| block.record.hash != record.hash);
        self.0.push_back(OurBlock { record, found, place, resubmissions: 0, unknown_since: None });
        if self.0.len() > WATCHED {
            // A block that is missing stays until it is known what has become of it, so that it does not count for ever.
            let beaten = self.0.iter().position(|block| block.record.refused.is_some());
            let oldest = beaten.or_else(|| self.0.iter().position(|block| !block.is_missing()));
            oldest.and_then(|index| self.0.remove(index));
        }
        let mut room = KEPT_BYTES;
        for block in self.0.iter_mut().rev() {
            let size = block.found.as_ref().map_or(0, |found| found.block.total_size());
            match room.checked_sub(size) {
                Some(rest) => room = rest,
                None => block.found = None,
            }
        }
    }

    /// Whether this block is being submitted again.
    pub fn is_resubmitted(&self, hash: BlockHash) -> bool {
        self.0.iter().any(|block| block.record.hash == hash && block.place == Place::Resubmitted)
    }

    /// The number of blocks that are being submitted again.
    pub fn resubmitted(&self) -> usize {
        self.0.iter().filter(|block| block.place == Place::Resubmitted).count()
    }

    /// The blocks that a node lacks if `tip` was its tip when it was asked at `asked`: those that extend the tip although a node
    /// had accepted them before. Blocks that are to be submitted again count as such from now on.
    pub fn lacking(&mut self, tip: BlockHash, asked: Instant) -> LackingBlocks {
        let (mut tip, mut lacking) = (tip, LackingBlocks::default());
        let lost = |block: &OurBlock| matches!(block.place, Place::Accepted(at) if at < asked);
        while let Some(block) = self.0.iter_mut().find(|block| block.extends(tip) && lost(block)) {
            tip = block.record.hash;
            // Without its parent, a block is of no use.
            if block.resubmissions >= RESUBMISSIONS || !lacking.given_up.is_empty() {
                lacking.given_up.push(block.record.clone());
                let hash = tip;
                self.0.retain(|block| block.record.hash != hash);
                continue;
            }
            block.resubmissions += 1;
            block.place = Place::Resubmitted;
            lacking.resubmit.extend(block.found.clone());
        }
        lacking
    }

    /// Whether a node has accepted one of our blocks on this tip, or should get it again.
    pub fn extend(&self, tip: BlockHash) -> bool {
        self.0.iter().any(|block| block.extends(tip) && block.place != Place::Orphaned)
    }

    /// A node has accepted a block again.
    pub fn reaccepted(&mut self, hash: BlockHash, now: Instant) {
        if let Some(block) = self.0.iter_mut().find(|block| block.record.hash == hash) {
            block.place = Place::Accepted(now);
        }
    }

    /// A block that was submitted again is on a branch. Returns its record.
    pub fn orphaned(&mut self, hash: BlockHash) -> Option<BlockRecord> {
        let block = self.0.iter_mut().find(|block| block.record.hash == hash)?;
        block.place = Place::Orphaned;
        block.record.orphaned = true;
        Some(block.record.clone())
    }

    /// No node takes a block again. Returns its record.
    pub fn remove(&mut self, hash: BlockHash) -> Option<BlockRecord> {
        let index = self.0.iter().position(|block| block.record.hash == hash)?;
        self.0.remove(index).map(|block| block.record)
    }

    /// The blocks whose place in the chain should be looked up while blocks of this height are made; the oldest first.
    pub fn watched(&self, height: u32) -> Vec<BlockHash> {
        let watched = |block: &&OurBlock| {
            block.place != Place::Resubmitted
                && (block.is_missing()
                    || u64::from(block.record.height) + WATCHED as u64 >= u64::from(height))
        };
        self.0.iter().filter(watched).map(|block| block.record.hash).collect()
    }

    /// A node whose tip is below `height` has said whether a block is in its chain. Returns what is to be counted if this is news.
    pub fn on_place(
        &mut self,
        hash: BlockHash,
        answer: ChainAnswer,
        height: u32,
        now: Instant,
    ) -> Option<Effect> {
        let block = self.0.iter_mut().find(|block| block.record.hash == hash)?;
        let is_unknown = answer == ChainAnswer::Unknown;
        block.unknown_since = block.unknown_since.or(Some(now)).filter(|_| is_unknown);
        let is_too_low = block.record.height >= height;
        if is_too_low && block.unknown_since.is_some_and(|since| now < since + UNKNOWN_LASTS) {
            return None;
        }
        let in_chain = answer == ChainAnswer::InChain;
        if block.place == Place::Resubmitted || block.record.orphaned != in_chain {
            return None;
        }
        block.record.orphaned = !in_chain;
        block.place = if in_chain { Place::Accepted(now) } else { Place::Orphaned };
        let was_beaten = block.record.refused.take().is_some();
        let count = if was_beaten { Effect::CountWon } else { Effect::CountPlace };
        Some(count(block.record.clone()))
    }

    /// Whether a node does not know a block that still counts as in the chain.
    pub fn has_unknown(&self) -> bool {
        self.0.iter().any(OurBlock::is_missing)
    }
}
