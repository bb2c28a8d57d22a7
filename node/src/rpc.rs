//! JSON-RPC over HTTP to one node.

mod answer;
mod auth;
mod connections;
mod error;
pub mod methods;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use net::PlainConnector;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use auth::Credentials;
pub use error::RpcError;
pub use net::node_url::{DEFAULT_PORT, NodeUrl, NodeUrlError};

use self::answer::AnswerError;
use self::connections::Connections;
use crate::text::one_line;

/// Advice to the user if a TLS proxy listens on the address instead of the node.
const EXPECTS_TLS: &str = "give the node's own RPC port, since nodes do not speak TLS";

/// Limits of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Time limit for opening a connection. Default: 5 s.
    pub connect: Duration,
    /// Time limit for the whole answer to a call, unless the caller sets another limit. Default: 30 s, since a busy node
    /// may need many seconds for a template.
    pub call: Duration,
    /// Maximum size of an answer, in bytes. Default: 32 MiB, since a template with 4 MB of transactions has 8 MB of
    /// hexadecimal digits, and a few hundred more bytes for each transaction.
    pub answer: usize,
}

impl Default for RpcLimits {
    fn default() -> Self {
        RpcLimits { connect: Duration::from_secs(5), call: Duration::from_secs(30), answer: 32 << 20 }
    }
}

/// A client of one node. Calls may overlap: each call in progress uses its own connection.
pub struct RpcClient {
    url: NodeUrl,
    uri: Uri,
    authorization: auth::Authorization,
    new_credentials: Notify,
    connections: Connections,
    limits: RpcLimits,
    next_id: AtomicU64,
    /// When this client was made.
    made: Instant,
    /// When the node last answered a call; `None` if it never has.
    answered: Mutex<Option<Instant>>,
    /// Told when the node has judged a block. One permit is kept for a watcher that is not listening just now.
    judged: Notify,
    /// Told when the node works again.
    back: Notify,
    /// Told when a new template is wanted at once. One permit is kept.
    refresh: Notify,
}

