//! The source of the jobs that the pool gives to miners: the pool's own chain, Bitcoin nodes, or an upstream pool.

mod builtin;
mod node;
mod upstream;

use std::sync::Arc;

use ::node::network::{NetworkError, PayoutError};
use ::node::rpc::NodeUrlError;
use ::node::templates::NoNodes;
use client::ClientError;
use command_line::{CookieFiles, TAG};
use logging::error_chain;
use net::tls::TlsError;
use problem::{Problem, ProblemKind};
use stratum::PoolUrlError;
use task::BlockSourceSpec;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::node::NodeSource;
pub(crate) use self::node::WATCHED;
use self::upstream::UpstreamSource;
use crate::chain::BuiltinChain;
use crate::clock::Now;
use crate::pool_state::PoolState;
use crate::share::{ForwardRequest, FoundBlock};

#[cfg(test)]
pub(crate) use self::builtin::work as builtin_work;

/// Delivers the specification of a running source, and the cookie files of its nodes, again when its credentials or certificates have
/// changed. Everything else in it is as it was.
pub type SourceChanges = watch::Receiver<(BlockSourceSpec, CookieFiles)>;

/// Waits for the next change, and returns what is in force then. Never returns if there can be no change.
async fn changed(changes: &mut Option<SourceChanges>) -> (BlockSourceSpec, CookieFiles) {
    if let Some(receiver) = changes
        && receiver.changed().await.is_ok()
    {
        return receiver.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// A source of work that has already given its first job.
#[derive(Debug)]
#[non_exhaustive]
pub enum BlockSource {
    /// A chain of the pool's own, in memory.
    Builtin(Box<BuiltinChain>),
    /// Bitcoin nodes.
    Node(Box<NodeSource>),
    /// The jobs of an upstream pool.
    Upstream(Box<UpstreamSource>),
}

/// Why a source cannot give work, now or later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockSourceError {
    /// The list of nodes is empty.
    #[error(transparent)]
    NoNodes(#[from] NoNodes),
    /// A node's address is malformed.
    #[error(transparent)]
    NodeUrl(#[from] NodeUrlError),
    /// No node can be mined on.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The address cannot be paid to on the nodes' network.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// An upstream pool's address is malformed.
    #[error(transparent)]
    PoolUrl(#[from] PoolUrlError),
    /// There is no upstream pool that can be tried.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There are no certificates to trust.
    #[error("cannot connect to a stratum+ssl pool")]
    Tls(#[from] TlsError),
}

impl BlockSourceError {
    /// The error as a problem.
    pub fn problem(&self) -> Problem {
        match self {
            BlockSourceError::Network(error) => error.problem(),
            BlockSourceError::Payout(error) => error.problem(),
            BlockSourceError::Client(error) => upstream_problem(error)
                .unwrap_or_else(|| Problem::new(ProblemKind::UpstreamUnreachable, error_chain(error))),
            BlockSourceError::PoolUrl(_) | BlockSourceError::Tls(_) => {
                Problem::new(ProblemKind::UpstreamUnreachable, error_chain(self))
            }
            BlockSourceError::NoNodes(_) | BlockSourceError::NodeUrl(_) => {
                Problem::new(ProblemKind::NodeUnreachable, error_chain(self))
            }
        }
    }
}

/// What an error of the client of the upstream pools means for a server; `None` if it is no problem.
fn upstream_problem(error: &ClientError) -> Option<Problem> {
    let Problem { kind, text } = error.problem()?;
    let kind = match kind {
        ProblemKind::PoolRefusesUser => ProblemKind::UpstreamRefusesUser,
        ProblemKind::PoolRejectsShares => ProblemKind::UpstreamRejectsShares,
        ProblemKind::UpstreamExtranonceTooSmall | ProblemKind::PoolJobOutdated => kind,
        _ => ProblemKind::UpstreamUnreachable,
    };
    Some(Problem { kind, text })
}

impl BlockSource {
    /// Connects to a source, and waits for its first job without a time limit. Logs what it waits for, and keeps it in
    /// [`PoolState::work_health`]. `cookies` are the cookie files of nodes. `shares` is the queue of shares for the upstream pool.
    /// `changes` delivers new credentials.
    ///
    /// # Errors
    /// If waiting will not help: see [`BlockSourceError`].
    pub async fn connect(
        spec: BlockSourceSpec,
        cookies: CookieFiles,
        changes: Option<SourceChanges>,
        shares: Option<mpsc::Receiver<ForwardRequest>>,
        shared: &PoolState,
    ) -> Result<Self, BlockSourceError> {
        Ok(match spec {
            BlockSourceSpec::Builtin { block_interval } => {
                // Two pools that start in the same second must not mine the same block.
                let tag = format!("{TAG}{:016x}/", rand::random::<u64>());
                let chain = BuiltinChain::new(block_interval, tag.as_bytes(), Now::read().unix);
                BlockSource::Builtin(Box::new(chain))
            }
            BlockSourceSpec::Node(spec) => {
                BlockSource::Node(Box::new(NodeSource::connect(spec, &cookies, changes, shared).await?))
            }
            BlockSourceSpec::Upstream(spec) => {
                // Without a queue nothing could be forwarded. The pool's state always has one for an upstream pool.
                let shares = shares.unwrap_or_else(|| mpsc::channel(1).1);
                BlockSource::Upstream(Box::new(UpstreamSource::connect(spec, changes, shares, shared).await?))
            }
        })
    }

    /// Publishes the first job.
    pub(crate) fn prepare(&mut self, shared: &PoolState) {
        match self {
            BlockSource::Builtin(chain) => builtin::prepare(chain, shared),
            BlockSource::Node(source) => source.prepare(shared),
            BlockSource::Upstream(source) => source.prepare(shared),
        }
    }

    /// Publishes jobs and takes found blocks until `stop`, and then takes the blocks that are still queued.
    pub(crate) async fn run(
        self,
        shared: Arc<PoolState>,
        found: mpsc::Receiver<FoundBlock>,
        stop: CancellationToken,
    ) {
        match self {
            BlockSource::Builtin(chain) => builtin::run(*chain, shared, found, stop).await,
            BlockSource::Node(source) => source.run(shared, found, stop).await,
            // An upstream pool gets found blocks as shares, so `found` stays empty.
            BlockSource::Upstream(source) => source.run(shared, stop).await,
        }
    }
}
