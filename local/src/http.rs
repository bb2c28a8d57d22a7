//! The HTTP side of the cluster: connections, request bodies, replies and event streams.
//!
//! Nothing here knows Mesos' rules; a [`Handler`] answers every request.

pub mod server;
pub mod wire;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A request, read whole.
#[derive(Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// The path without the query.
    pub path: String,
    /// `Content-Type`, if it came.
    pub content_type: Option<String>,
    /// `Accept`, if it came.
    pub accept: Option<String>,
    /// `Mesos-Stream-Id`, if it came.
    pub stream_id: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// What a handler answers.
pub struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    stream_id: Option<String>,
    body: ReplyBody,
}

impl Reply {
    /// A status with a text that says why.
    pub fn text(status: u16, message: impl Into<String>) -> Self {
        Self::data(status, "text/plain; charset=utf-8", message.into().into_bytes())
    }

    /// A status without a body.
    pub fn empty(status: u16) -> Self {
        Self { content_type: None, ..Self::data(status, "", Vec::new()) }
    }

    /// A body of a known type.
    pub fn data(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ReplyBody::Whole(Some(Bytes::from(body)).filter(|b| !b.is_empty()));
        Self { status, content_type: Some(content_type), stream_id: None, body }
    }

    /// An event stream; each frame becomes one chunk.
    pub fn stream(content_type: &'static str, stream_id: Option<String>, frames: Frames) -> Self {
        let body = ReplyBody::Stream(frames);
        Self { status: StatusCode::OK, content_type: Some(content_type), stream_id, body }
    }

    fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(id) = self.stream_id.and_then(|id| HeaderValue::try_from(id).ok()) {
            headers.insert("mesos-stream-id", id);
        }
        response
    }
}

/// The reading end of an event stream; tells when the peer has gone.
pub struct Frames {
    /// The frames to send.
    pub receiver: mpsc::Receiver<Bytes>,
    /// Called once, when the stream ends for whatever reason.
    pub on_end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}

enum ReplyBody {
    Whole(Option<Bytes>),
    Stream(Frames),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Stream(frames) => {
                frames.receiver.poll_recv(context).map(|data| data.map(|data| Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Answers requests.
pub type Handler = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;
