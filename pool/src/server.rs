//! The listener and all that hangs on it.

mod connection;
pub mod descriptors;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::ListenError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::RecoveredAccounts;
use crate::config::Config;
use crate::handle::PoolHandle;
use crate::pool_state::PoolState;
use crate::share::FoundBlock;
use crate::source::Source;
use crate::store::{Store, StoreWriter};

/// Pause after a failed accept: it mostly means that there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two times that miners without a place are spoken of.
const SAY_FULL: Duration = Duration::from_secs(60);
/// Time for connections to end when the pool does.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A pool that listens, but serves nobody until it is [`run`](Pool::run).
#[derive(Debug)]
pub struct Pool {
    listener: TcpListener,
    address: SocketAddr,
    source: Source,
    shared: Arc<PoolState>,
    found: mpsc::Receiver<FoundBlock>,
    store: Option<Store>,
}

impl Pool {
    /// Listens on an address (port 0: a free one) for miners to work on `source`.
    ///
    /// # Errors
    /// If the port is in use, or the address is not ours.
    pub async fn bind(
        address: SocketAddr,
        config: Config,
        source: impl Into<Source>,
    ) -> Result<Pool, ListenError> {
        Ok(Pool::on(net::listen(&[address]).await?, config, source.into(), None))
    }

    /// A pool on a socket that listens. Without a data folder, all is lost with the process.
    pub(crate) fn on(
        (listener, address): (TcpListener, SocketAddr),
        config: Config,
        source: Source,
        data: Option<(Store, RecoveredAccounts)>,
    ) -> Pool {
        let mut source = source;
        let (mut shared, found) = PoolState::new(config, source.pays_users(), source.forward());
        let store = data.map(|(store, recovered)| {
            shared.restore(recovered, store.pending_blocks());
            store
        });
        source.prepare(&shared);
        Pool { listener, address, source, shared: Arc::new(shared), found, store }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// For reports and displays, also after the pool's end.
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.shared.clone())
    }

    /// Serves miners until `stop`. When this returns, no connection is open and all shares are in the accounts, also on
    /// disk.
    pub async fn run(self, stop: CancellationToken) {
        let writing = self.store.and_then(|store| start_writing(store, &self.shared));
        let stop = stop.child_token();
        // Should this future be dropped, its tasks end as well.
        let _guard = stop.clone().drop_guard();
        let tasks = TaskTracker::new();
        // Outlives the connections, so that no block is lost that one of them has just found.
        let stop_source = CancellationToken::new();
        let _source_guard = stop_source.clone().drop_guard();
        let source = tokio::spawn(self.source.run(self.shared.clone(), self.found, stop_source.clone()));
        let mut said = None;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if !admit(stream, peer, &tasks, &self.shared, &stop) {
                        say_full(self.shared.config.limits.connections, &mut said);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        tasks.close();
        if tokio::time::timeout(STOP_WITHIN, tasks.wait()).await.is_err() {
            tracing::warn!(left = tasks.len(), "connections did not end in time");
        }
        stop_source.cancel();
        if let Err(error) = source.await {
            tracing::error!(%error, "the source of work failed");
        }
        if let Some(writing) = writing
            && let Err(error) = tokio::task::spawn_blocking(|| writing.close()).await
        {
            tracing::error!(%error, "the accounts were not written to the end");
        }
    }
}

/// From now on what is counted gets to disk.
fn start_writing(store: Store, shared: &Arc<PoolState>) -> Option<StoreWriter> {
    let (accounts, told) = (shared.clone(), shared.clone());
    let take = move || accounts.accounts().take_unsaved();
    let refused = move |refused| match refused {
        true => told.disk_health.set("the accounts cannot be written to disk"),
        false => drop(told.disk_health.clear()),
    };
    store
        .start(take, refused)
        .map_err(|error| tracing::error!(%error, "there is no thread to write the accounts"))
        .ok()
}

/// Serves a connection; `false` if there is no place for it.
fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    tasks: &TaskTracker,
    shared: &Arc<PoolState>,
    stop: &CancellationToken,
) -> bool {
    if shared.bans.is_banned(peer.ip(), Instant::now()) {
        tracing::debug!(%peer, "its address is banned");
        return true;
    }
    let Ok(place) = shared.places.clone().try_acquire_owned() else {
        tracing::debug!(%peer, "too many connections");
        return false;
    };
    let serve = connection::serve(stream, peer, shared.clone(), stop.clone());
    tasks.spawn(async move {
        serve.await;
        drop(place);
    });
    true
}

/// Miners that are turned away go elsewhere or try again: it is said now and then.
fn say_full(connections: usize, said: &mut Option<Instant>) {
    if said.is_none_or(|at| at.elapsed() >= SAY_FULL) {
        *said = Some(Instant::now());
        tracing::warn!(
            connections,
            "all places are taken, and further miners are turned away: --max-connections gives more, for a server task \
             --server-mem"
        );
    }
}
