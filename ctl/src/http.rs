//! The connection to the scheduler's HTTP API.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use net::tls::TlsFiles;
use net::{ByteStream, HostPort, Tls, dial};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::request::Request;

/// How long a connection and its TLS may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take. The scheduler itself answers within 10 s.
const ANSWER: Duration = Duration::from_secs(20);
/// Maximum size of an answer, in bytes. A page of 1000 tasks is smaller.
const MAX_ANSWER: usize = 16 << 20;

/// The address of an HTTP API: `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl {
    /// Whether the connection is over TLS.
    pub secure: bool,
    /// Host and port.
    pub address: HostPort,
}

impl FromStr for ApiUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (secure, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err("write http://HOST:PORT or https://HOST:PORT".to_owned()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let port = if secure { 443 } else { 80 };
        let address = HostPort::parse(rest, Some(port)).map_err(|error| error.to_string())?;
        Ok(ApiUrl { secure, address })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }
}

/// The scheduler's answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub status: u16,
    /// The body; text that is no JSON is a string.
    pub body: Value,
}

/// A scheduler's HTTP API.
pub(crate) struct Server {
    url: ApiUrl,
    tls: Option<Tls>,
    token: Option<HeaderValue>,
}

impl Server {
    /// The server at `url`. `ca` has the authorities to trust; without it, the system's are trusted.
    ///
    /// # Errors
    /// If the authorities cannot be used.
    pub fn new(url: ApiUrl, ca: Option<&Path>, token: Option<String>) -> anyhow::Result<Self> {
        ensure!(url.secure || ca.is_none(), "--ca is for an https:// URL, but --url is {url}");
        let files = TlsFiles { ca_cert: ca.map(PathBuf::from), client: None };
        let tls = url.secure.then(|| Tls::from_files(&files)).transpose()?;
        let header = |token: String| {
            let mut header = HeaderValue::try_from(format!("Bearer {token}"))?;
            header.set_sensitive(true);
            Ok::<_, anyhow::Error>(header)
        };
        Ok(Server {
            tls: tls.map(|tls| tls.for_protocol("http/1.1")),
            token: token.map(header).transpose()?,
            url,
        })
    }

    /// Sends a request, and reads the answer.
    ///
    /// # Errors
    /// If there is no answer in time.
    pub async fn ask(&self, request: &Request) -> anyhow::Result<Answer> {
        let asking = async {
            let response = self.send(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| anyhow!("the answer breaks off: {error}"))?.to_bytes();
            let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
            anyhow::Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or_else(|_| text()) })
        };
        match timeout(ANSWER, asking).await {
            Ok(answer) => answer.with_context(|| self.url.to_string()),
            Err(_) => bail!("{}: no answer within {} s", self.url, ANSWER.as_secs()),
        }
    }

    /// Sends a request on a connection of its own, and returns the answer with the body still to be read.
    ///
    /// # Errors
    /// If there is no connection, or it breaks.
    pub async fn send(&self, request: &Request) -> anyhow::Result<Response<Incoming>> {
        let stream = timeout(CONNECT, self.connect()).await.context("no connection in time")??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends when the answer is read, and its error is that of the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender.send_request(self.http_request(request)?).await?)
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn ByteStream>> {
        let HostPort { host, port } = &self.url.address;
        let stream = dial::tcp(host, *port).await.context("cannot connect (is it the address of --http?)")?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => {
                Ok(Box::new(tls.secure(host, stream).await.context("cannot secure the connection")?))
            }
        }
    }

    fn http_request(&self, request: &Request) -> anyhow::Result<HttpRequest<Full<Bytes>>> {
        let body = match (&request.body, request.method) {
            (Some(body), _) => body.to_string(),
            (None, "POST") => json!({}).to_string(),
            (None, _) => String::new(),
        };
        let mut http = HttpRequest::builder()
            .method(request.method)
            .uri(&request.path)
            .header(HOST, self.url.address.to_string())
            .header(ACCEPT, "application/json, text/event-stream");
        if !body.is_empty() {
            http = http.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            http = http.header(AUTHORIZATION, token);
        }
        Ok(http.body(Full::new(body.into()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let url = |text: &str| ApiUrl::from_str(text).map(|url| url.to_string());
        assert_eq!(url("http://127.0.0.1:8080/").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(url("https://[::1]").unwrap(), "https://[::1]:443");
        assert!(url("127.0.0.1:8080").unwrap_err().contains("http://HOST:PORT"));
        assert!(url("http://h:99999").is_err());
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_named() {
        let url: ApiUrl = "http://127.0.0.1:1".parse().unwrap();
        let server = Server::new(url, None, Some("secret".into())).unwrap();
        let request = Request { method: "GET", path: "/".into(), body: None };
        let error = format!("{:#}", server.ask(&request).await.unwrap_err());
        assert!(
            error.starts_with("http://127.0.0.1:1: cannot connect") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn authorities_are_for_tls() {
        let url = "http://127.0.0.1:1".parse().unwrap();
        assert!(Server::new(url, Some(Path::new("/x")), None).is_err());
    }
}
