//! What listens at an address: connections, and the bodies of their requests.

use super::{Handler, Reply, ReplyBody, Request};
use http_body_util::{BodyExt, Limited};
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::convert::Infallible;
use std::net::Shutdown;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Longest request body, in bytes.
const MAX_BODY: usize = 16 << 20;
/// How long a peer may take to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers the requests on an address until it is stopped or dropped.
pub struct Server {
    stop: CancellationToken,
    running: TaskTracker,
}

impl Server {
    /// Starts to accept connections.
    pub fn start(listener: TcpListener, handler: Handler) -> Self {
        let (stop, running) = (CancellationToken::new(), TaskTracker::new());
        running.spawn(accept(listener, handler, stop.clone(), running.clone()));
        Self { stop, running }
    }

    /// Ends as a process that is killed: all connections are cut, in the middle of a stream if need be, and whoever
    /// sees that is refused by then.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts connections until `stop`; they are cut once the address is given up.
async fn accept(listener: TcpListener, handler: Handler, stop: CancellationToken, running: TaskTracker) {
    let refusing = CancellationToken::new();
    let cut = refusing.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((socket, _)) = accepted else {
            // Out of file descriptors, for instance: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Events are small and must not wait for one another; failing that they are only slower.
        let _ = socket.set_nodelay(true);
        running.spawn(serve(socket, handler.clone(), refusing.clone()));
    }
    // A child that is about to become an executor may still hold a copy: closing ours alone would leave it listening.
    if let Err(error) = SockRef::from(&listener).shutdown(Shutdown::Both) {
        debug!(%error, "an address is only given up by closing it");
    }
    drop(listener);
    drop(cut);
}

async fn serve(socket: TcpStream, handler: Handler, cut: CancellationToken) {
    let service = service_fn(move |request| answer(handler.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        // The dead finish no answer.
        biased;
        () = cut.cancelled() => {}
        ended = connection => if let Err(error) = ended {
            debug!(%error, "a connection ended early");
        },
    }
}

async fn answer(
    handler: Handler,
    request: hyper::Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => {
            return Ok(Reply::text(413, format!("Cannot read the body: {error}")).into_response());
        }
        Err(_) => return Ok(Reply::text(408, "The body did not arrive in time").into_response()),
    };
    let request = Request {
        path: head.uri.path().to_owned(),
        content_type: header("content-type"),
        accept: header("accept"),
        stream_id: header("mesos-stream-id"),
        method: head.method,
        body,
    };
    Ok(handler(request).await.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Frames;
    use std::io::ErrorKind;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    /// Streams that stay silent, as long as `open` holds their other ends.
    fn silent(open: mpsc::UnboundedSender<mpsc::Sender<bytes::Bytes>>) -> Handler {
        Arc::new(move |_| {
            let (frames, receiver) = mpsc::channel(1);
            open.send(frames).unwrap();
            Box::pin(async { Reply::stream("text/plain", None, Frames { receiver, on_end: None }) })
        })
    }

    /// Many times, as it is about what happens first.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_sees_a_stream_end_is_refused() {
        for _ in 0..200 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (open, mut opened) = mpsc::unbounded_channel();
            let server = Server::start(listener, silent(open));
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let frames = opened.recv().await.unwrap();
            let seen = tokio::spawn(async move {
                let mut rest = Vec::new();
                // Cut or closed.
                let _ = stream.read_to_end(&mut rest).await;
                (TcpStream::connect(address).await, rest)
            });
            server.stop().await;
            drop(frames);
            let (again, rest) = seen.await.unwrap();
            assert_eq!(again.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert!(!rest.ends_with(b"0\r\n\r\n"), "nobody ends the streams of the dead");
        }
    }
}
