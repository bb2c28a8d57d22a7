//! The pool's own HTTP server:
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 if there is work for miners that can be relied on, else 503 and what is wrong |
//! | `/api/v1/summary` | JSON: the pool, its totals, all workers |
//! | `/metrics` | Prometheus text |
//!
//! It reads snapshots only and decides nothing.

use std::convert::Infallible;
use std::fmt::Write;
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
use serde_json::{Value, json};
use task::Totals;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::handle::{Handle, Summary};
use crate::share::UpstreamSummary;

/// Connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// Time for a request's head to arrive, and for an idle connection to send the next.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Time for a whole connection, so that nobody holds a place for ever.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);
/// Pause after a failed accept: it mostly means that there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening HTTP server.
#[derive(Debug)]
pub struct Http {
    listener: TcpListener,
    address: SocketAddr,
    handle: Handle,
}

impl Http {
    /// On a socket that listens.
    pub fn on((listener, address): (TcpListener, SocketAddr), handle: Handle) -> Http {
        Http { listener, address, handle }
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
                        let connection = connection(stream, self.handle.clone());
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

async fn connection(stream: TcpStream, handle: Handle) {
    let service = service_fn(move |request| {
        let response = answer(&request, &handle);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(16 << 10);
    let serve = server.serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_WITHIN, serve).await {
        tracing::debug!(%error, "HTTP connection ended");
    }
}

fn answer(request: &Request<Incoming>, handle: &Handle) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => match handle.trouble() {
            None => text(StatusCode::OK, "ok\n".into()),
            Some(trouble) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        },
        "/api/v1/summary" => {
            let mut body = json(&handle.summary()).to_string();
            body.push('\n');
            respond(StatusCode::OK, "application/json", body)
        }
        "/metrics" => respond(StatusCode::OK, "text/plain; version=0.0.4", metrics(&handle.summary())),
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

/// The summary as JSON. `accepted_work` may exceed what a JSON reader's numbers hold, so it is a string.
fn json(summary: &Summary) -> Value {
    let totals = |totals: &Totals| {
        json!({
            "shares": {"accepted": totals.accepted, "rejected": totals.rejected, "stale": totals.stale},
            "accepted_work": totals.accepted_work.to_string(),
            "blocks": totals.blocks,
        })
    };
    let workers: Vec<Value> = summary
        .workers
        .iter()
        .map(|worker| json!({"worker": &*worker.worker, "hashrate": worker.hashrate, "totals": totals(&worker.totals)}))
        .collect();
    let upstream = summary.upstream.as_ref().map(|UpstreamSummary { pool, counts }| {
        json!({
            "pool": pool,
            "shares": {
                "forwarded": counts.forwarded,
                "accepted": counts.accepted,
                "rejected": counts.rejected,
                "stale": counts.stale,
                "unanswered": counts.unanswered,
            },
            "blocks": counts.blocks,
        })
    });
    let mut answer = json!({
        "connections": summary.live.connections,
        "height": summary.live.height,
        "difficulty": summary.live.difficulty,
        "hashrate": summary.hashrate,
        "rejected_blocks": summary.rejected_blocks,
        "bans": {"present": summary.banned, "total": summary.bans},
        "totals": totals(&summary.totals),
        "workers": workers,
    });
    if let Some(upstream) = upstream {
        answer["upstream"] = upstream;
    }
    answer
}

fn metrics(summary: &Summary) -> String {
    let Summary { live, hashrate, totals, .. } = summary;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, f64)]| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let shares = [
        ("{verdict=\"accepted\"}", totals.accepted as f64),
        ("{verdict=\"rejected\"}", totals.rejected as f64),
        ("{verdict=\"stale\"}", totals.stale as f64),
    ];
    family("pool_shares_total", "counter", "Shares judged.", &shares);
    let work = [("", totals.accepted_work as f64)];
    family("pool_accepted_hashes_total", "counter", "Expected hashes of the accepted shares.", &work);
    family(
        "pool_blocks_total",
        "counter",
        "Blocks found that the chain has taken.",
        &[("", totals.blocks as f64)],
    );
    let rejected = [("", summary.rejected_blocks as f64)];
    family("pool_rejected_blocks_total", "counter", "Blocks found that the chain has not taken.", &rejected);
    family(
        "pool_connections",
        "gauge",
        "Connections with an authorized worker.",
        &[("", live.connections.into())],
    );
    family("pool_bans_total", "counter", "Addresses banned.", &[("", summary.bans as f64)]);
    family("pool_banned_addresses", "gauge", "Addresses banned at present.", &[("", summary.banned as f64)]);
    family("pool_workers", "gauge", "Workers with an account.", &[("", summary.workers.len() as f64)]);
    family("pool_height", "gauge", "Height of the block in work.", &[("", live.height as f64)]);
    family("pool_network_difficulty", "gauge", "Difficulty of the block in work.", &[("", live.difficulty)]);
    if let Some(UpstreamSummary { pool, counts }) = &summary.upstream {
        let connected = [("", f64::from(u8::from(pool.is_some())))];
        family("pool_upstream_connected", "gauge", "Whether an upstream pool takes our shares.", &connected);
        let forwarded = [("", counts.forwarded as f64)];
        family(
            "pool_upstream_forwarded_total",
            "counter",
            "Shares that an upstream pool wanted.",
            &forwarded,
        );
        let shares = [
            ("{verdict=\"accepted\"}", counts.accepted as f64),
            ("{verdict=\"rejected\"}", counts.rejected as f64),
            ("{verdict=\"stale\"}", counts.stale as f64),
            ("{verdict=\"unanswered\"}", counts.unanswered as f64),
        ];
        family("pool_upstream_shares_total", "counter", "What became of them.", &shares);
        let blocks = [("", counts.blocks as f64)];
        let help = "Accepted shares that met the network's target, at most one per tip.";
        family("pool_upstream_blocks_total", "counter", help, &blocks);
    }
    let hashrate = [("", *hashrate)];
    family("pool_hashrate_hashes_per_second", "gauge", "Estimated hashrate of all connections.", &hashrate);
    text
}
