//! Connections and paths.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Metrics, Subject};

/// Connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// Time for a request's head to arrive, and for an idle connection to send the next.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Time for a whole connection, so that nobody holds a place for ever.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);
/// Pause after a failed accept: it mostly means that there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An HTTP server on a socket that listens.
#[derive(Debug)]
pub struct Server<S> {
    listener: TcpListener,
    address: SocketAddr,
    subject: S,
}

impl<S: Subject> Server<S> {
    /// On a socket that listens at this address.
    pub fn on((listener, address): (TcpListener, SocketAddr), subject: S) -> Server<S> {
        Server { listener, address, subject }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let serve = async {
            loop {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let connection = connection(stream, self.subject.clone());
                        let stop = stop.clone();
                        tokio::spawn(async move {
                            stop.run_until_cancelled(connection).await;
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
        stop.run_until_cancelled(serve).await;
    }
}

async fn connection<S: Subject>(stream: TcpStream, subject: S) {
    let service = service_fn(move |request| {
        let response = answer(&request, &subject);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(16 << 10);
    let serve = server.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_WITHIN, serve).await {
        tracing::debug!(%error, "HTTP connection ended");
    }
}

fn answer<S: Subject>(request: &Request<Incoming>, subject: &S) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => match subject.trouble() {
            None => text(StatusCode::OK, "ok\n".into()),
            Some(trouble) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        },
        "/api/v1/summary" => {
            let mut body = subject.summary().to_string();
            body.push('\n');
            respond(StatusCode::OK, "application/json", body)
        }
        "/metrics" => {
            let mut metrics = Metrics::default();
            subject.metrics(&mut metrics);
            respond(StatusCode::OK, "text/plain; version=0.0.4", metrics.into_text())
        }
        _ => text(StatusCode::NOT_FOUND, "there are /healthz, /api/v1/summary and /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}
