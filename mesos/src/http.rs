//! Calls as HTTP requests, and event streams as their responses.
//!
//! An event stream has a connection to itself, because Mesos would write the response of a second call into the middle
//! of the stream. Calls use other connections, which stay open for later calls.

mod pipelined;
mod response;
mod response_reader;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::pipelined::{ConnectionEvent, PipelinedConnection};
pub(crate) use self::response::CallContext;
use crate::address::{Endpoint, HostPort};
use crate::config::Config;
use crate::connect;
use crate::error::CallError;
use crate::v1;

/// The media type of every message that this crate sends.
pub(crate) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// The header with the id of the subscription that a scheduler's call belongs to.
pub(crate) const STREAM_ID: &str = "mesos-stream-id";

const MAX_REDIRECTS: usize = 5;
/// Maximum number of idle connections that stay open for later calls.
const MAX_IDLE: usize = 4;

type Body = Full<Bytes>;

/// A call that is encoded for sending. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct EncodedCall {
    name: &'static str,
    pub(crate) body: Bytes,
}

impl EncodedCall {
    /// The name of the call's type, such as `ACCEPT`.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl From<&v1::scheduler::Call> for EncodedCall {
    fn from(call: &v1::scheduler::Call) -> Self {
        Self { name: call.r#type().as_str_name(), body: call.encode_to_vec().into() }
    }
}

impl From<&v1::executor::Call> for EncodedCall {
    fn from(call: &v1::executor::Call) -> Self {
        Self { name: call.r#type().as_str_name(), body: call.encode_to_vec().into() }
    }
}

/// An event stream that has begun.
pub(crate) struct OpenStream {
    /// The peer that sends the stream, after all redirects.
    pub endpoint: Endpoint,
    pub response: Response<Incoming>,
    pub connection: StreamConnection,
}

/// The answer to SUBSCRIBE.
enum StreamAnswer {
    Opened(Box<OpenStream>),
    /// Another peer is to be asked.
    Redirect(Endpoint),
}

/// The connection of an event stream. Dropping it closes the connection.
pub(crate) struct StreamConnection {
    address: HostPort,
    sender: SendRequest<Body>,
    driver: JoinHandle<Result<(), hyper::Error>>,
}

impl StreamConnection {
    async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        match self.sender.send_request(request).await {
            // The connection ended before the request was written, for instance because a TLS 1.3 peer demands a
            // client certificate and refuses the client only after the handshake. The connection's own error names the cause.
            Err(error) if error.is_canceled() => match (&mut self.driver).await {
                Ok(Err(cause)) => Err(cause),
                _ => Err(error),
            },
            result => result,
        }
    }
}

impl fmt::Debug for StreamConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamConnection({})", self.address)
    }
}

impl Drop for StreamConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends the encoded calls of schedulers and executors over HTTP.
#[derive(Debug)]
pub(crate) struct Http {
    pub config: Config,
    idle: Mutex<Vec<(HostPort, PipelinedConnection<()>)>>,
}

impl Http {
    pub fn new(config: Config) -> Self {
        Self { config, idle: Mutex::default() }
    }

