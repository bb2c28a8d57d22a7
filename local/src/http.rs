//! The HTTP side of a simulated Mesos: connections, request bodies, replies and event streams.
//!
//! This module is independent of Mesos' rules: a handler answers every request.

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use http_server::Limits;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Maximum length of a request body, in bytes.
const MAX_BODY: usize = 16 << 20;
/// Time limit for the body of a request to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The header that names a scheduler's subscription.
pub const STREAM_ID: &str = "mesos-stream-id";

/// A request with its whole body.
pub type Request = hyper::Request<Bytes>;

/// An answer: a whole body, or an event stream.
pub type Reply = Response<Either<Full<Bytes>, StreamBody>>;

/// The value of a request's header, if it is present and is text.
pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// A status and an explanation.
pub fn text(status: u16, message: impl Into<String>) -> Reply {
    data(status, "text/plain; charset=utf-8", message.into())
}

/// A status without a body.
pub fn empty(status: u16) -> Reply {
    let mut reply = Response::new(Either::Left(Full::default()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// A status and a body with this content type.
pub fn data(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = empty(status).map(|_| Either::Left(Full::new(body.into())));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// An event stream; each frame becomes one chunk.
pub fn stream(content_type: &'static str, stream_id: Option<String>, frames: StreamBody) -> Reply {
    let mut reply = data(200, content_type, Bytes::new()).map(|_| Either::Right(frames));
    if let Some(id) = stream_id.and_then(|id| HeaderValue::try_from(id).ok()) {
        reply.headers_mut().insert(STREAM_ID, id);
    }
    reply
}

/// The body of an event stream.
pub struct StreamBody {
    /// The frames to send. The stream ends when the last sender is dropped.
    pub receiver: mpsc::Receiver<Bytes>,
    /// Called when the stream ends, even if the peer ends it.
    pub on_end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

/// Answers the requests to an address. Dropping the server closes the listening socket and all connections.
#[derive(Debug)]
pub struct Server {
    _stop: DropGuard,
}

impl Server {
    /// Starts to accept connections; `handler` answers their requests.
    pub fn start<H, F>(listener: TcpListener, handler: H) -> Self
    where
        H: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let limits = Limits { batch_answers: true, ..Limits::default() };
        tokio::spawn(http_server::serve(listener, limits, stop.clone(), move |socket| {
            // Disable Nagle's algorithm, so that small events are sent immediately. If setting the option fails, events are
            // only slower.
            let _ = socket.set_nodelay(true);
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let handler = handler.clone();
                async move {
                    Ok(match read(request).await {
                        Ok(request) => handler(request).await,
                        Err(refusal) => refusal,
                    })
                }
            });
            (service, std::future::pending())
        }));
        Self { _stop: stop.drop_guard() }
    }
}

/// Reads a request's body. If that fails, returns the reply that refuses the request.
async fn read(request: hyper::Request<Incoming>) -> Result<Request, Reply> {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, body.to_bytes())),
        Ok(Err(error)) => Err(text(413, format!("Cannot read the body: {error}"))),
        Err(_) => Err(text(408, "The body did not arrive in time")),
    }
}
