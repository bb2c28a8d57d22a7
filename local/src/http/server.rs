//! An HTTP server: it reads each request whole and has a [`Handler`] answer it.

use super::{Handler, Reply, ReplyBody, Request};
use http_body_util::{BodyExt, Limited};
use http_server::Limits;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest request body, in bytes.
const MAX_BODY: usize = 16 << 20;
/// How long a peer may take to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers the requests on an address until it is stopped or dropped.
pub struct Server {
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    /// Starts to accept connections.
    pub fn start(listener: TcpListener, handler: Handler) -> Self {
        let stop = CancellationToken::new();
        let serve = http_server::serve(listener, Limits::default(), stop.clone(), move |socket| {
            // Small events must not wait for one another. If the system refuses, they are only slower.
            let _ = socket.set_nodelay(true);
            let handler = handler.clone();
            (service_fn(move |request| answer(handler.clone(), request)), std::future::pending())
        });
        Self { stop, serving: tokio::spawn(serve) }
    }

    /// Ends as a killed process does: connections are closed in the middle of a stream, and a client that sees its
    /// connection close cannot connect again.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
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
    use tokio::net::TcpStream;
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
