//! The connection of a request: who asks, and for how long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http_server::Connection;
use hyper::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::RequestError;
use crate::token::Tokens;

/// The most streams that are open at once. They do not count for the limit of other connections.
pub(crate) const STREAMS: usize = 32;
/// Maximum lifetime of a connection that is no stream, so that no client occupies a connection for ever.
const LIFETIME: Duration = Duration::from_secs(60);

/// What all connections of a server share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Who may change something; `None` if nobody.
    pub tokens: Option<Tokens>,
    pub streams: Arc<Semaphore>,
}

impl Shared {
    pub fn new(tokens: Option<Tokens>) -> Self {
        Shared { tokens, streams: Arc::new(Semaphore::new(STREAMS)) }
    }
}

/// The connection of a request.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    connection: Connection,
    shared: Shared,
    is_stream: Arc<AtomicBool>,
    closed: CancellationToken,
}

/// The place of a stream. The connection is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    _permit: OwnedSemaphorePermit,
    closed: DropGuard,
}

impl Link {
    pub fn new(connection: Connection, shared: Shared) -> Self {
        let (is_stream, closed) = (Arc::default(), CancellationToken::new());
        Link { connection, shared, is_stream, closed }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.connection.peer
    }

    /// Who may change something; `None` if nobody.
    pub fn tokens(&self) -> Option<&Tokens> {
        self.shared.tokens.as_ref()
    }

    /// Completes when the connection is to be closed.
    pub async fn ended(self) {
        let lifetime = async {
            tokio::time::sleep(LIFETIME).await;
            if self.is_stream.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.closed.cancelled() => {}
            () = lifetime => {}
        }
    }

    /// Makes the connection a stream, which may last as long as both sides want; `None` if there are too many streams.
    pub fn become_stream(&self) -> Option<StreamSlot> {
        let permit = self.shared.streams.clone().try_acquire_owned().ok()?;
        self.is_stream.store(true, Ordering::Relaxed);
        self.connection.leave_limit();
        Some(StreamSlot { _permit: permit, closed: self.closed.clone().drop_guard() })
    }
}

impl StreamSlot {
    /// Closes the connection when `condition` completes.
    pub fn close_on(&self, condition: impl Future<Output = ()> + Send + 'static) {
        let closed = self.closed.token().clone();
        tokio::spawn(async move {
            if closed.run_until_cancelled(condition).await.is_some() {
                closed.cancel();
            }
        });
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Link {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, RequestError> {
        let link = parts.extensions.get::<Link>().cloned();
        link.ok_or_else(|| RequestError::Unavailable("the request came by no connection".to_owned()))
    }
}
