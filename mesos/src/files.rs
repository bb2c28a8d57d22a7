//! Reads files in sandboxes through an agent's [files API](https://mesos.apache.org/documentation/latest/endpoints/files/read/),
//! which is not a part of the v1 API. It answers at the root of the agent's address, whatever the path in the agent's URL is.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::address::Endpoint;
use crate::config::Config;
use crate::connect;
use crate::error::CallError;

/// Maximum size of an answer beyond the bytes that were asked for, each of which takes at most six characters in JSON.
const ANSWER: usize = 4096;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file, or no such sandbox.
    #[error("the agent has no such file")]
    NotFound,
    /// HTTP status 401: the agent asks for credentials, or does not accept those that were sent.
    #[error("the agent asks for credentials (HTTP 401)")]
    Unauthenticated,
    /// HTTP status 403: the agent does not let this principal read sandboxes.
    #[error("the agent does not allow it (HTTP 403)")]
    Forbidden,
    /// No connection could be opened.
    #[error(transparent)]
    Connect(#[from] CallError),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// The answer was not the one of a files API.
    #[error("the agent's answer is not that of a files API: {0}")]
    Unexpected(String),
}

/// The end of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEnd {
    /// The text. Bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether the file has more before this text.
    pub is_cut: bool,
}

/// The virtual path of the latest sandbox of an executor, for which agents need not be asked where their work folder is. It leads
/// to a sandbox while the executor runs and after its end, until the agent removes the sandbox.
pub fn sandbox(framework: &str, executor: &str) -> String {
    format!("/frameworks/{framework}/executors/{executor}/runs/latest")
}

/// Reads the last `length` bytes of a file. Opens a connection of its own, with the credentials, the TLS settings and the
/// connection's time limit in `config`. There is no other time limit.
///
/// # Errors
/// If the file cannot be read.
pub async fn read_end(
    config: &Config,
    agent: &Endpoint,
    path: &str,
    length: usize,
) -> Result<FileEnd, FileError> {
    let io = connect::open(config, agent).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(FileError::Broken)?;
    let reading = async {
        let mut file = Reader { config, agent, path, sender: &mut sender, limit: ANSWER + 6 * length };
        // Without an offset, the answer has no data, and its offset is the size of the file.
        let size = file.read("").await?.offset;
        let offset = size.saturating_sub(length as u64);
        let Piece { data, .. } = file.read(&format!("&offset={offset}&length={length}")).await?;
        Ok(FileEnd { text: data, is_cut: offset > 0 })
    };
    tokio::pin!(connection);
    tokio::pin!(reading);
    tokio::select! {
        read = &mut reading => read,
        // If the agent closes the connection right after its answer, the answer is still to be read.
        _ = &mut connection => reading.await,
    }
}

/// One answer of the files API.
struct Piece {
    data: String,
    offset: u64,
}

/// The connection and the file to read over it.
struct Reader<'a> {
    config: &'a Config,
    agent: &'a Endpoint,
    path: &'a str,
    sender: &'a mut SendRequest<Full<Bytes>>,
    /// Maximum size of an answer in bytes.
    limit: usize,
}

impl Reader<'_> {
    async fn read(&mut self, query: &str) -> Result<Piece, FileError> {
        let request = self.request(query)?;
        let response = self.sender.send_request(request).await.map_err(FileError::Broken)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(FileError::NotFound),
            StatusCode::UNAUTHORIZED => return Err(FileError::Unauthenticated),
            StatusCode::FORBIDDEN => return Err(FileError::Forbidden),
            other => return Err(FileError::Unexpected(format!("HTTP {}", other.as_u16()))),
        }
        let body = Limited::new(response.into_body(), self.limit).collect().await;
        let body = body.map_err(|error| FileError::Unexpected(error.to_string()))?.to_bytes();
        piece(&body).ok_or_else(|| FileError::Unexpected("no data and offset".to_owned()))
    }

    fn request(&self, query: &str) -> Result<Request<Full<Bytes>>, FileError> {
        let target = format!("/files/read?path={}{query}", Escaped(self.path));
        let unexpected = |error: &dyn fmt::Display| FileError::Unexpected(error.to_string());
        let mut request = Request::new(Full::default());
        *request.uri_mut() = Uri::try_from(target).map_err(|error| unexpected(&error))?;
        let host = HeaderValue::try_from(self.agent.address.to_string());
        let headers = request.headers_mut();
        headers.insert(HOST, host.map_err(|error| unexpected(&error))?);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(auth) = self.config.auth.header() {
            headers.insert(AUTHORIZATION, auth);
        }
        Ok(request)
    }
}

