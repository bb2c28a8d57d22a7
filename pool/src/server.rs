//! The pool server: it listens, serves each miner in a task of its own, and stops in an order that loses no share and no
//! block.

mod connection;
mod descriptors;
mod starting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_line::CookieFiles;
use logging::error_chain;
use net::ListenError;
use problem::{Problem, ProblemKind};
use task::BlockSourceSpec;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::handle::PoolHandle;
use crate::pool_state::PoolState;
use crate::share::FoundBlock;
use crate::source::{BlockSource, BlockSourceError};
use crate::store::{Store, StoreError, StoreOptions, StoreWriter};

use self::starting::HttpTask;
pub use self::starting::StartingServer;

/// Pause after the server failed to accept a connection, which usually means that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Minimum time between two warnings that the server is full.
const WARN_FULL_EVERY: Duration = Duration::from_secs(60);
/// How long a stopping server waits for its connections to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Options of a [`Server`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where miners connect: the first of these addresses that the system allows, see [`net::listen()`].
    pub stratum: Vec<SocketAddr>,
    /// Where the HTTP API is served: the first of these addresses that the system allows; `None`: nowhere.
    pub http: Option<Vec<SocketAddr>>,
    /// Who may change something by the HTTP API, and its certificate.
    pub api: api::Options,
    /// The pool's settings for its miners.
    pub config: Config,
    /// Where work comes from.
    pub source: BlockSourceSpec,
    /// The cookie files of the nodes that have one. They are read again when such a node refuses access.
    pub cookies: CookieFiles,
    /// Where accounts and found blocks are kept; `None`: they are lost when the process ends.
    pub data: Option<StoreOptions>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The server cannot listen on an address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no work, and waiting will not help.
    #[error(transparent)]
    Source(#[from] BlockSourceError),
}

/// A pool server that listens. The server serves no miner until [`run`](Server::run) is called.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    http: Option<HttpTask>,
    source: BlockSource,
    state: Arc<PoolState>,
    found_blocks: mpsc::Receiver<FoundBlock>,
    store: Option<Store>,
}

impl ServerError {
    /// The error as a problem.
    pub fn problem(&self) -> Problem {
        match self {
            ServerError::Source(error) => error.problem(),
            ServerError::Store(_) => Problem::new(ProblemKind::ServerDataFolder, error_chain(self)),
            ServerError::Listen(_) => Problem::new(ProblemKind::TaskWaits, error_chain(self)),
        }
    }

    /// The error for the user: if it will not mend itself, with what to do about it.
    pub fn with_remedy(self) -> anyhow::Error {
        let problem = self.problem();
        match problem.kind.is_permanent() {
            true => anyhow::Error::msg(problem.with_remedy()),
            false => self.into(),
        }
    }
}

impl Server {
    /// Waits for work, if it comes from a node or an upstream pool, and then listens for miners. Health and metrics are served
    /// meanwhile.
    ///
    /// # Errors
    /// If the server cannot listen on an address, use its data folder, or get work from the nodes or pools.
    pub async fn bind(options: ServerOptions) -> Result<Self, ServerError> {
        StartingServer::open(options).await?.start(None).await
    }

    /// Where miners connect.
    pub fn stratum_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are served.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HttpTask::address)
    }

    /// A handle for reports and displays, which can be used even after the server has stopped.
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.state.clone())
    }

    /// Serves miners until `stop`. When this returns, no connection is open, and all shares are in the accounts and on
    /// disk.
    ///
    /// # Errors
    /// [`StoreError::Unwritten`] if the last changes of the accounts could not be written to disk.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        let http = self.http.take();
        let ended = self.run_pool(stop).await;
        if let Some(http) = http {
            http.end().await;
        }
        ended
    }

    async fn run_pool(self, stop: CancellationToken) -> Result<(), StoreError> {
        let writing = self.store.map(|store| start_writing(store, &self.state)).transpose()?;
        let stop = stop.child_token();
        // Stops the tasks if this future is dropped.
        let _guard = stop.clone().drop_guard();
        // The source outlives the connections, so that it still takes a block that one of them has just found.
        let stop_source = CancellationToken::new();
        let _source_guard = stop_source.clone().drop_guard();
        let source = self.source.run(self.state.clone(), self.found_blocks, stop_source.clone());
        let source = tokio::spawn(source);
        let handle = PoolHandle::new(self.state.clone());
        let (connections, ()) = tokio::join!(
            accept_until(&stop, self.listener, &self.state),
            self.state.operator_log.run(&handle, stop.clone()),
        );
        connections.close();
        if tokio::time::timeout(STOP_WITHIN, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "connections did not end in time");
        }
        stop_source.cancel();
        if let Err(error) = source.await {
            tracing::error!(%error, "the source of work failed");
        }
        let Some(writing) = writing else { return Ok(()) };
        tokio::task::spawn_blocking(|| writing.close()).await.unwrap_or_else(|panic| {
            tracing::error!(error = %panic, "the thread that closes the accounts has failed");
            Ok(())
        })
    }
}

/// Starts to write the accounts to disk.
fn start_writing(store: Store, state: &Arc<PoolState>) -> Result<StoreWriter, StoreError> {
    let (accounts, health) = (state.clone(), state.clone());
    let take = move || accounts.accounts().take_unsaved();
    let refused = move |refused: Option<String>| match refused {
        Some(why) => {
            let text = format!("{why}: the accounts cannot be written");
            health.disk_health.set(Problem::new(ProblemKind::ServerDataFolder, text));
        }
        None => drop(health.disk_health.clear()),
    };
    store.start(take, refused)
}

/// Accepts connections until `stop`. Returns the tasks that serve them.
async fn accept_until(
    stop: &CancellationToken,
    listener: TcpListener,
    state: &Arc<PoolState>,
) -> TaskTracker {
    let connections = TaskTracker::new();
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return connections,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let admitted = admit(stream, peer, &connections, state, stop);
                if !admitted && warned.is_none_or(|at| at.elapsed() >= WARN_FULL_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(
                        connections = state.config.limits.connections,
                        "no room for more miners: raise --max-connections, or --server-mem for a server task"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection, unless its address is refused. Returns false if the server is full.
fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    connections: &TaskTracker,
    state: &Arc<PoolState>,
    stop: &CancellationToken,
) -> bool {
    if state.bans.refuses(peer.ip(), Instant::now()) {
        tracing::debug!(%peer, "refused a connection from a banned address");
        return true;
    }
    let Ok(permit) = state.places.clone().try_acquire_owned() else {
        tracing::debug!(%peer, "too many connections");
        return false;
    };
    let serve = connection::serve(stream, peer, state.clone(), stop.clone());
    connections.spawn(async move {
        serve.await;
        drop(permit);
    });
    true
}
