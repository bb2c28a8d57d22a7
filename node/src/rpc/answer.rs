//! What an answer says, in each node's dialect.
//!
//! Bitcoin Core gives errors an HTTP status of their own (404 for an unknown method, 500 for the rest); bcoin always
//! says 200. So the status counts for nothing where the body is JSON-RPC.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::text::one_line;

/// The JSON-RPC envelope. Versions 1 and 2 differ in members that we don't need.
#[derive(Deserialize)]
struct Envelope<T> {
    // Not Option::default by serde's own rules: that would ask for T: Default.
    #[serde(default = "none")]
    result: Option<T>,
    #[serde(default)]
    error: Value,
}

fn none<T>() -> Option<T> {
    None
}

/// What an answer turned out to be, if not the result.
#[derive(Debug)]
pub(super) enum Failure {
    /// Not JSON-RPC at all.
    NotJsonRpc,
    /// A result of another shape.
    Result(serde_json::Error),
    /// The node's own error.
    Refused { code: i64, message: String },
}

/// Reads the body of an answer.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    match serde_json::from_slice::<Envelope<T>>(body) {
        Ok(Envelope { error: Value::Null, result: Some(result) }) => Ok(result),
        // Where `null` is a result it must be said so: an answer without a result is none.
        Ok(Envelope { error: Value::Null, result: None }) => match members(body) {
            Some((_, true)) => T::deserialize(Value::Null).map_err(Failure::Result),
            _ => Err(Failure::NotJsonRpc),
        },
        Ok(Envelope { error, .. }) => Err(refused(error)),
        // Perhaps the result next to an error has no meaning.
        Err(source) => match members(body) {
            Some((Value::Null, true)) => Err(Failure::Result(source)),
            Some((error, _)) if !error.is_null() => Err(refused(error)),
            _ => Err(Failure::NotJsonRpc),
        },
    }
}

/// The error, and whether there is a result; none if this is no JSON object.
fn members(body: &[u8]) -> Option<(Value, bool)> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else { return None };
    Some((members.remove("error").unwrap_or_default(), members.contains_key("result")))
}

/// An error as an object, as it should be, or as whatever else.
fn refused(error: Value) -> Failure {
    let code = error.get("code").and_then(Value::as_i64).unwrap_or(0);
    let message = match error.get("message").unwrap_or(&error) {
        Value::String(text) => one_line(text),
        other => one_line(&other.to_string()),
    };
    Failure::Refused { code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> (i64, String) {
        match read::<String>(body.as_bytes()) {
            Err(Failure::Refused { code, message }) => (code, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_results() {
        assert_eq!(read::<u8>(br#"{"result":7,"error":null,"id":1}"#).unwrap(), 7);
        assert_eq!(read::<u8>(br#"{"jsonrpc":"2.0","result":7,"id":1}"#).unwrap(), 7);
        assert_eq!(read::<Option<String>>(br#"{"result":null,"error":null,"id":1}"#).unwrap(), None);
        let duplicate = read::<Option<String>>(br#"{"id":1,"result":"duplicate","error":null}"#).unwrap();
        assert_eq!(duplicate.as_deref(), Some("duplicate"));
    }

    #[test]
    fn reads_errors_of_every_dialect() {
        let core = r#"{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":1}"#;
        assert_eq!(refusal(core), (-28, "Loading block index…".into()));
        let bcoin = r#"{"result":null,"error":{"message":"Method not found: x.","code":-32601},"id":1}"#;
        assert_eq!(refusal(bcoin), (-32601, "Method not found: x.".into()));
        assert_eq!(refusal(r#"{"error":"no\nway"}"#), (0, "no way".into()));
        assert_eq!(refusal(r#"{"result":[1],"error":{"code":"x"}}"#), (0, r#"{"code":"x"}"#.into()));
    }

    #[test]
    fn tells_nonsense_from_another_result() {
        for body in ["", "<html>", "[]", "7", "{}", r#"{"error":null}"#, "Work queue depth exceeded"] {
            assert!(matches!(read::<Option<String>>(body.as_bytes()), Err(Failure::NotJsonRpc)), "{body}");
        }
        assert!(matches!(read::<u8>(br#"{"result":"x","error":null}"#), Err(Failure::Result(_))));
        assert!(matches!(read::<u8>(br#"{"result":null,"error":null}"#), Err(Failure::Result(_))));
    }
}