/// Reads an answer such as `{"data":"text","offset":0}`.
fn piece(body: &[u8]) -> Option<Piece> {
    let answer: Value = serde_json::from_str(&String::from_utf8_lossy(body)).ok()?;
    Some(Piece { data: answer.get("data")?.as_str()?.to_owned(), offset: answer.get("offset")?.as_u64()? })
}

/// Shows a path as it may stand in a query: all but unreserved characters and slashes are percent-encoded.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                    write!(f, "{}", char::from(byte))?;
                }
                other => write!(f, "%{other:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use testing::http_peer::{HttpPeer, Reply};

    use super::*;
    use crate::address::{HostPort, Scheme};
    use crate::auth::Auth;

    /// An agent whose sandbox has one file with this text. Returns what was read, and the heads of the requests.
    async fn read(status: &'static str, text: &'static str) -> (Result<FileEnd, FileError>, Vec<String>) {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let peer = HttpPeer::start(move |request| {
            let number = |name: &str| {
                let (_, rest) = request.head.split_once(name)?;
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
            };
            let offset = number("&offset=").unwrap_or(text.len());
            let data = String::from_utf8_lossy(&text.as_bytes()[offset..]).into_owned();
            let body = serde_json::json!({"data": data, "offset": offset}).to_string();
            seen.lock().unwrap().push(request.head);
            Reply::Bytes(
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(),
            )
        })
        .await;
        let address = HostPort::from(peer.address);
        let agent = Endpoint { scheme: Scheme::Http, address, path: "/slave(1)".to_owned() };
        let config = Config { auth: Auth::basic("reader", "s3cret"), ..Config::default() };
        let read = read_end(&config, &agent, &format!("{}/stderr", sandbox("f-1", "w 1")), 5).await;
        let heads = heads.lock().unwrap().clone();
        (read, heads)
    }

    #[tokio::test]
    async fn the_end_of_a_file_is_read_with_the_credentials_and_the_virtual_path() {
        let (end, heads) = read("200 OK", "abcdefgh").await;
        assert_eq!(end.unwrap(), FileEnd { text: "defgh".into(), is_cut: true });
        let path = "/files/read?path=/frameworks/f-1/executors/w%201/runs/latest/stderr";
        assert!(heads[0].starts_with(&format!("get {path} http/1.1\r\n")), "{heads:?}");
        assert!(heads[1].starts_with(&format!("get {path}&offset=3&length=5 http/1.1\r\n")), "{heads:?}");
        assert!(heads.iter().all(|head| head.contains("authorization: basic ")), "{heads:?}");
        let (end, _) = read("200 OK", "abc").await;
        assert_eq!(end.unwrap(), FileEnd { text: "abc".into(), is_cut: false });
    }

    #[tokio::test]
    async fn refusals_and_other_answers_are_told_apart() {
        assert!(matches!(read("404 Not Found", "").await.0, Err(FileError::NotFound)));
        assert!(matches!(read("401 Unauthorized", "").await.0, Err(FileError::Unauthenticated)));
        assert!(matches!(read("403 Forbidden", "").await.0, Err(FileError::Forbidden)));
        assert!(matches!(read("503 Busy", "").await.0, Err(FileError::Unexpected(_))));
        assert!(piece(b"<html>").is_none() && piece(b"{\"data\":1,\"offset\":0}").is_none());
        assert_eq!(piece(b"{\"data\":\"a\xff\",\"offset\":1}").unwrap().data, "a\u{fffd}");
    }
}
