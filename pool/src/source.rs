//! Where work comes from: the one place that knows every kind of chain.

mod builtin;
mod node;
mod upstream;

use std::sync::Arc;

use bitcoin::Network;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::node::{NodeError, NodeOptions, NodeSource};
pub use self::upstream::{UpstreamError, UpstreamOptions, UpstreamSource};
use crate::chain::BuiltinChain;
use crate::share::{ForwardRequest, FoundBlock};
use crate::shared::PoolState;

#[cfg(test)]
pub(crate) use self::builtin::work as builtin_work;

/// What the pool works on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A chain of its own, in memory.
    Builtin(Box<BuiltinChain>),
    /// A Bitcoin node's.
    Node(Box<NodeSource>),
    /// The jobs of an upstream pool.
    Upstream(Box<UpstreamSource>),
}

impl From<BuiltinChain> for Source {
    fn from(chain: BuiltinChain) -> Source {
        Source::Builtin(Box::new(chain))
    }
}

impl From<NodeSource> for Source {
    fn from(source: NodeSource) -> Source {
        Source::Node(Box::new(source))
    }
}

impl From<UpstreamSource> for Source {
    fn from(source: UpstreamSource) -> Source {
        Source::Upstream(Box::new(source))
    }
}

impl Source {
    /// The network of the addresses in the miners' names, if these are what blocks pay to.
    pub(crate) fn pays_users(&self) -> Option<Network> {
        match self {
            Source::Builtin(_) | Source::Upstream(_) => None,
            Source::Node(source) => source.pays_users(),
        }
    }

    /// Where shares go that an upstream pool wants.
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

    /// Takes found blocks and publishes jobs until told to stop, and then takes what has been found until then.
    pub(crate) async fn run(
        self,
        shared: Arc<PoolState>,
        found: mpsc::Receiver<FoundBlock>,
        stop: CancellationToken,
    ) {
        match self {
            Source::Builtin(chain) => builtin::run(*chain, shared, found, stop).await,
            Source::Node(source) => source.run(shared, found, stop).await,
            // Its blocks are the upstream pool's.
            Source::Upstream(source) => source.run(shared, stop).await,
        }
    }
}
