//! The two encodings of the API, and how a request chooses between them.

mod json;

use crate::http::{Request, header};
use mesos::v1::{executor, scheduler};
use prost::Message;

/// A message with its fields' names, which the JSON encoding needs.
pub trait NamedMessage: Message + Default {
    /// The message's fields.
    const FIELDS: json::table::Message;
}

macro_rules! named {
    ($($kind:ty = $fields:ident),* $(,)?) => {
        $(impl NamedMessage for $kind { const FIELDS: json::table::Message = json::table::$fields; })*
    };
}

named! {
    scheduler::Call = SCHEDULER_CALL,
    scheduler::Event = SCHEDULER_EVENT,
    executor::Call = EXECUTOR_CALL,
    executor::Event = EXECUTOR_EVENT,
}

/// An encoding of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

impl Encoding {
    /// The media type of the encoding.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// Encodes a message.
    pub fn encode<T: NamedMessage>(self, message: &T) -> Vec<u8> {
        match self {
            Self::Protobuf => message.encode_to_vec(),
            Self::Json => to_json(message),
        }
    }

    /// Decodes a message.
    ///
    /// # Errors
    /// With Mesos' message if `bytes` are malformed.
    pub fn decode<T: NamedMessage>(self, bytes: &[u8]) -> Result<T, String> {
        match self {
            Self::Protobuf => {
                T::decode(bytes).map_err(|_| "Failed to parse body into Call protobuf".to_owned())
            }
            Self::Json => from_json(bytes),
        }
    }
}

fn to_json<T: NamedMessage>(message: &T) -> Vec<u8> {
    json::to_json(T::FIELDS, &message.encode_to_vec()).unwrap_or_else(|error| {
        tracing::error!(%error, kind = std::any::type_name::<T>(), "a message has no JSON form");
        Vec::new()
    })
}

fn from_json<T: NamedMessage>(text: &[u8]) -> Result<T, String> {
    // JSON is converted in two steps, because text that is not JSON is refused differently from JSON that is not a Call.
    let value =
        serde_json::from_slice(text).map_err(|error| format!("Failed to parse body into JSON: {error}"))?;
    let convert = |error: String| format!("Failed to convert JSON into Call protobuf: {error}");
    let bytes = json::from_json(T::FIELDS, &value).map_err(|error| convert(error.to_string()))?;
    T::decode(bytes.as_slice()).map_err(|error| convert(error.to_string()))
}

/// Returns the encoding that the answer must have, and the request's message.
///
/// # Errors
/// If the request is refused. The error is the HTTP status (405, 400, 415 or 406) and the message that Mesos sends.
pub fn read<T: NamedMessage>(request: &Request) -> Result<(Encoding, T), (u16, String)> {
    let refuse = |status: u16, reason: &str| Err((status, reason.to_owned()));
    if request.method() != hyper::Method::POST {
        let received = request.method();
        let expecting = "405 Method Not Allowed. Expecting one of { 'POST' }";
        return Err((405, format!("{expecting}, but received '{received}'.")));
    }
    let given = match header(request, "content-type") {
        Some("application/json") => Encoding::Json,
        Some("application/x-protobuf") => Encoding::Protobuf,
        Some(_) => {
            return refuse(415, "Expecting 'Content-Type' of application/json or application/x-protobuf");
        }
        None => return refuse(400, "Expecting 'Content-Type' to be present"),
    };
    let message = given.decode(request.body()).map_err(|fault| (400, fault))?;
    match accepted(header(request, "accept")) {
        Some(encoding) => Ok((encoding, message)),
        None => refuse(406, "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"),
    }
}

/// The encoding that an Accept header allows. JSON takes precedence if both are allowed.
fn accepted(accept: Option<&str>) -> Option<Encoding> {
    let Some(accept) = accept else { return Some(Encoding::Json) };
    let types: Vec<&str> =
        accept.split(',').map(|part| part.split(';').next().unwrap_or(part).trim()).collect();
    let allows = |encoding: Encoding| {
        types.iter().any(|kind| matches!(*kind, "*/*" | "application/*") || *kind == encoding.content_type())
    };
    [Encoding::Json, Encoding::Protobuf].into_iter().find(|encoding| allows(*encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_wins_where_both_are_allowed() {
        assert_eq!(accepted(None), Some(Encoding::Json));
        assert_eq!(accepted(Some("*/*")), Some(Encoding::Json));
        assert_eq!(accepted(Some("application/x-protobuf, application/json")), Some(Encoding::Json));
        assert_eq!(accepted(Some("application/x-protobuf;q=0.5")), Some(Encoding::Protobuf));
        assert_eq!(accepted(Some("text/html")), None);
    }

    #[test]
    fn json_is_mesos_json() {
        let text = br#"{"type":"ACKNOWLEDGE","framework_id":{"value":"f"},"revive":null,"future":1,
            "acknowledge":{"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"AAEC"}}"#;
        let call: scheduler::Call = Encoding::Json.decode(text).unwrap();
        assert_eq!(call.acknowledge.as_ref().unwrap().uuid, [0, 1, 2]);
        let again: serde_json::Value = serde_json::from_slice(&Encoding::Json.encode(&call)).unwrap();
        assert_eq!(again["framework_id"]["value"], "f");
        assert_eq!(again["acknowledge"]["uuid"], "AAEC");
        assert_eq!(again["type"], "ACKNOWLEDGE");
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        for text in ["{", "[]", r#"{"framework_id":{"value":7}}"#] {
            assert!(Encoding::Json.decode::<scheduler::Call>(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Encoding::Protobuf.decode::<scheduler::Call>(b"{}").is_err());
        // An unknown enum name counts as absent, as in Mesos.
        let call: scheduler::Call = Encoding::Json.decode(br#"{"type":"revive"}"#).unwrap();
        assert_eq!(call.r#type, None);
    }
}
