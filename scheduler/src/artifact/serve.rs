//! The HTTP side.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Files;
use super::transfers::{DOWNLOADS, PIECE, Progress, Transfer, Transfers};

/// The most connections at once, some 10 kB each; more wait to be accepted. A fetcher asks for the length first, and is
/// answered at once even while all downloads are taken.
const CONNECTIONS: usize = 1024;
/// A download of which nothing is taken for so long is ended, for others to have its turn.
const STALLED: Duration = Duration::from_secs(30);

/// What the kernel may keep of a download before it is on its way, in bytes; it takes twice as much. Left to itself it takes
/// megabytes of each, so that the first second looks far faster than the network is, and agents are let in by that.
const SEND_BUFFER: usize = 128 * 1024;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, files: Arc<Files>, transfers: Arc<Transfers>) {
    let permits = Arc::new(Semaphore::new(connections()));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, peer)) => {
                tracing::debug!(%peer, "an agent fetches the executor");
                socket
            }
            Err(error) => {
                // There may be no file descriptor left: wait for one to be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = connection(socket, files.clone(), transfers.clone());
        tokio::spawn(async move {
            connection.await;
            drop(permit);
        });
    }
}

/// At most half of the descriptors that this process may have.
fn connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit / 2).ok());
    limit.map_or(CONNECTIONS, |limit| limit.clamp(DOWNLOADS, CONNECTIONS))
}

async fn connection(socket: TcpStream, files: Arc<Files>, transfers: Arc<Transfers>) {
    if let Err(error) = set_socket_send_buffer_size(&socket, SEND_BUFFER) {
        tracing::debug!(%error, "the kernel chooses the size of the send buffer");
    }
    let progress = Arc::new(Progress::default());
    let service = service_fn(|request| {
        let answer = answer(&request, &files, &transfers, &progress);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(PIECE)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let mut before = None;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection of an agent ended");
                }
                return;
            }
            () = tokio::time::sleep(STALLED) => {
                let mark = progress.mark();
                if mark.is_some() && mark == before {
                    tracing::debug!("an agent does not take what it fetches");
                    return;
                }
                before = mark;
            }
        }
    }
}

type Body = BoxBody<Bytes, io::Error>;

fn answer<B>(
    request: &Request<B>,
    files: &Arc<Files>,
    transfers: &Arc<Transfers>,
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
            let (transfers, progress) = (transfers.clone(), progress.clone());
            let transfer = Transfer::new(files.clone(), &served.path, served.length, transfers, progress);
            let pieces =
                stream::unfold(transfer, async |mut transfer| Some((transfer.next().await?, transfer)));
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
    // Not Content-Encoding: the fetcher takes what comes as it is, and unpacks it by its name.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}
