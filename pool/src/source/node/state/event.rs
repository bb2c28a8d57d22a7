//! What may change the miners' work, and what follows.

use std::time::Duration;

use bitcoin::BlockHash;
use node::{BlockVerdict, TemplateUpdate};
use problem::Problem;

use super::our_blocks::ChainAnswer;
use crate::accounts::BlockRecord;
use crate::share::FoundBlock;

/// An event that may change what miners work on.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node has a new template.
    Template(TemplateUpdate),
    /// No node works, or why none works has changed.
    AllNodesDown {
        /// Whether a node works but refuses access, because it does not know the user or the password.
        refused: bool,
    },
    /// A miner has found a block, and has taken the claim of its tip.
    Found(FoundBlock),
    /// The nodes have judged a block of [`Effect::Submit`].
    BlockJudged {
        /// The block.
        found: FoundBlock,
        /// The nodes' verdict.
        verdict: BlockVerdict,
    },
    /// No node takes a block of [`Effect::Submit`], and waiting will not help. It is submitted again and again.
    NotTaken {
        /// The block.
        hash: BlockHash,
        /// The block's height.
        height: u32,
        /// Why no node takes it.
        problem: Problem,
    },
    /// A node has said whether a block of [`Effect::Watch`] is in its chain.
    Place {
        /// The block.
        hash: BlockHash,
        /// What the node says.
        answer: ChainAnswer,
    },
    /// [`NodeWorkState::next_deadline`](super::NodeWorkState::next_deadline) has passed.
    Tick,
}

/// An action that the source must carry out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Publish [`NodeWorkState::work`](super::NodeWorkState::work): a node has given a new template.
    Publish,
    /// Publish [`NodeWorkState::work`](super::NodeWorkState::work) again, with the header times and bits that apply now. The nodes may be down.
    Renew,
    /// Warn that no node works, and that miners keep their job for this time at most.
    Warn {
        /// How long miners keep their job, from now.
        keep: Duration,
    },
    /// Withdraw the work, which is too old.
    Withdraw,
    /// Submit a found block.
    Submit(FoundBlock),
    /// Submit blocks again, one after another, because each may be the parent of the next.
    Resubmit {
        /// Blocks that a node has accepted and lost. They come first.
        lost: Vec<FoundBlock>,
        /// Blocks of an earlier run that no node has judged yet.
        unjudged: Vec<FoundBlock>,
    },
    /// Count a found block with the nodes' first verdict.
    Count {
        /// The block.
        found: FoundBlock,
        /// The verdict.
        verdict: BlockVerdict,
    },
    /// A node has lost an accepted block for good: count it as refused, for this reason.
    CountLost {
        /// The block as it was counted.
        record: BlockRecord,
        /// Why no node has it.
        reason: String,
    },
    /// Count an accepted block as orphaned, or as back in the chain; see [`BlockRecord::orphaned`].
    CountPlace(BlockRecord),
    /// Count a block as accepted that another one had beaten, and that was counted as refused: it is in the chain after all.
    CountWon(BlockRecord),
    /// Make the pool unhealthy, because a node has rejected a block.
    SetRejection {
        /// The block's height.
        height: u32,
        /// The node's word.
        reason: String,
    },
    /// Make the pool unhealthy, because no node takes a block.
    SetNotTaken {
        /// The block's height.
        height: u32,
        /// Why no node takes it.
        problem: Problem,
    },
    /// Neither a rejection nor a block that no node takes makes the pool unhealthy any longer.
    ClearRejection,
    /// Ask the nodes for new templates now.
    AskForTemplates,
    /// Ask a node whether these blocks are in its chain, and report [`Event::Place`].
    Watch(Vec<BlockHash>),
}
