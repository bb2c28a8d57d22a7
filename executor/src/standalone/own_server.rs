//! A pool server in the miner's own process.

use std::sync::Arc;

use api::Resources;
use problem::Problem;
use tokio::sync::watch;

/// A pool server in this process, as the user is told of it. Its address means nothing to the user.
#[derive(Clone, derive_more::Debug)]
pub struct OwnServer {
    /// Where the server's work comes from, and whom it pays: `node http://127.0.0.1:8332 (main), paying to bc1q…`.
    #[debug(skip)]
    pub work: Arc<dyn Fn() -> String + Send + Sync>,
    /// The blocks that the server's nodes have accepted.
    #[debug(skip)]
    pub blocks: watch::Receiver<OwnBlocks>,
    /// The number of blocks found that no node has taken.
    #[debug(skip)]
    pub rejected_blocks: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Why the server has no work, if it has none.
    #[debug(skip)]
    pub trouble: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// All that is wrong with the server.
    #[debug(skip)]
    pub problems: Arc<dyn Fn() -> Vec<Problem> + Send + Sync>,
    /// What the server adds to the miner's HTTP API.
    #[debug(skip)]
    pub resources: Resources,
}

/// The blocks that the nodes of a server in this process have accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnBlocks {
    /// How many.
    pub count: u64,
    /// How many of them have left the node's chain.
    pub orphaned: u64,
    /// The last one, for the user: `height 812, 00ab…`.
    pub last: String,
}
