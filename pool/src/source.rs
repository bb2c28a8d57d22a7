//! The running source of work: the one place that names every kind of source.

mod builtin;
mod node;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;

use bitcoin::Network;
use command_line::TAG;
use task::BlockSourceSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::node::{NodeError, NodeSource};
pub use self::upstream::{UpstreamError, UpstreamSource};
use crate::chain::BuiltinChain;
use crate::clock::Now;
use crate::pool_state::PoolState;
use crate::share::{ForwardRequest, FoundBlock};

#[cfg(test)]
pub(crate) use self::builtin::work as builtin_work;

/// A source of work that has given its first job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A chain of the pool's own, in memory.
    Builtin(Box<BuiltinChain>),
    /// Bitcoin nodes.
    Node(Box<NodeSource>),
    /// The jobs of an upstream pool.
    Upstream(Box<UpstreamSource>),
}

/// A source that gives no work, and never will.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The nodes cannot be mined on.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The upstream pools cannot be mined for.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl From<BuiltinChain> for Source {
    fn from(chain: BuiltinChain) -> Self {
        Source::Builtin(Box::new(chain))
    }
}

impl Source {
    /// Connects to a source. Waits for its first job for ever, and logs what it waits for. The cookie file is for nodes
    /// without a user.
    ///
    /// # Errors
    /// If waiting will not help: see [`SourceError`].
    pub async fn connect(spec: BlockSourceSpec, cookie_file: Option<PathBuf>) -> Result<Self, SourceError> {
        Ok(match spec {
            BlockSourceSpec::Builtin { block_interval } => {
                // Two pools that start in the same second must not mine the same block.
                let tag = format!("{TAG}{:016x}/", rand::random::<u64>());
                BuiltinChain::new(block_interval, tag.as_bytes(), Now::read().unix).into()
            }
            BlockSourceSpec::Node(spec) => {
                Source::Node(Box::new(NodeSource::connect(spec, cookie_file).await?))
            }
            BlockSourceSpec::Upstream(spec) => {
                Source::Upstream(Box::new(UpstreamSource::connect(spec).await?))
            }
        })
    }

    /// The network of the addresses in workers' names, if blocks pay to these.
    pub(crate) fn pays_users(&self) -> Option<Network> {
        match self {
            Source::Builtin(_) | Source::Upstream(_) => None,
            Source::Node(source) => source.pays_users(),
        }
    }

    /// The queue of shares for the upstream pool, if there is one.
    pub(crate) fn forward(&self) -> Option<mpsc::Sender<ForwardRequest>> {
        match self {
            Source::Builtin(_) | Source::Node(_) => None,
            Source::Upstream(source) => Some(source.forward()),
        }
    }

    /// Publishes the first job.
    pub(crate) fn prepare(&mut self, shared: &PoolState) {
        match self {
            Source::Builtin(chain) => builtin::prepare(chain, shared),
            Source::Node(source) => source.prepare(shared),
            Source::Upstream(source) => source.prepare(shared),
        }
    }

    /// Publishes jobs and takes found blocks until `stop`, and then the blocks that were found before.
    pub(crate) async fn run(
        self,
        shared: Arc<PoolState>,
        found: mpsc::Receiver<FoundBlock>,
        stop: CancellationToken,
    ) {
        match self {
            Source::Builtin(chain) => builtin::run(*chain, shared, found, stop).await,
            Source::Node(source) => source.run(shared, found, stop).await,
            // Found blocks are shares of the upstream pool.
            Source::Upstream(source) => source.run(shared, stop).await,
        }
    }
}
