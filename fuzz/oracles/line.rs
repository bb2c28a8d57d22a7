//! Reads lines of arbitrary bytes in two pieces, and compares the messages with the result of serde_json.

use futures_util::FutureExt;
use serde_json::Value;
use stratum::{Id, Message, ReadError, Reader, Response};
use tokio::io::AsyncReadExt;

/// Maximum length of a line in bytes. It is short, so that some lines of the input are too long.
const LIMIT: usize = 512;

/// Checks one input. The first byte of `data` is the position at which the other bytes are split into two pieces.
pub fn check(data: &[u8]) {
    let Some((at, bytes)) = data.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*at).min(bytes.len()));
    let mut reader = Reader::new(first.chain(second), LIMIT);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        for expected in check_line(line) {
            let read = reader.read().now_or_never().expect("reading from memory never waits");
            match (read, expected) {
                (Ok(Some(message)), Ok(Some(expected))) => assert_eq!(message, expected),
                // Nothing more can be read.
                (Err(error), Err(expected)) if error.is_fatal() => {
                    return assert_eq!(error.to_string(), expected.to_string());
                }
                (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string()),
                (read, expected) => panic!("{read:?}, but alone {expected:?}"),
            }
        }
    }
    assert!(matches!(reader.read().now_or_never(), Some(Ok(None))), "more than the lines");
}

/// What a reader reads that gets only this line.
fn check_line(line: &[u8]) -> Vec<Result<Option<Message>, ReadError>> {
    let mut reader = Reader::new(line, LIMIT);
    let mut all = Vec::new();
    loop {
        match reader.read().now_or_never().expect("reading from memory never waits") {
            Ok(None) => break,
            Err(error) if error.is_fatal() => {
                let body = line.strip_suffix(b"\n").unwrap_or(line);
                match error {
                    ReadError::TooLong { .. } => assert!(body.len() > LIMIT),
                    ReadError::Truncated { bytes } => assert_eq!(bytes, line.len()),
                    error => panic!("{error}"),
                }
                all.push(Err(error));
                break;
            }
            read => all.push(read),
        }
    }
    let text = String::from_utf8_lossy(line);
    let is_object = serde_json::from_str::<Value>(&text).is_ok_and(|json| json.is_object());
    match &all[..] {
        [Ok(Some(message))] if is_object => check_message(message, &text),
        [_] => {}
        other => assert!(!is_object, "an object was read as {other:?}"),
    }
    all
}

fn check_message(message: &Message, line: &str) {
    let json: Value = serde_json::from_str(line).expect("a message is JSON");
    match message {
        Message::Call(call) => {
            assert_eq!(json["method"], call.method.as_str());
            match &json["params"] {
                Value::Array(params) => assert_eq!(*params, call.params),
                Value::Null => assert!(call.params.is_empty()),
                other => assert_eq!(std::slice::from_ref(other), call.params),
            }
        }
        Message::Response(response) => {
            assert_eq!(json["result"], response.result);
            // `from_line` may refuse a response with a null id that `to_line` wrote, so such a response is not written.
            if matches!(response, Response { id: Id::Null, .. }) {
                return;
            }
        }
    }
    let written = message.to_line();
    assert!(!written.contains('\n'), "{written:?}");
    assert_eq!(Message::from_line(&written).expect("our own"), *message, "{written}");
}
