//! An HTTP/1.1 server on a listening socket. The server accepts connections, with or without TLS, limits their number and the
//! size of request heads, and closes the connections when it is stopped; a hyper service answers the requests.

mod boxed;
mod stream;

use std::convert::Infallible;
use std::error::Error;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use net::ServerTls;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::boxed::{BoxFuture, BoxService};
use crate::stream::Stream;

/// The pause after a connection could not be accepted, usually because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of open connections; further ones wait to be accepted.
    pub connections: usize,
    /// How long the head of a request may take to arrive, and so also how long a connection may be idle. `None` for no limit.
    pub head_timeout: Option<Duration>,
    /// The size of a connection's buffer in bytes, which also limits the head of a request; at least 8192.
    pub buffer: usize,
    /// Whether answers to pipelined requests are sent together. hyper then does not limit the buffer of an answer, so do not
    /// use this for large answers.
    pub batch_answers: bool,
}

impl Default for Limits {
    /// No limits, except hyper's default limit for the buffer.
    fn default() -> Self {
        Self {
            connections: Semaphore::MAX_PERMITS,
            head_timeout: None,
            buffer: 8192 + 100 * 4096,
            batch_answers: false,
        }
    }
}

/// A connection that was accepted. Clones are of the same connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    slot: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Connection {
    /// From now on, this connection does not count for [`Limits::connections`].
    pub fn leave_limit(&self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Like [`serve_connections`], without TLS.
pub async fn serve<S, B, E>(
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
    accept: impl Fn(&TcpStream) -> (S, E) + Sync,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Future<Output = ()> + Send + 'static,
{
    serve_connections(listener, None, limits, stop, |socket, _| accept(socket)).await;
}

/// Serves until `stop` is cancelled. Then the listening address is released, all connections are closed, even in the middle of
/// an answer, and `serve` returns.
///
/// `accept` is called for each connection, before its TLS handshake. It returns the connection's service, and a future, such as
/// a timeout, whose completion closes the connection.
pub async fn serve_connections<S, B, E>(
    listener: TcpListener,
    tls: Option<ServerTls>,
    limits: Limits,
    stop: CancellationToken,
    accept: impl Fn(&TcpStream, Connection) -> (S, E) + Sync,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Future<Output = ()> + Send + 'static,
{
    let accept = |stream: &TcpStream, connection: Connection| -> (BoxService, BoxFuture<()>) {
        let (service, ended) = accept(stream, connection);
        (BoxService::new(service), Box::pin(ended))
    };
    serve_boxed(listener, tls, limits, stop, &accept).await;
}

/// Makes the service of a connection, and the future that ends it.
type Accept<'a> = dyn Fn(&TcpStream, Connection) -> (BoxService, BoxFuture<()>) + Sync + 'a;

async fn serve_boxed(
    listener: TcpListener,
    tls: Option<ServerTls>,
    limits: Limits,
    stop: CancellationToken,
    accept: &Accept<'_>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (connections, closed) = (TaskTracker::new(), CancellationToken::new());
    let accept_all = async {
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let slot = Arc::new(Mutex::new(Some(slot)));
                    let (service, ended) = accept(&stream, Connection { peer, slot: slot.clone() });
                    let connection = connection(stream, tls.clone(), limits, service);
                    let closed = closed.clone();
                    connections.spawn(async move {
                        tokio::select! {
                            // Check `closed` first: once the server is stopped, no answer may be completed.
                            biased;
                            () = closed.cancelled() => {}
                            () = ended => {}
                            () = connection => {}
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accept_all).await;
    // Dropping the socket alone does not release the address: a forked child may still have a copy of the socket. The address
    // is released before the connections are closed, so that a disconnected client cannot connect again.
    if let Err(error) = SockRef::from(&listener).shutdown(Shutdown::Both) {
        tracing::debug!(%error, "cannot shut down a listening socket");
    }
    drop(listener);
    closed.cancel();
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, tls: Option<ServerTls>, limits: Limits, service: BoxService) {
    let Some(stream) = secured(stream, tls, limits).await else { return };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.buffer)
        .pipeline_flush(limits.batch_answers)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

/// The connection after its TLS handshake, if the server has a certificate. A handshake may take as long as the head of a
/// request.
async fn secured(stream: TcpStream, tls: Option<ServerTls>, limits: Limits) -> Option<Stream> {
    let Some(tls) = tls else { return Some(Stream::Plain(stream)) };
    let handshake = async {
        tls.accept(stream).await.inspect_err(|error| tracing::debug!(%error, "a TLS handshake failed")).ok()
    };
    let secured = match limits.head_timeout {
        Some(limit) => tokio::time::timeout(limit, handshake).await.ok().flatten(),
        None => handshake.await,
    };
    secured.map(|stream| Stream::Tls(Box::new(stream)))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use http_body_util::Empty;
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Serves empty answers on a free port of this machine.
    async fn start(limits: Limits, lifetime: Duration) -> (std::net::SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let stopped = stop.clone();
        tokio::spawn(serve(listener, limits, stopped, move |_| {
            let answer = async |_| Ok(Response::new(Empty::<Bytes>::new()));
            (service_fn(answer), tokio::time::sleep(lifetime))
        }));
        (address, stop)
    }

    async fn ask(stream: &mut TcpStream) -> std::io::Result<usize> {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        stream.read(&mut [0; 512]).await
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_for_another_to_close() {
        let (address, _stop) = start(Limits { connections: 1, ..Limits::default() }, LONG).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.unwrap() > 0);
        let mut second = TcpStream::connect(address).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(100), ask(&mut second)).await;
        assert!(waiting.is_err(), "{waiting:?}");
        drop(first);
        assert!(second.read(&mut [0; 512]).await.unwrap() > 0);
    }

    #[tokio::test]
    async fn a_connection_that_left_the_limit_makes_room_for_another_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits { connections: 1, ..Limits::default() };
        tokio::spawn(serve_connections(listener, None, limits, CancellationToken::new(), |_, connection| {
            assert!(connection.peer.ip().is_loopback());
            let answer = move |_| {
                connection.leave_limit();
                async { Ok(Response::new(Empty::<Bytes>::new())) }
            };
            (service_fn(answer), tokio::time::sleep(LONG))
        }));
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.unwrap() > 0);
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut second).await.unwrap() > 0);
        assert!(ask(&mut first).await.unwrap() > 0, "the first one is still served");
    }

    #[tokio::test]
    async fn slow_heads_and_old_connections_are_closed() {
        let limits = Limits { head_timeout: Some(Duration::from_millis(50)), ..Limits::default() };
        for (limits, lifetime) in [(limits, LONG), (Limits::default(), Duration::from_millis(50))] {
            let (address, _stop) = start(limits, lifetime).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTT").await.unwrap();
            assert_eq!(stream.read(&mut [0; 512]).await.unwrap_or(0), 0);
        }
    }

    #[tokio::test]
    async fn a_stopped_server_closes_connections_and_refuses_new_ones() {
        let (address, stop) = start(Limits::default(), LONG).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await.unwrap() > 0);
        stop.cancel();
        assert_eq!(stream.read(&mut [0; 512]).await.unwrap_or(0), 0);
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
