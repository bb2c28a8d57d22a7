//! A found block on its way from a session to the source of its work.

use std::sync::Arc;

use bitcoin::Block;

/// A block that a miner has found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The worker's name, as its account has it.
    pub worker: Arc<str>,
    /// The block, checked as far as it can be without the chain.
    pub block: Box<Block>,
}
