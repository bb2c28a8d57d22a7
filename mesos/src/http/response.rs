//! The meaning of responses to calls.

use std::error::Error;
use std::fmt::Display;
use std::io;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, LOCATION, SERVER};
use hyper::{Response, StatusCode};
use net::tls::Failure;

use super::PROTOBUF;
use crate::address::{AddressError, Endpoint, Scheme};
use crate::auth::Auth;
use crate::error::{CallError, Refusal};

/// Maximum number of bytes kept of a response's body; an error message needs no more.
pub(super) const MAX_MESSAGE: usize = 4096;
/// Shown in place of a peer's error message that is empty.
const NO_TEXT: &str = "no text";

/// A response that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallResponse {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub server: Option<String>,
    /// The start of the body.
    pub body: Vec<u8>,
    /// Whether the peer accepts no more calls on this connection.
    pub closes: bool,
}

/// Whether the response to SUBSCRIBE is an event stream.
pub(super) fn is_stream(response: &Response<Incoming>) -> bool {
    response.headers().get(CONTENT_TYPE) == Some(&PROTOBUF)
}

/// The target of a redirect.
pub(super) fn redirect_target(
    endpoint: &Endpoint,
    response: &Response<Incoming>,
) -> Result<Endpoint, CallError> {
    let target = match header(response, LOCATION) {
        Some(location) => endpoint.redirected(&location),
        None => Err(AddressError::Redirect(String::new())),
    };
    target.map_err(|source| CallError::BadRedirect { endpoint: endpoint.clone(), source })
}

/// The error of a call at the target of a redirect.
pub(super) fn redirected(from: Endpoint, to: &Endpoint, source: CallError) -> CallError {
    // Through a redirect to the same address, the error names the peer already.
    if from.address == to.address {
        return source;
    }
    CallError::Redirected { from: from.address, to: to.address.clone(), source: Box::new(source) }
}

/// The error of a request that hyper could not complete.
pub(super) fn send_error(endpoint: &Endpoint, source: hyper::Error) -> CallError {
    let endpoint = endpoint.clone();
    if source.is_parse() {
        return CallError::NotMesos { endpoint, found: not_http(source) };
    }
    let cause = source.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.and_then(|cause| refused_by_tls(&endpoint, cause)) {
        Some(refused) => return refused,
        None if cause.is_some_and(|cause| Failure::of(cause).is_some()) => {
            return CallError::Broken { endpoint, source: source.into() };
        }
        None => {}
    }
    // The connection is in plain text, and the peer speaks TLS.
    match cause.filter(|cause| cause.kind() == io::ErrorKind::InvalidData) {
        Some(cause) => CallError::NotMesos { endpoint, found: not_http(cause) },
        None => CallError::Broken { endpoint, source: source.into() },
    }
}

/// The error of a connection whose server refuses this client by TLS. With TLS 1.3, the refusal arrives after the handshake.
fn refused_by_tls(endpoint: &Endpoint, error: &io::Error) -> Option<CallError> {
    let failure = Failure::of(error).filter(|failure| matches!(failure, Failure::Refused(_)))?;
    let source = io::Error::new(error.kind(), failure.clone());
    Some(CallError::Connect { address: endpoint.address.clone(), source })
}

/// The message about a response that is not HTTP.
pub(super) fn not_http(why: impl Display) -> String {
    format!("its answer is not HTTP ({why})")
}

/// Reads a response other than an event stream.
pub(super) async fn read(response: Response<Incoming>) -> CallResponse {
    let status = response.status();
    let (content_type, server) = (header(&response, CONTENT_TYPE), header(&response, SERVER));
    let (mut incoming, mut body) = (response.into_body(), Vec::new());
    // An error while reading the body does not matter: the beginning of the body is enough for a message.
    while let Some(Ok(frame)) = incoming.frame().await {
        if let Some(data) = frame.data_ref() {
            body.extend_from_slice(data);
        }
        if body.len() >= MAX_MESSAGE {
            break;
        }
    }
    CallResponse { status, content_type, server, body, closes: false }
}

fn header(response: &Response<Incoming>, name: HeaderName) -> Option<String> {
    response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// What must be known about a call to understand its response.
pub(crate) struct CallContext<'a> {
    pub endpoint: &'a Endpoint,
    /// The name of the call's type.
    pub call: &'static str,
    pub auth: &'a Auth,
    /// Whether the call belongs to a scheduler's subscription.
    pub has_stream_id: bool,
}

