//! JSON-RPC over HTTP to a node, as bitcoin-cli does it: each call opens a connection and blocks. It shares no code with the
//! programs under test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Why a call has no result.
#[derive(Debug)]
pub enum CallError {
    /// No answer within the time limit, no connection, or not HTTP.
    NoAnswer(io::Error),
    /// An answer without JSON, such as that to a wrong password: the status line and the body.
    Http(String),
    /// The member `error` of the answer.
    Refused(Value),
}

/// Calls a method. `credentials` is `USER:PASSWORD`.
pub(crate) fn call(
    node: SocketAddr,
    credentials: &str,
    within: Duration,
    method: &str,
    params: &Value,
) -> Result<Value, CallError> {
    let body = json!({"jsonrpc": "1.0", "id": 0, "method": method, "params": params}).to_string();
    let answer = post(node, credentials, within, &body).map_err(CallError::NoAnswer)?;
    result(&answer)
}

/// Calls a method once for each of `params`, in a single request.
pub(crate) fn batch(
    node: SocketAddr,
    credentials: &str,
    within: Duration,
    method: &str,
    params: &[Value],
) -> Result<Vec<Value>, CallError> {
    let calls = params.iter().enumerate();
    let calls: Vec<Value> = calls
        .map(|(id, params)| json!({"jsonrpc": "1.0", "id": id, "method": method, "params": params}))
        .collect();
    let answer = post(node, credentials, within, &json!(calls).to_string()).map_err(CallError::NoAnswer)?;
    let (_, body) = split(&answer);
    let answers: Vec<Value> = serde_json::from_str(body).map_err(|_| CallError::Http(answer.clone()))?;
    answers.into_iter().map(unwrap).collect()
}

/// Sends a request, and returns the whole answer.
fn post(node: SocketAddr, credentials: &str, within: Duration, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&node, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let authorization = STANDARD.encode(credentials);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {node}\r\nAuthorization: Basic {authorization}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The status line and the body of an answer.
fn split(answer: &str) -> (&str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (head.lines().next().unwrap_or_default(), body)
}

fn result(answer: &str) -> Result<Value, CallError> {
    let (status, body) = split(answer);
    let parsed = serde_json::from_str(body).map_err(|_| CallError::Http(format!("{status}: {body}")))?;
    unwrap(parsed)
}

/// The result of an answer, or its error.
fn unwrap(mut answer: Value) -> Result<Value, CallError> {
    match answer["error"].take() {
        Value::Null => Ok(answer["result"].take()),
        error => Err(CallError::Refused(error)),
    }
}
