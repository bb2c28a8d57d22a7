//! Calls as HTTP requests, and what the answers mean.
//!
//! The event stream has a connection to itself: Mesos would write the answer of a second call into the middle
//! of the stream. Calls use other connections, which are kept and reused.

mod answer;
mod line;
mod reader;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::answer::meaning;
pub(crate) use self::line::{Line, LineEvent};
use crate::address::{Endpoint, HostPort, Scheme};
use crate::auth::Auth;
use crate::connect::{ByteStream, Connect, Tcp, secured};
use crate::error::CallError;
use crate::recordio;
use crate::tls::Tls;

/// The encoding of everything this crate says.
pub(crate) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Ties calls to a scheduler's subscription.
pub(crate) const STREAM_ID: &str = "mesos-stream-id";

const MAX_REDIRECTS: usize = 5;
/// Connections kept for later calls.
const MAX_IDLE: usize = 4;

type Body = Full<Bytes>;

/// How a client behaves. The defaults fit a local network.
#[derive(Clone)]
pub struct Config {
    /// What every call carries.
    pub auth: Auth,
    /// Time to open a connection, names included. 5 s.
    pub connect_timeout: Duration,
    /// Time for the answer to a call, or the first part of the answer to SUBSCRIBE. 15 s.
    pub call_timeout: Duration,
    /// Longest event accepted, in bytes. 1 GiB; memory is taken only for what has arrived.
    pub record_limit: usize,
    /// After how many heartbeats that did not come a stream is taken for dead. 5.
    pub missed_heartbeats: u32,
    /// How connections come about. TCP.
    pub connector: Arc<dyn Connect>,
    /// How `https://` ones are made secure. None: they fail.
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(15),
            record_limit: recordio::DEFAULT_LIMIT,
            missed_heartbeats: 5,
            connector: Arc::new(Tcp),
            tls: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("auth", &self.auth)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("record_limit", &self.record_limit)
            .field("missed_heartbeats", &self.missed_heartbeats)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// A call ready to be sent.
pub(crate) struct Outgoing {
    /// Its type, for messages.
    pub name: &'static str,
    pub body: Bytes,
    pub stream_id: Option<HeaderValue>,
}

/// A stream of events that has begun.
pub(crate) struct Opened {
    /// Where redirects have led to.
    pub endpoint: Endpoint,
    pub response: Response<Incoming>,
    pub connection: Connection,
}

/// One HTTP connection. It ends when this is dropped.
pub(crate) struct Connection {
    address: HostPort,
    sender: SendRequest<Body>,
    driver: JoinHandle<Result<(), hyper::Error>>,
}

impl Connection {
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        match self.sender.send_request(request).await {
            // It had ended before it got the request, as where a peer that wants a certificate refuses us only after
            // the handshake of TLS 1.3: what ended it is the answer.
            Err(error) if error.is_canceled() => Err(self.end().await.unwrap_or(error)),
            answer => answer,
        }
    }