impl CallContext<'_> {
    /// Whether the peer accepted the call.
    pub fn result(&self, response: &CallResponse) -> Result<(), CallError> {
        if response.status.is_success() {
            return Ok(());
        }
        if response.status.is_redirection() {
            return Err(CallError::NotLeading { endpoint: self.endpoint.clone() });
        }
        Err(self.error(response))
    }

    /// The error of a call whose connection ended before the response.
    pub fn broken(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> CallError {
        let source = source.into();
        let refused = source.downcast_ref().and_then(|error| refused_by_tls(self.endpoint, error));
        refused.unwrap_or_else(|| CallError::Broken { endpoint: self.endpoint.clone(), source })
    }

    /// Converts an unexpected response to an error.
    pub fn error(&self, response: &CallResponse) -> CallError {
        let CallResponse { status, server, body, .. } = response;
        let content_type = response.content_type.as_deref().unwrap_or("of no stated type");
        let (status, text) = (*status, String::from_utf8_lossy(body));
        let message = match status {
            // A proxy in front of the master answers with a page for browsers.
            StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => one_line(&without_tags(&text)),
            _ => one_line(&text),
        };
        let endpoint = self.endpoint.clone();
        if status.is_success() {
            let found = format!("HTTP {status}, {content_type}, to {}: {message}", self.call);
            return CallError::NotMesos { endpoint, found };
        }
        // A master or agent that is starting sends a 404 with one of these texts. A response with a Server header is not from
        // Mesos.
        let starting = status == StatusCode::NOT_FOUND
            && server.is_none()
            && matches!(message.as_str(), "404 Not Found." | NO_TEXT);
        // An overloaded proxy in front of the master sends one of these statuses.
        let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if starting || busy || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            return CallError::NotReady { endpoint, status: status.as_u16(), message };
        }
        if status == StatusCode::BAD_REQUEST && endpoint.scheme == Scheme::Http && expects_tls(&message) {
            let found = format!("it speaks TLS on that port: use https:// (HTTP {status}: {message})");
            return CallError::NotMesos { endpoint, found };
        }
        // A page for browsers is not from Mesos. But with 401, a proxy in front of the master may ask for credentials.
        let is_page = content_type.starts_with("text/html") && status != StatusCode::UNAUTHORIZED;
        if is_page || status == StatusCode::NOT_FOUND || !status.is_client_error() {
            let found = format!("HTTP {status}, {content_type}: {message}");
            return CallError::NotMesos { endpoint, found };
        }
        let refusal = self.refusal(status, &message);
        CallError::Refused { endpoint, call: self.call, status: status.as_u16(), message, refusal }
    }

    /// The kind of a refusal. The status alone does not show it: 400 and 403 can also mean that the peer has lost or replaced the
    /// subscription.
    fn refusal(&self, status: StatusCode, message: &str) -> Refusal {
        let bad_request = status == StatusCode::BAD_REQUEST;
        let unknown = bad_request && message.ends_with("cannot be found");
        // An agent cannot parse a call of the scheduler's API, because it expects calls of its own operator API.
        let wrong_api = bad_request && message == "Failed to parse body into a protobuf object";
        let replaced = bad_request && message.contains("stream ID") || message.contains("is not subscribed");
        match status {
            StatusCode::UNAUTHORIZED => match self.auth {
                Auth::None => Refusal::CredentialsNeeded,
                Auth::Basic { .. } => Refusal::CredentialsWrong,
                Auth::Bearer(_) => Refusal::TokenWrong,
            },
            _ if replaced || unknown && self.has_stream_id => Refusal::NotSubscribed,
            _ if unknown => Refusal::UnknownExecutor,
            StatusCode::FORBIDDEN => Refusal::Forbidden,
            StatusCode::BAD_REQUEST if wrong_api => Refusal::WrongApi,
            StatusCode::BAD_REQUEST => Refusal::Malformed,
            StatusCode::CONFLICT => Refusal::Conflict,
            StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => Refusal::MediaType,
            _ => Refusal::Other,
        }
    }
}

/// Whether a server says that it got plain HTTP on a port for TLS. nginx, Apache, Go and HAProxy have their own words for it, which
/// all name HTTPS.
fn expects_tls(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["https", "ssl-enabled"].iter().any(|word| message.contains(word))
}

/// The text of a page without its tags.
fn without_tags(page: &str) -> String {
    let parts = page.split('<').enumerate();
    // The first part is before the first tag.
    parts.map(|(i, part)| if i == 0 { part } else { part.split_once('>').map_or("", |(_, text)| text) }).fold(
        String::new(),
        |mut text, part| {
            text.push(' ');
            text.push_str(part);
            text
        },
    )
}

/// The first 200 characters, with each run of white space replaced by one space.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => NO_TEXT.to_owned(),
        None => line,
    }
}
