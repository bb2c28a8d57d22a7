//! What an answer means.

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, LOCATION, SERVER};
use hyper::{Response, StatusCode};

use super::{Outgoing, PROTOBUF};
use crate::address::{AddressError, Endpoint};
use crate::auth::Auth;
use crate::error::{CallError, Refusal};

/// As much of an error's text as is worth reading, in bytes.
pub(super) const MAX_MESSAGE: usize = 4096;
/// Stands for a message that is not there.
const NO_TEXT: &str = "no text";

/// An answer that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub server: Option<String>,
    /// The start of the body.
    pub body: Vec<u8>,
    /// Whether the peer takes no further calls on this connection.
    pub closes: bool,
}

/// Whether the answer to SUBSCRIBE is a stream of events.
pub(super) fn is_stream(response: &Response<Incoming>) -> bool {
    response.headers().get(CONTENT_TYPE) == Some(&PROTOBUF)
}

/// Where a redirect leads.
pub(super) fn redirected(endpoint: &Endpoint, response: &Response<Incoming>) -> Result<Endpoint, CallError> {
    let location = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let target = match location {
        Some(location) => endpoint.redirected(&location),
        None => Err(AddressError::Redirect(String::new())),
    };
    target.map_err(|source| CallError::Redirect { endpoint: endpoint.clone(), source })
}

/// An exchange that hyper gave up.
pub(super) fn broken(endpoint: &Endpoint, source: hyper::Error) -> CallError {
    if source.is_parse() {
        let found = format!("its answer is not HTTP ({source})");
        return CallError::NotMesos { endpoint: endpoint.clone(), found };
    }
    CallError::Broken { endpoint: endpoint.clone(), source: source.into() }
}

/// Reads an answer of no interest to its end, so that the connection can be used again. Not if it is long.
pub(super) async fn drain(response: Response<Incoming>) -> bool {
    Limited::new(response.into_body(), MAX_MESSAGE).collect().await.is_ok()
}

/// What an answer means that is not the one hoped for.
pub(super) async fn refusal(
    endpoint: &Endpoint,
    call: &Outgoing,
    auth: &Auth,
    response: Response<Incoming>,
) -> CallError {
    let received = Received {
        status: response.status(),
        content_type: header(&response, CONTENT_TYPE),
        server: header(&response, SERVER),
        body: start_of_body(response).await,
        closes: false,
    };
    meaning(endpoint, call, auth, &received)
}

/// What an answer means that is not the one hoped for, once it was read.
pub(crate) fn meaning(endpoint: &Endpoint, call: &Outgoing, auth: &Auth, received: &Received) -> CallError {
    let Received { status, content_type, server, body, .. } = received;
    let (status, message) = (*status, one_line(&String::from_utf8_lossy(body)));
    let endpoint = endpoint.clone();
    if status.is_success() {
        let found = format!("HTTP {status}, {}, to {}: {message}", describe(content_type), call.name);
        return CallError::NotMesos { endpoint, found };
    }
    // How Mesos answers while it starts; as always without a Server header.
    let starting = status == StatusCode::NOT_FOUND
        && server.is_none()
        && matches!(message.as_str(), "404 Not Found." | NO_TEXT);
    // What is in front of a master may have had enough for now.
    let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if starting || busy || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        return CallError::NotReady { endpoint, status: status.as_u16(), message };
    }
    if is_html(content_type) || status == StatusCode::NOT_FOUND || !status.is_client_error() {
        let found = format!("HTTP {status}, {}: {message}", describe(content_type));
        return CallError::NotMesos { endpoint, found };
    }
    let refusal = kind(status, call, auth, &message);
    CallError::Refused { endpoint, call: call.name, status: status.as_u16(), message, refusal }
}

/// The status is not enough: 400 and 403 also say that the other side has lost or replaced the subscription.
fn kind(status: StatusCode, call: &Outgoing, auth: &Auth, message: &str) -> Refusal {
    let bad_request = status == StatusCode::BAD_REQUEST;
    let unknown = bad_request && message.ends_with("cannot be found");
    // An agent takes all below /api/v1 for its operators' API.
    let wrong_api = bad_request && message == "Failed to parse body into a protobuf object";
    let replaced = bad_request && message.contains("stream ID") || message.contains("is not subscribed");
    match status {
        StatusCode::UNAUTHORIZED => match auth {
            Auth::None => Refusal::CredentialsNeeded,
            Auth::Basic { .. } => Refusal::CredentialsWrong,
            Auth::Bearer(_) => Refusal::TokenWrong,
        },
        _ if replaced || unknown && call.stream_id.is_some() => Refusal::NotSubscribed,
        _ if unknown => Refusal::Disowned,
        StatusCode::FORBIDDEN => Refusal::Forbidden,
        StatusCode::BAD_REQUEST if wrong_api => Refusal::WrongApi,
        StatusCode::BAD_REQUEST => Refusal::Malformed,
        StatusCode::CONFLICT => Refusal::Conflict,
        StatusCode::NOT_ACCEPTABLE | StatusCode::UNSUPPORTED_MEDIA_TYPE => Refusal::MediaType,
        _ => Refusal::Other,
    }
}

fn header(response: &Response<Incoming>, name: hyper::header::HeaderName) -> Option<String> {
    response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn is_html(content_type: &Option<String>) -> bool {
    content_type.as_deref().is_some_and(|it| it.starts_with("text/html"))
}

fn describe(content_type: &Option<String>) -> &str {
    content_type.as_deref().unwrap_or("of no stated type")
}

async fn start_of_body(response: Response<Incoming>) -> Vec<u8> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    // Whatever comes before an end of any kind is good enough.
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() >= MAX_MESSAGE {
            break;
        }
    }
    bytes
}

/// At most 200 characters, white space as single blanks.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => NO_TEXT.to_owned(),
        None => line,
    }
}
