//! Parses the answers of Bitcoin Core and of bcoin.
//!
//! Bitcoin Core sends errors with an HTTP status of their own (404 for an unknown method, 500 for all others); bcoin sends
//! them with 200. So the status is ignored if the body is JSON-RPC.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::text::one_line;

/// The JSON-RPC envelope. Versions 1 and 2 differ only in members that are not read here.
#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    #[serde(default)]
    error: Value,
}

/// Why an answer has no result.
#[derive(Debug)]
pub(super) enum AnswerError {
    /// The answer is not JSON-RPC.
    NotJsonRpc,
    /// The result does not have the expected shape.
    Result(serde_json::Error),
    /// The node reports an error.
    Refused { code: i64, message: String },
}

/// Parses the body of an answer.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AnswerError> {
    match serde_json::from_slice::<Envelope<T>>(body) {
        Ok(Envelope { error: Value::Null, result: Some(result) }) => Ok(result),
        // `null` may be the result, but an answer without the member `result` is not JSON-RPC.
        Ok(Envelope { error: Value::Null, result: None }) => match members(body) {
            Some((_, true)) => T::deserialize(Value::Null).map_err(AnswerError::Result),
            _ => Err(AnswerError::NotJsonRpc),
        },
        Ok(Envelope { error, .. }) => Err(refused(error)),
        // If the answer also has an error, the result may have any shape.
        Err(source) => match members(body) {
            Some((Value::Null, true)) => Err(AnswerError::Result(source)),
            Some((error, _)) if !error.is_null() => Err(refused(error)),
            _ => Err(AnswerError::NotJsonRpc),
        },
    }
}

/// The member `error`, and whether there is a member `result`; `None` if the body is not a JSON object.
fn members(body: &[u8]) -> Option<(Value, bool)> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(body) else { return None };
    Some((members.remove("error").unwrap_or_default(), members.contains_key("result")))
}

/// Reads an error. It should be an object with `code` and `message`, but any JSON value is accepted.
fn refused(error: Value) -> AnswerError {
    let code = error.get("code").and_then(Value::as_i64).unwrap_or(0);
    let message = match error.get("message").unwrap_or(&error) {
        Value::String(text) => one_line(text),
        other => one_line(&other.to_string()),
    };
    AnswerError::Refused { code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> (i64, String) {
        match parse::<String>(body.as_bytes()) {
            Err(AnswerError::Refused { code, message }) => (code, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_results() {
        assert_eq!(parse::<u8>(br#"{"result":7,"error":null,"id":1}"#).unwrap(), 7);
        assert_eq!(parse::<u8>(br#"{"jsonrpc":"2.0","result":7,"id":1}"#).unwrap(), 7);
        assert_eq!(parse::<Option<String>>(br#"{"result":null,"error":null,"id":1}"#).unwrap(), None);
        let duplicate = parse::<Option<String>>(br#"{"id":1,"result":"duplicate","error":null}"#).unwrap();
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
    fn tells_other_content_from_a_result_of_another_shape() {
        for body in ["", "<html>", "[]", "7", "{}", r#"{"error":null}"#, "Work queue depth exceeded"] {
            assert!(
                matches!(parse::<Option<String>>(body.as_bytes()), Err(AnswerError::NotJsonRpc)),
                "{body}"
            );
        }
        assert!(matches!(parse::<u8>(br#"{"result":"x","error":null}"#), Err(AnswerError::Result(_))));
        assert!(matches!(parse::<u8>(br#"{"result":null,"error":null}"#), Err(AnswerError::Result(_))));
    }
}