impl fmt::Debug for RpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcClient")
            .field("url", &self.url)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl RpcClient {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// If the address is not a valid URI, which [`NodeUrl::parse`] rules out except for very unusual hosts.
    pub fn new(url: NodeUrl, credentials: Credentials, limits: RpcLimits) -> Result<Self, NodeUrlError> {
        let uri = Uri::try_from(url.to_string())
            .map_err(|_| NodeUrlError::Path { path: url.path.clone(), url: url.to_string() })?;
        // A long poll is silent for minutes; keepalive probes detect a node that is gone.
        let keepalive = Some(Duration::from_secs(30));
        let connector = PlainConnector::new(Some(limits.connect), keepalive, EXPECTS_TLS);
        let authorization = auth::Authorization::new(credentials);
        Ok(RpcClient {
            url,
            uri,
            authorization,
            connections: Connections::new(&connector),
            limits,
            next_id: AtomicU64::new(1),
            made: Instant::now(),
            answered: Mutex::default(),
            judged: Notify::new(),
            back: Notify::new(),
            refresh: Notify::new(),
            new_credentials: Notify::new(),
        })
    }

    /// The node's address.
    pub fn url(&self) -> &NodeUrl {
        &self.url
    }

    /// When the node last answered a call, with whatever answer; `None` if it never has.
    pub fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the node last answered a call. Before the first answer, when this client was made.
    pub(crate) fn last_answer(&self) -> Instant {
        self.answered().unwrap_or(self.made)
    }

    /// Waits until the node has judged a block ([`say_block_judged`](Self::say_block_judged)); at once if it has done so since
    /// this was last waited for. For one waiter: the node is up, and its tip has probably changed.
    pub(crate) async fn block_judged(&self) {
        self.judged.notified().await;
    }

    /// Says that the node has judged a block of ours.
    pub(crate) fn say_block_judged(&self) {
        self.judged.notify_one();
    }

    /// Waits until the node is seen to work again.
    pub(crate) async fn is_back(&self) {
        self.back.notified().await;
    }

    /// Says that the node works again.
    pub(crate) fn say_back(&self) {
        self.back.notify_waiters();
    }

    /// Waits until a new template of the node is wanted at once. For one waiter.
    pub(crate) async fn refresh_wanted(&self) {
        self.refresh.notified().await;
    }

    /// Says that a new template of the node is wanted at once.
    pub(crate) fn want_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Uses these credentials from now on, also for the next try of a call that the node refuses just now.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.authorization.set(credentials);
        self.new_credentials.notify_one();
    }

    /// Waits until credentials are set that no earlier call of this function has waited for. Safe to cancel.
    pub async fn new_credentials(&self) {
        self.new_credentials.notified().await;
    }

    /// The limits of this client.
    pub fn limits(&self) -> RpcLimits {
        self.limits
    }

    /// Calls a method and waits for its result.
    ///
    /// # Errors
    /// If there is no valid answer, or the node reports an error: see [`RpcError`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        self.call_within(self.limits.call, method, params).await
    }

    /// Like [`RpcClient::call`], but with another time limit, as for a long poll.
    ///
    /// # Errors
    /// The errors of [`RpcClient::call`].
    pub async fn call_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "1.0", "id": id, "method": method, "params": params}).to_string();
        let answered = tokio::time::timeout(limit, self.exchange(method, body.into())).await;
        let timeout = || RpcError::Timeout { node: self.url.to_string(), method, after: limit };
        let (status, body) = answered.map_err(|_| timeout())??;
        let node = self.url.to_string();
        answer::parse(&body).map_err(|failure| match failure {
            AnswerError::Refused { code, message } => RpcError::Refused { node, method, code, message },
            AnswerError::Result(source) if status.is_success() => RpcError::Result { node, method, source },
            AnswerError::Result(_) | AnswerError::NotJsonRpc => {
                let excerpt = one_line(&String::from_utf8_lossy(&body[..body.len().min(1000)]));
                RpcError::NotJsonRpc { node, method, status: status.as_u16(), excerpt }
            }
        })
    }

    /// Sends the request; if the node refuses it and the cookie has changed since, sends it once more.
    async fn exchange(&self, method: &'static str, body: Bytes) -> Result<(StatusCode, Bytes), RpcError> {
        let mut again = true;
        loop {
            let header = self.authorization.header().map_err(|source| self.bad_cookie(source))?;
            let response = self
                .connections
                .request(self.request(header.clone(), body.clone()))
                .await
                .map_err(|error| self.broken(method, error.into()))?;
            *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let status = response.status();
            if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
                return Ok((status, self.body(method, response).await?));
            }
            let renewed =
                self.authorization.renew(header.as_ref()).map_err(|source| self.bad_cookie(source))?;
            if !(again && renewed && status == StatusCode::UNAUTHORIZED) {
                let node = self.url.to_string();
                if status == StatusCode::FORBIDDEN && self.wants_credentials(method).await {
                    let user = auth::user_of(header.as_ref());
                    return Err(RpcError::NotWhitelisted { node, method, user });
                }
                let hint = match status {
                    StatusCode::FORBIDDEN => "it does not allow our address (rpcallowip)",
                    _ => self.authorization.hint(),
                };
                return Err(RpcError::Unauthorized { node, status: status.as_u16(), hint });
            }
            again = false;
        }
    }

    /// Whether the node asks for credentials if it gets none. Bitcoin Core refuses an address that it does not allow
    /// (`rpcallowip`) before it asks for credentials, and a method that it does not allow (`rpcwhitelist`) after. Both answers
    /// have the status 403 and are empty.
    async fn wants_credentials(&self, method: &'static str) -> bool {
        let body = json!({"jsonrpc": "1.0", "id": 0, "method": method, "params": []}).to_string();
        let answer = self.connections.request(self.request(None, body.into())).await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED)
    }

    fn request(&self, authorization: Option<HeaderValue>, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        request
    }

    async fn body(
        &self,
        method: &'static str,
        response: Response<hyper::body::Incoming>,
    ) -> Result<Bytes, RpcError> {
        let limit = self.limits.answer;
        let collected = Limited::new(response.into_body(), limit).collect().await;
        collected.map(|body| body.to_bytes()).map_err(|source| match source.is::<LengthLimitError>() {
            true => RpcError::TooLong { node: self.url.to_string(), method, limit },
            false => self.broken(method, source),
        })
    }

    fn broken(&self, method: &'static str, source: Box<dyn std::error::Error + Send + Sync>) -> RpcError {
        RpcError::Connection { node: self.url.to_string(), method, source }
    }

    fn bad_cookie(&self, source: std::io::Error) -> RpcError {
        RpcError::Cookie { node: self.url.to_string(), path: self.authorization.cookie_path(), source }
    }
}
