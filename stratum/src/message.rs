//! Messages: one line of JSON is a call (a request or a notification) or a response.
//!
//! Reading is tolerant where pools differ. A line with a method is a call, regardless of its id: some pools send
//! notifications with random or huge ids or with a `jsonrpc` member. An id keeps its spelling, so that the answer echoes
//! it exactly. Writing is strict: it uses the form that every known pool and miner can read.

mod answer;
mod field;
mod notification;
mod notify;
mod request;
mod salvage;

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use thiserror::Error;

pub use answer::{ConfigureAnswer, SubscribeAnswer};
pub use notification::{Notification, Reconnect};
pub use notify::Notify;
pub use request::{Authorize, Configure, Request, Submit, Subscribe};
pub(crate) use salvage::{find_id, is_blank, salvage};

use crate::share::Reason;
use crate::text::printable;

/// One line, in either direction.
#[derive(Clone, Debug, PartialEq, derive_more::From)]
pub enum Message {
    /// A request or a notification.
    Call(Call),
    /// The answer to a request.
    Response(Response),
}

/// A method called by the peer. Whether it expects an answer depends on the method, not on the id.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The id; [`Id::Null`] in proper notifications.
    pub id: Id,
    /// `mining.notify` and the like.
    pub method: String,
    /// Positional parameters. A value that is not an array counts as the only parameter.
    pub params: Vec<Value>,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The id of the request.
    pub id: Id,
    /// The result; null if there is none.
    pub result: Value,
    /// The reason for a failure. A failed request may also have `result: false` and no error.
    pub error: Option<Reason>,
}

/// The `id` member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Id {
    /// Null or absent.
    #[default]
    Null,
    /// A number, as most clients use, including ours.
    Number(u64),
    /// Any other value, as the JSON text that the sender wrote.
    Other(String),
}

impl Id {
    /// The id as a number. Pools that store ids as strings or floats return 7 as `"7"` or `7.0`.
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

    fn from_raw(raw: Option<&RawValue>) -> Self {
        match raw.map(RawValue::get) {
            None | Some("null") => Id::Null,
            // JSON allows neither a plus sign nor leading zeros, so writing the number gives the same text.
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
    /// The object is not JSON, or a member has the wrong type.
    #[error("not a Stratum message: {line:?}")]
    Json {
        /// The id of the request, as far as it can be read.
        id: Id,
        /// The beginning of the line.
        line: String,
        /// The error of the JSON parser.
        #[source]
        source: serde_json::Error,
    },
    /// The line has no object, or its object has neither method nor id.
    #[error("neither a call nor an answer: {line:?}")]
    Shapeless {
        /// The beginning of the line.
        line: String,
    },
    /// A key occurs twice, with two values.
    #[error("the key {key:?} occurs twice, with two values")]
    Ambiguous {
        /// The id of the request, as far as it can be read.
        id: Id,
        /// The key, cut if long.
        key: String,
    },
    /// A required field is absent or null.
    #[error("{method} without {field}")]
    Missing {
        /// The method of the call or answer.
        method: Box<str>,
        /// The name of the field.
        field: &'static str,
    },
    /// A field has an invalid value.
    #[error("{method} with {field} {value}, expected {expected}")]
    Invalid {
        /// The method of the call or answer.
        method: Box<str>,
        /// The name of the field.
        field: &'static str,
        /// The value as JSON, cut if long.
        value: String,
        /// A description of the valid values.
        expected: &'static str,
    },
}

impl MessageError {
    /// The id of the line that could not be read, [`Id::Null`] if it has none that can be read. `None` if the line could be read, but not
    /// a field.
    pub fn id(&self) -> Option<&Id> {
        match self {
            MessageError::Json { id, .. } | MessageError::Ambiguous { id, .. } => Some(id),
            MessageError::Shapeless { .. } => Some(&Id::Null),
            MessageError::Missing { .. } | MessageError::Invalid { .. } => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(expecting = "a message")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    /// ckpool puts its reason for a rejection here, in addition to `result: false` and `error: null`.
    #[serde(rename = "reject-reason")]
    reject_reason: Option<Value>,
}

impl Message {
    /// Reads a line that has one message. [`Reader`](crate::Reader) reads what this function refuses, as far as possible.
    ///
    /// # Errors
    ///
    /// If the line is not a JSON object with a method or an id. The connection remains usable.
    pub fn from_line(line: &str) -> Result<Self, MessageError> {
        // Serde reads a struct also from a JSON array of its fields' values, but a Stratum message is never an array.
        if !line.trim_start().starts_with('{') {
            return Err(MessageError::Shapeless { line: printable(line) });
        }
        let envelope: Envelope<'_> = serde_json::from_str(line).map_err(|source| MessageError::Json {
            id: Id::Null,
            line: printable(line),
            source,
        })?;
        let id = Id::from_raw(envelope.id);
        // Some pools repeat the method in the answer, so a line with a method is not always a call.
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

    /// Writes the message as a line, without the line end.
    pub fn to_line(&self) -> String {
        let (id, value) = match self {
            Message::Call(call) => (&call.id, json!({"method": call.method, "params": call.params})),
            Message::Response(answer) => {
                let error = answer.error.as_ref().map(Reason::to_json);
                (&answer.id, json!({"result": answer.result, "error": error}))
            }
        };
        // The id is inserted as the text that was read, because serde_json cannot represent every number.
        let members = value.to_string();
        format!("{{\"id\":{id},{}", members.strip_prefix('{').unwrap_or(&members))
    }
}

impl Response {
    /// A successful answer.
    pub fn ok(id: Id, result: impl Into<Value>) -> Self {
        Response { id, result: result.into(), error: None }
    }

    /// An answer that reports a failure, such as a rejected share.
    pub fn error(id: Id, reason: Reason) -> Self {
        Response { id, result: Value::Null, error: Some(reason) }
    }

    /// Reads the answer to `mining.submit`. Only `result: true` without an error accepts the share.
    ///
    /// # Errors
    ///
    /// The reason why the pool rejected the share.
    pub fn submit_result(&self) -> Result<(), Reason> {
        match (&self.error, &self.result) {
            (Some(reason), _) => Err(reason.clone()),
            (None, Value::Bool(true)) => Ok(()),
            (None, Value::Bool(false)) => Err(Reason::new(Reason::OTHER, "")),
            (None, other) => Err(Reason::new(Reason::OTHER, &format!("answered {other}"))),
        }
    }

    /// The reason why the pool refused the request; `None` if it accepted the request. Must be called only
    /// for requests for which any result except `false` means success.
    pub fn refusal(&self) -> Option<Reason> {
        let refused = || (self.result == false).then(|| Reason::new(Reason::OTHER, ""));
        self.error.clone().or_else(refused)
    }
}
