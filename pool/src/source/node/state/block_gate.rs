//! Decides whether a block may be made on the present tip: at most one at a time, and no more or sooner than the operator wants.

use std::time::Instant;

use bitcoin::BlockHash;
use bitcoin::block::Header;

use crate::config::BlockLimits;
use crate::job::BlockClaim;

/// What has become of the present tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tip {
    /// The next solution makes a block.
    Open,
    /// The operator's limits allow no block yet. Solutions count as shares.
    Held,
    /// A block on this tip was found, or is being submitted again.
    Solved,
    /// A node has refused our block, so its template may be faulty. The next template may make another block.
    Refused,
}

/// The gate that each solution has to pass to become a block.
#[derive(Debug)]
pub struct BlockGate {
    limits: BlockLimits,
    tip: Tip,
    /// Shared with all jobs on the present tip.
    claim: BlockClaim,
    /// Blocks that nodes have accepted in this run, less the lost ones.
    accepted: u64,
    /// The parents of the found blocks without a verdict.
    in_flight: Vec<BlockHash>,
    /// When the next block may be found.
    not_before: Option<Instant>,
    /// The block that was found last, from which `not_before` counts.
    last_found: Option<BlockHash>,
}

impl BlockGate {
    /// The gate of the first tip.
    pub fn new(limits: BlockLimits) -> Self {
        BlockGate {
            limits,
            tip: Tip::Open,
            claim: BlockClaim::default(),
            accepted: 0,
            in_flight: Vec::new(),
            not_before: None,
            last_found: None,
        }
    }

    /// The claim for the jobs on the present tip.
    pub fn claim(&self) -> BlockClaim {
        self.claim.clone()
    }

    /// Lets another block be made: the tip is new, or our block on it is gone. Jobs that were published before stay without a
    /// claim.
    pub fn open(&mut self, now: Instant) {
        self.claim = BlockClaim::default();
        self.tip = Tip::Open;
        if !self.admits(now) {
            self.claim.hold();
            self.tip = Tip::Held;
        }
    }

    /// There is a new template. `tip_changed` is whether it is on another tip than the last one; `has_block` is whether a node
    /// has accepted a block of ours on its tip, or should get it again.
    pub fn on_template(&mut self, tip: BlockHash, tip_changed: bool, has_block: bool, now: Instant) {
        if has_block || self.in_flight.contains(&tip) {
            if tip_changed || self.tip != Tip::Solved {
                self.claim = BlockClaim::default();
                self.claim.take();
                self.tip = Tip::Solved;
            }
        } else if tip_changed || matches!(self.tip, Tip::Solved | Tip::Refused) {
            self.open(now);
        }
    }

    /// A block was found; `on_tip` is whether it is on the present tip.
    pub fn on_found(&mut self, block: &Header, on_tip: bool, now: Instant) {
        self.in_flight.push(block.prev_blockhash);
        self.not_before = self.limits.interval.map(|interval| now + interval);
        self.last_found = Some(block.block_hash());
        if on_tip {
            // The claim of a block of an earlier run is not taken yet.
            self.claim.take();
            self.tip = Tip::Solved;
        } else if self.tip == Tip::Open && !self.admits(now) && self.claim.hold() {
            self.tip = Tip::Held;
        }
    }

    /// A found block has its first verdict; `on_tip` is whether it is on the present tip.
    pub fn on_verdict(&mut self, parent: BlockHash, accepted: bool, on_tip: bool) {
        if let Some(index) = self.in_flight.iter().position(|other| *other == parent) {
            self.in_flight.swap_remove(index);
        }
        if accepted {
            self.accepted += 1;
        } else if on_tip && self.tip == Tip::Solved {
            self.tip = Tip::Refused;
        }
    }

    /// The nodes have lost a block that they had accepted in this run.
    pub fn on_lost(&mut self) {
        self.accepted = self.accepted.saturating_sub(1);
    }

    /// The nodes have lost a block, or have left it, for good. The next one need not keep an interval from a block that is none. The
    /// interval from the block before was over when this one was found.
    pub fn on_gone(&mut self, block: BlockHash) {
        if self.last_found == Some(block) {
            self.not_before = None;
        }
    }

    /// The number of found blocks without a verdict.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// When [`release`](Self::release) may succeed because of the time.
    pub fn opens_at(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.tip == Tip::Held && !self.is_count_reached())
    }

    /// Opens a held tip if the limits allow a block now. Returns whether it did. The jobs that miners have already can then make
    /// the block.
    pub fn release(&mut self, now: Instant) -> bool {
        let released = self.tip == Tip::Held && self.admits(now);
        if released {
            self.tip = Tip::Open;
            self.claim.release();
        }
        released
    }

    fn admits(&self, now: Instant) -> bool {
        !self.is_count_reached() && self.not_before.is_none_or(|at| now >= at)
    }

    fn is_count_reached(&self) -> bool {
        self.limits.count.is_some_and(|count| self.accepted + self.in_flight() as u64 >= count)
    }
}