    /// What ended it.
    async fn end(&mut self) -> Option<hyper::Error> {
        (&mut self.driver).await.ok()?.err()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends calls; knows nothing of their contents.
#[derive(Debug)]
pub(crate) struct Http {
    pub config: Config,
    idle: Mutex<Vec<Connection>>,
}

impl Http {
    pub fn new(config: Config) -> Self {
        Self { config, idle: Mutex::default() }
    }

    /// Opens a stream of events, following redirects to the leading master.
    pub async fn subscribe(&self, start: &Endpoint, call: &Outgoing) -> Result<Opened, CallError> {
        let mut endpoint = start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut connection = self.connect(&endpoint).await?;
            let request = self.request(&endpoint, call);
            let sent = self.limit(&endpoint, connection.send(request)).await?;
            let response = sent.map_err(|error| answer::broken(&endpoint, error))?;
            if response.status().is_redirection() {
                endpoint = answer::redirected(&endpoint, &response)?;
                tracing::debug!(leader = %endpoint.address, "redirected");
                continue;
            }
            if response.status() == StatusCode::OK && answer::is_stream(&response) {
                return Ok(Opened { endpoint, response, connection });
            }
            let read = answer::refusal(&endpoint, call, &self.config.auth, response);
            return Err(self.limit(&endpoint, read).await?);
        }
        Err(CallError::Redirects { endpoint, count: MAX_REDIRECTS })
    }

    /// Sends a call and waits until it is answered.
    pub async fn call(&self, endpoint: &Endpoint, call: &Outgoing) -> Result<(), CallError> {
        let (connection, response) = self.send(endpoint, call).await?;
        if response.status().is_redirection() {
            return Err(CallError::Moved { endpoint: endpoint.clone() });
        }
        if response.status().is_success() {
            let drained = self.limit(endpoint, answer::drain(response)).await?;
            if drained {
                self.keep(connection);
            }
            return Ok(());
        }
        let read = answer::refusal(endpoint, call, &self.config.auth, response);
        Err(self.limit(endpoint, read).await?)
    }

    /// Sends by an idle connection or, if there is none or it turns out to be closed, by a new one.
    async fn send(
        &self,
        endpoint: &Endpoint,
        call: &Outgoing,
    ) -> Result<(Connection, Response<Incoming>), CallError> {
        while let Some(mut connection) = self.idle(&endpoint.address) {
            let request = self.request(endpoint, call);
            let sent = self.limit(endpoint, connection.sender.try_send_request(request)).await?;
            let mut error = match sent {
                Ok(response) => return Ok((connection, response)),
                Err(error) => error,
            };
            // The request comes back only if nothing of it was sent: no call is made twice.
            if error.take_message().is_none() {
                return Err(answer::broken(endpoint, error.into_error()));
            }
        }
        let mut connection = self.connect(endpoint).await?;
        let request = self.request(endpoint, call);
        let sent = self.limit(endpoint, connection.send(request)).await?;
        Ok((connection, sent.map_err(|error| answer::broken(endpoint, error))?))
    }

    /// Opens a connection on which nothing is spoken yet.
    pub async fn transport(&self, endpoint: &Endpoint) -> Result<Box<dyn ByteStream>, CallError> {
        let limit = self.config.connect_timeout;
        let address = &endpoint.address;
        let transport = || self.config.connector.connect(address);
        let connecting = match (endpoint.scheme, &self.config.tls) {
            (Scheme::Http, _) => transport(),
            (Scheme::Https, Some(tls)) => secured(tls, &address.host, transport()),
            (Scheme::Https, None) => {
                let source =
                    std::io::Error::new(std::io::ErrorKind::InvalidInput, "https:// needs Config::tls");
                return Err(CallError::Connect { address: address.clone(), source });
            }
        };
        let connecting = timeout(limit, connecting).await;
        connecting
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|source| CallError::Connect { address: address.clone(), source })
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, CallError> {
        let address = &endpoint.address;
        let io = self.transport(endpoint).await?;
        let handshake = http1::handshake::<_, Body>(TokioIo::new(io)).await;
        let (sender, connection) = handshake.map_err(|error| {
            let source = std::io::Error::other(error);
            CallError::Connect { address: address.clone(), source }
        })?;
        let driver = tokio::spawn(async move {
            let ended = connection.await;
            if let Err(error) = &ended {
                tracing::trace!(%error, "connection ended");
            }
            ended
        });
        Ok(Connection { address: address.clone(), sender, driver })
    }

    /// All of a request up to the value of its Content-Length, the last of the headers.
    pub fn head(&self, endpoint: &Endpoint, stream_id: &HeaderValue) -> Bytes {
        let call = Outgoing { name: "", body: Bytes::new(), stream_id: Some(stream_id.clone()) };
        let request = self.request(endpoint, &call);
        let mut head = format!("POST {} HTTP/1.1\r\n", request.uri()).into_bytes();
        for (name, value) in request.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"content-length: ");
        head.into()
    }

    fn request(&self, endpoint: &Endpoint, call: &Outgoing) -> Request<Body> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = Method::POST;
        // A path that cannot be one becomes `/`, and the peer will refuse it.
        *request.uri_mut() = Uri::try_from(endpoint.path.as_str()).unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(endpoint.address.to_string()) {
            headers.insert(HOST, host);
        }
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(ACCEPT, PROTOBUF);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mesos-rs/", env!("CARGO_PKG_VERSION"))));
        if let Some(auth) = self.config.auth.header() {
            headers.insert(AUTHORIZATION, auth);
        }
        if let Some(id) = &call.stream_id {
            headers.insert(STREAM_ID, id.clone());
        }
        request
    }

    async fn limit<T>(&self, endpoint: &Endpoint, work: impl Future<Output = T>) -> Result<T, CallError> {
        let after = self.config.call_timeout;
        timeout(after, work).await.map_err(|_| CallError::Timeout { endpoint: endpoint.clone(), after })
    }

    fn idle(&self, address: &HostPort) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.sender.is_closed() && connection.address == *address);
        idle.pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }
}
