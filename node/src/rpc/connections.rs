//! The connections to one node, used in such an order that no request follows right after an answer.
//!
//! Bitcoin Core 31 sends an answer before it is ready for the connection's next request. A request that it gets in between
//! waits for the next look at all connections, which comes after up to 50 ms (`SELECT_TIMEOUT` in its `httpserver.cpp`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use net::PlainConnector;

/// Nodes close idle connections: bcoin after 5 s, Bitcoin Core after 30 s.
const IDLE: Duration = Duration::from_secs(4);
/// How long after an answer a node is ready for the connection's next request, with a margin for a busy machine.
const READY: Duration = Duration::from_millis(100);
/// A new tip takes three steps: the answer that tells of it, the calls about it, and the call for its template.
const GROUPS: usize = 3;

/// Connections that are kept for further requests. Requests may overlap: each one in progress has its own connection.
pub struct Connections {
    groups: [Group; GROUPS],
}

/// Connections that are alike in that the last answer on any of them came at the same time, or earlier.
struct Group {
    http: Client<PlainConnector, Full<Bytes>>,
    /// When the last answer came on one of the connections.
    answered: Mutex<Option<Instant>>,
}

impl Connections {
    /// Opens nothing yet.
    pub fn new(connector: &PlainConnector) -> Self {
        let group = |_| Group {
            http: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(connector.clone()),
            answered: Mutex::default(),
        };
        Connections { groups: std::array::from_fn(group) }
    }

    /// Sends a request, and waits for the head of its answer.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let answered = self.groups.each_ref().map(Group::answered);
        let group = &self.groups[choose(answered, Instant::now())];
        let response = group.http.request(request).await;
        *group.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        response
    }
}

impl Group {
    fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first group that is ready, so that few connections are open while the node is asked seldom; if none is, the one that
/// will be first.
fn choose(answered: [Option<Instant>; GROUPS], now: Instant) -> usize {
    let is_ready = |at: &Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= READY);
    let ready = answered.iter().position(is_ready);
    let oldest = || (0..GROUPS).min_by_key(|&group| answered[group]);
    ready.or_else(oldest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_where_no_answer_has_come_just_now() {
        let start = Instant::now();
        let at = |milliseconds| Some(start + Duration::from_millis(milliseconds));
        let now = start + Duration::from_millis(1_000);
        assert_eq!(choose([None, None, None], now), 0);
        assert_eq!(choose([at(900), at(990), None], now), 0);
        assert_eq!(choose([at(901), at(990), None], now), 2);
        assert_eq!(choose([at(995), at(800), at(900)], now), 1);
        // None is ready.
        assert_eq!(choose([at(990), at(950), at(960)], now), 1);
        // A time that another thread has just set may be later than `now`.
        assert_eq!(choose([at(1_001), at(1_000), at(999)], now), 2);
    }
}
