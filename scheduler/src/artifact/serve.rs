//! The HTTP server of the executor's file.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use http_server::Limits;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::ArtifactFiles;
use super::downloads::{CHUNK, DOWNLOADS, Download, Downloads, Progress};

/// Maximum number of simultaneous connections. Each takes some 10 kB; further ones wait to be accepted. There may be more
/// connections than downloads, because a fetcher first requests the length (HEAD), and that request needs no download slot.
const CONNECTIONS: usize = 1024;
/// A download is aborted if the agent has received nothing for this time, so that another download gets its slot.
const STALLED: Duration = Duration::from_secs(30);

/// The send buffer of a connection, in bytes; the kernel doubles it. By default, the kernel would buffer megabytes of each
/// download. In the first second, the network would then look far faster than it is, and too many launches would be allowed.
const SEND_BUFFER: usize = 128 * 1024;

/// Serves until the future is dropped.
pub(super) async fn serve(listener: TcpListener, files: Arc<ArtifactFiles>, downloads: Arc<Downloads>) {
    let head_timeout = Some(Duration::from_secs(10));
    let limits = Limits { connections: connections(), head_timeout, buffer: CHUNK, batch_answers: false };
    http_server::serve(listener, limits, CancellationToken::new(), |socket| {
        tracing::debug!(peer = ?socket.peer_addr().ok(), "an agent fetches the executor");
        if let Err(error) = set_socket_send_buffer_size(socket, SEND_BUFFER) {
            tracing::debug!(%error, "the kernel chooses the size of the send buffer");
        }
        let progress = Arc::new(Progress::default());
        let stalled = stalled(progress.clone());
        let (files, downloads) = (files.clone(), downloads.clone());
        let service = service_fn(move |request| {
            let answer = answer(&request, &files, &downloads, &progress);
            async move { Ok(answer) }
        });
        (service, stalled)
    })
    .await;
}

/// Completes when the agent has received nothing of its download for [`STALLED`].
async fn stalled(progress: Arc<Progress>) {
    let mut before = None;
    loop {
        tokio::time::sleep(STALLED).await;
        let chunks = progress.chunks();
        if chunks.is_some() && chunks == before {
            tracing::debug!("an agent does not take what it fetches");
            return;
        }
        before = chunks;
    }
}

/// The maximum number of connections: [`CONNECTIONS`], or half of the file descriptors that this process may open if that is
/// less.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit / 2).ok());
    limit.map_or(CONNECTIONS, |limit| limit.clamp(DOWNLOADS, CONNECTIONS))
}

type Body = BoxBody<Bytes, io::Error>;

fn answer<B>(
    request: &Request<B>,
    files: &Arc<ArtifactFiles>,
    downloads: &Arc<Downloads>,
    progress: &Arc<Progress>,
) -> Response<Body> {
    let empty = Empty::new().map_err(|never| match never {}).boxed();
    let mut response = Response::new(empty);
    let Some(served) = files.at(request.uri().path()) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    match *request.method() {
        Method::GET => {
            let (downloads, progress) = (downloads.clone(), progress.clone());
            let download = Download::new(files.clone(), &served.path, served.length, downloads, progress);
            let pieces =
                stream::unfold(download, async |mut download| Some((download.next().await?, download)));
            *response.body_mut() = BodyExt::boxed(StreamBody::new(pieces));
        }
        Method::HEAD => {}
        _ => {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return response;
        }
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(served.length));
    // No Content-Encoding header is set: Mesos' fetcher stores the body without decoding it, and recognizes an archive by its
    // file name.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}
