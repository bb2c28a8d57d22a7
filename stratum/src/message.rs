//! The envelope: one line of JSON is a call (a request or a notification) or a response.
//!
//! Reading is tolerant where pools differ. A line is a call if it names a method, whatever its id: pools put null,
//! random and huge ids on notifications, and some a `jsonrpc` member. Ids are kept as they were spelled, so that an
//! answer echoes them exactly. Writing is strict: the form every pool and miner is known to read.

mod answer;
mod field;
mod notification;
mod notify;
mod request;

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;

pub use answer::{ConfigureAnswer, SubscribeAnswer};
pub use notification::{Notification, Reconnect};
pub use notify::Notify;
pub use request::{Authorize, Configure, Request, Submit, Subscribe};

use crate::share::{Reason, Verdict};
use crate::text::printable;

/// One line, in either direction.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A request or a notification.
    Call(Call),
    /// The answer to a request.
    Response(Response),
}

/// A method called by the other side. Whether it wants an answer depends on the method, not on the id.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// [`Id::Null`] in proper notifications.
    pub id: Id,
    /// `mining.notify` and the like.
    pub method: String,
    /// Positional parameters. A value that is no array is taken as the only parameter.
    pub params: Vec<Value>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The request's id.
    pub id: Id,
    /// Null where there is none.
    pub result: Value,
    /// Set if the request failed. An answer with `result: false` may have none.
    pub error: Option<Reason>,
}

/// The `id` member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// Null or absent.
    Null,
    /// What well-behaved clients use, and ours.
    Number(u64),
    /// Anything else, as the JSON text its sender wrote.
    Other(String),
}

impl Id {
    /// The number of one of our own requests. Pools that keep ids as strings or floats return 7 as `"7"` or `7.0`.
    pub fn as_number(&self) -> Option<u64> {
        match self {
            Id::Null => None,
            Id::Number(number) => Some(*number),
            Id::Other(text) => {
                let digits = text.trim_matches('"');
                digits.strip_suffix(".0").unwrap_or(digits).parse().ok()
            }
        }
    }

    fn from_raw(raw: Option<&RawValue>) -> Id {
        match raw.map(RawValue::get) {
            None | Some("null") => Id::Null,
            // JSON allows neither a plus nor leading zeros: writing the number gives back the same text.
            Some(text) => text.parse().map_or_else(|_| Id::Other(text.to_owned()), Id::Number),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Null => f.write_str("null"),
            Id::Number(number) => write!(f, "{number}"),
            Id::Other(text) => f.write_str(text),
        }
    }
}

/// A line or a field that could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The line is no JSON object of the expected form.
    #[error("not a Stratum message: {line:?}")]
    Json {
        /// The line's beginning.
        line: String,
        /// What the parser found.
        #[source]
        source: serde_json::Error,
    },
    /// The line has neither method nor id.
    #[error("neither a call nor an answer: {line:?}")]
    Shapeless {
        /// The line's beginning.
        line: String,
    },
    /// A field that can't be done without is absent or null.
    #[error("{method} without {field}")]
    Missing {
        /// The method whose call or answer it is.
        method: &'static str,
        /// The field's name in this crate.
        field: &'static str,
    },
    /// A field holds something else than it should.
    #[error("{method} with {field} {value}, expected {expected}")]
    Invalid {
        /// The method whose call or answer it is.
        method: &'static str,
        /// The field's name in this crate.
        field: &'static str,
        /// The value's JSON, cut if long.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    /// ckpool puts its reason here, beside `result: false` and `error: null`.
    #[serde(rename = "reject-reason")]
    reject_reason: Option<Value>,
}

impl Message {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// Fails for anything but a JSON object with a method or an id. The connection itself is still fine then.
    pub fn from_line(line: &str) -> Result<Message, MessageError> {
        let envelope: Envelope<'_> = serde_json::from_str(line)
            .map_err(|source| MessageError::Json { line: printable(line), source })?;
        // serde takes an array for the members in their order.
        if !line.trim_start().starts_with('{') {
            return Err(MessageError::Shapeless { line: printable(line) });
        }
        let id = Id::from_raw(envelope.id);
        // Some pools repeat the method in the answer.
        let is_answer = envelope.params.is_none() && (envelope.result.is_some() || envelope.error.is_some());
        if let Some(method) = envelope.method.filter(|_| !is_answer) {
            let params = match envelope.params {
                None => Vec::new(),
                Some(Value::Array(params)) => params,
                Some(other) => vec![other],
            };
            return Ok(Message::Call(Call { id, method, params }));
        }
        if id == Id::Null && !is_answer {
            return Err(MessageError::Shapeless { line: printable(line) });
        }
        let result = envelope.result.unwrap_or_default();
        let error = envelope.error.as_ref().and_then(Reason::from_json);
        let error = match envelope.reject_reason {
            Some(Value::String(text)) if error.is_none() && result != true => Some(Reason::from_text(&text)),
            _ => error,
        };
        Ok(Message::Response(Response { id, result, error }))
    }

    /// Writes the line, without its line end.
    pub fn to_line(&self) -> String {
        let (id, value) = match self {
            Message::Call(call) => (&call.id, json!({"method": call.method, "params": call.params})),
            Message::Response(answer) => {
                let error = answer.error.as_ref().map(Reason::to_json);
                (&answer.id, json!({"result": answer.result, "error": error}))
            }
        };
        // An id may be a number that serde_json can't hold: it is written as it was read.
        let members = value.to_string();
        format!("{{\"id\":{id},{}", members.strip_prefix('{').unwrap_or(&members))
    }
}

impl From<Call> for Message {
    fn from(call: Call) -> Message {
        Message::Call(call)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}

impl Response {
    /// A successful answer.
    pub fn ok(id: Id, result: impl Into<Value>) -> Response {
        Response { id, result: result.into(), error: None }
    }

    /// A failure. Shares that are refused, too, are answered so.
    pub fn error(id: Id, reason: Reason) -> Response {
        Response { id, result: Value::Null, error: Some(reason) }
    }

    /// Reads this as the answer to a submit. Only `result: true` without an error accepts a share; `result: false`
    /// with `error: null` refuses it.
    pub fn verdict(&self) -> Verdict {
        match (&self.error, &self.result) {
            (Some(reason), _) => Verdict::Rejected(reason.clone()),
            (None, Value::Bool(true)) => Verdict::Accepted,
            (None, Value::Bool(false)) => Verdict::Rejected(Reason::new(Reason::OTHER, "")),
            (None, other) => Verdict::Rejected(Reason::new(Reason::OTHER, &format!("answered {other}"))),
        }
    }

    /// The reason if this refuses a request for which any result but `false` means success.
    pub fn refusal(&self) -> Option<Reason> {
        let refused = || (self.result == false).then(|| Reason::new(Reason::OTHER, ""));
        self.error.clone().or_else(refused)
    }
}
