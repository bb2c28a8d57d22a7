//! A server that waits for its first work. Its health and metrics are served from the first moment, so that whoever asks learns
//! what it waits for.

use std::net::SocketAddr;
use std::sync::Arc;

use command_line::CookieFiles;
use problem::{Problem, ProblemKind};
use task::BlockSourceSpec;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Server, ServerError, ServerOptions, descriptors};
use crate::figures;
use crate::handle::PoolHandle;
use crate::pool_state::{PoolState, SourceQueues};
use crate::source::{BlockSource, SourceChanges};
use crate::source_status::{SourceKind, SourceStatus};
use crate::store::Store;

/// A server that has its data folder and serves health and metrics, but does not have work for miners yet.
#[derive(Debug)]
pub struct StartingServer {
    stratum: Vec<SocketAddr>,
    source: BlockSourceSpec,
    cookies: CookieFiles,
    http: Option<HttpTask>,
    state: Arc<PoolState>,
    queues: SourceQueues,
    store: Option<Store>,
}

impl StartingServer {
    /// Opens the data folder, and begins to serve health and metrics. Admits fewer connections than configured if the system does
    /// not allow enough open files.
    ///
    /// # Errors
    /// If the server cannot use its data folder, or cannot listen on its address for health and metrics.
    pub async fn open(options: ServerOptions) -> Result<Self, ServerError> {
        let mut config = options.config;
        config.limits.connections = descriptors::allow(config.limits.connections);
        let data = options.data.as_ref().map(Store::open).transpose()?;
        let has_upstream = matches!(options.source, BlockSourceSpec::Upstream(_));
        let (mut state, queues) = PoolState::new(config, has_upstream);
        state.source = SourceStatus::new(SourceKind::from(&options.source));
        let store = data.map(|(store, recovered)| {
            state.restore(recovered, store.pending_blocks());
            store
        });
        let state = Arc::new(state);
        let http = match options.http {
            None => None,
            Some(addresses) => {
                Some(HttpTask::start(&addresses, options.api, PoolHandle::new(state.clone())).await?)
            }
        };
        let (source, cookies) = (options.source, options.cookies);
        Ok(StartingServer { stratum: options.stratum, source, cookies, http, state, queues, store })
    }

    /// Where health and metrics are served.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpTask::address)
    }

    /// A handle for reports and displays. It says what the server waits for.
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.state.clone())
    }

    /// Waits for work, if it comes from a node or an upstream pool, and then listens for miners. When the credentials for the nodes,
    /// or the passwords or certificates for the upstream pools, change, `changes` delivers the specification with the new ones. They
    /// apply to calls and connections that are made afterwards.
    ///
    /// # Errors
    /// If the server cannot get work from the nodes or pools, or cannot listen for miners.
    pub async fn start(self, changes: Option<SourceChanges>) -> Result<Server, ServerError> {
        let StartingServer { stratum, source, cookies, http, state, queues, store } = self;
        let SourceQueues { found, forward } = queues;
        if let Some(problem) = no_answer_yet(&source) {
            state.work_health.set(problem);
        }
        let mut source = BlockSource::connect(source, cookies, changes, forward, &state).await?;
        let (listener, address) = net::listen(&stratum).await?;
        source.prepare(&state);
        Ok(Server { listener, address, http, source, state, found_blocks: found, store })
    }
}

/// What a server waits for as long as its source of work has neither answered nor failed; `None` if it has work at once.
fn no_answer_yet(source: &BlockSourceSpec) -> Option<Problem> {
    let (kind, who) = match source {
        BlockSourceSpec::Builtin { .. } => return None,
        BlockSourceSpec::Node(spec) => {
            let nodes: Vec<_> = spec.nodes.iter().map(|node| node.url.as_str()).collect();
            (ProblemKind::NodeUnreachable, format!("node {}", nodes.join(", ")))
        }
        BlockSourceSpec::Upstream(spec) => (ProblemKind::UpstreamUnreachable, spec.pools.join(", ")),
    };
    Some(Problem::new(kind, format!("{who} has given no work yet")))
}

/// The task that serves health and metrics. The task ends when this value is dropped.
#[derive(Debug)]
pub(super) struct HttpTask {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl HttpTask {
    async fn start(
        addresses: &[SocketAddr],
        options: api::Options,
        pool: PoolHandle,
    ) -> Result<Self, net::ListenError> {
        let server = api::Server::new(net::listen(addresses).await?, &pool, options);
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            tokio::join!(server.run(ended.clone()), figures::record(&pool, ended));
        });
        Ok(HttpTask { address, task, stop: stop.drop_guard() })
    }

    /// Where health and metrics are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the task. When this returns, all its connections are closed.
    pub async fn end(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the HTTP server failed");
        }
    }
}
