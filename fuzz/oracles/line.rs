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
    let mut lines = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !String::from_utf8_lossy(line).trim().is_empty());
    loop {
        let read = reader.read().now_or_never().expect("reading from memory never waits");
        let mut next = || lines.next().expect("no more messages than lines");
        match read {
            Ok(None) => return assert_eq!(lines.next(), None, "a line was left out"),
            Ok(Some(message)) => check_message(&message, &String::from_utf8_lossy(next())),
            Err(ReadError::Message(_)) => {
                next();
            }
            Err(ReadError::TooLong { .. }) => {
                // Split the bytes again, because `lines` leaves out lines of white space, which may be too long as well.
                return assert!(bytes.split(|byte| *byte == b'\n').any(|line| line.len() > LIMIT));
            }
            Err(ReadError::Truncated { bytes: rest }) => {
                let last = bytes.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
                return assert_eq!(rest, last.len());
            }
            Err(error) => panic!("{error}"),
        }
    }
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
