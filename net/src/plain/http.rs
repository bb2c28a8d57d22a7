//! [`Plain`] connections for the HTTP client of `hyper_util`.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Plain;
use crate::resolve::HttpResolver;

/// Opens connections to `http://` servers. [`resolve`](fn@crate::resolve) resolves their names.
#[derive(Clone, Debug)]
pub struct PlainConnector {
    tcp: HttpConnector<HttpResolver>,
    advice: &'static str,
}

impl PlainConnector {
    /// A connector with a time limit for TCP, if any. If a connection is idle for the time `keepalive`, it is probed. `advice` says
    /// what to do if the server expects TLS.
    pub fn new(limit: Option<Duration>, keepalive: Option<Duration>, advice: &'static str) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(HttpResolver);
        tcp.set_connect_timeout(limit);
        tcp.set_nodelay(true);
        tcp.set_keepalive(keepalive);
        Self { tcp, advice }
    }
}

impl Service<Uri> for PlainConnector {
    type Response = TokioIo<Plain<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, advice) = (self.tcp.call(uri), self.advice);
        Box::pin(async move { Ok(TokioIo::new(Plain::new(connecting.await?.into_inner(), advice))) })
    }
}

impl Connection for Plain<TcpStream> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}