    /// Opens an event stream. Follows redirects to the leading master.
    pub async fn subscribe(&self, start: &Endpoint, call: &EncodedCall) -> Result<OpenStream, CallError> {
        let (mut endpoint, mut redirecting) = (start.clone(), None);
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask_for_stream(&endpoint, call).await;
            let answer = answer.map_err(|error| match redirecting.take() {
                Some(from) => response::redirected(from, &endpoint, error),
                None => error,
            });
            match answer? {
                StreamAnswer::Opened(stream) => return Ok(*stream),
                StreamAnswer::Redirect(target) => {
                    tracing::debug!(leader = %target.address, "redirected");
                    redirecting = Some(std::mem::replace(&mut endpoint, target));
                }
            }
        }
        Err(CallError::TooManyRedirects { endpoint, count: MAX_REDIRECTS })
    }

    /// Sends SUBSCRIBE to this endpoint alone.
    async fn ask_for_stream(
        &self,
        endpoint: &Endpoint,
        call: &EncodedCall,
    ) -> Result<StreamAnswer, CallError> {
        let mut connection = self.stream_connection(endpoint).await?;
        let request = self.request(endpoint, call.body.clone(), None);
        let sent = self.limit(endpoint, connection.send(request)).await?;
        let response = sent.map_err(|error| response::send_error(endpoint, error))?;
        if response.status().is_redirection() {
            return response::redirect_target(endpoint, &response).map(StreamAnswer::Redirect);
        }
        if response.status() == StatusCode::OK && response::is_stream(&response) {
            let endpoint = endpoint.clone();
            return Ok(StreamAnswer::Opened(Box::new(OpenStream { endpoint, response, connection })));
        }
        let response = self.limit(endpoint, response::read(response)).await?;
        Err(self.context(endpoint, call.name, false).error(&response))
    }

    /// Sends a call and waits for its response. Uses an idle connection, or opens one.
    pub async fn call(
        &self,
        endpoint: &Endpoint,
        call: &EncodedCall,
        stream_id: Option<&HeaderValue>,
    ) -> Result<(), CallError> {
        let head = self.head(endpoint, stream_id);
        let context = self.context(endpoint, call.name, stream_id.is_some());
        loop {
            let mut connection = match self.idle_connection(&endpoint.address) {
                Some(connection) => connection,
                None => PipelinedConnection::over(connect::open(&self.config, endpoint).await?),
            };
            connection.push((), &head, &call.body);
            match self.limit(endpoint, connection.next_event()).await? {
                ConnectionEvent::Response((), response) => {
                    self.keep(&endpoint.address, connection);
                    return context.result(&response);
                }
                // The peer had closed the idle connection before anything of the call was sent. Try another connection.
                ConnectionEvent::NotSent(_) => {}
                ConnectionEvent::NotOpened(_, error) => return Err(error),
                ConnectionEvent::Broken(_, source) => return Err(context.broken(source)),
                ConnectionEvent::Malformed(_, error) => {
                    return Err(CallError::NotMesos { endpoint: endpoint.clone(), found: error.to_string() });
                }
            }
        }
    }

    /// The context that the meaning of a response depends on.
    pub fn context<'a>(
        &'a self,
        endpoint: &'a Endpoint,
        call: &'static str,
        has_stream_id: bool,
    ) -> CallContext<'a> {
        CallContext { endpoint, call, auth: &self.config.auth, has_stream_id }
    }

    async fn stream_connection(&self, endpoint: &Endpoint) -> Result<StreamConnection, CallError> {
        let address = endpoint.address.clone();
        let io = connect::open(&self.config, endpoint).await?;
        let (sender, connection) = match http1::handshake::<_, Body>(TokioIo::new(io)).await {
            Ok(connected) => connected,
            Err(error) => return Err(CallError::Connect { address, source: std::io::Error::other(error) }),
        };
        Ok(StreamConnection { address, sender, driver: tokio::spawn(connection) })
    }

    /// The beginning of a request. Ends with `content-length: `, so that the caller appends that header's value and the body.
    pub fn head(&self, endpoint: &Endpoint, stream_id: Option<&HeaderValue>) -> Bytes {
        let request = self.request(endpoint, Bytes::new(), stream_id);
        let mut head = format!("POST {} HTTP/1.1\r\n", request.uri()).into_bytes();
        for (name, value) in request.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"content-length: ");
        head.into()
    }

    fn request(&self, endpoint: &Endpoint, body: Bytes, stream_id: Option<&HeaderValue>) -> Request<Body> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        // An invalid path becomes `/`, and the peer refuses the call.
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
        if let Some(id) = stream_id {
            headers.insert(STREAM_ID, id.clone());
        }
        request
    }

    async fn limit<T>(&self, endpoint: &Endpoint, work: impl Future<Output = T>) -> Result<T, CallError> {
        let after = self.config.call_timeout;
        timeout(after, work).await.map_err(|_| CallError::Timeout { endpoint: endpoint.clone(), after })
    }

    fn idle_connection(&self, address: &HostPort) -> Option<PipelinedConnection<()>> {
        let mut idle = self.idle();
        idle.retain(|(to, connection)| to == address && !connection.is_stale());
        idle.pop().map(|(_, connection)| connection)
    }

    fn keep(&self, address: &HostPort, connection: PipelinedConnection<()>) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE && connection.is_open() {
            idle.push((address.clone(), connection));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(HostPort, PipelinedConnection<()>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
