//! [`resolve`] for the HTTP client of `hyper_util`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::resolve;

/// Resolves the names of an `HttpConnector`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpResolver;

impl Service<Name> for HttpResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        // The connector sets the port.
        Box::pin(async move { resolve(name.as_str(), 0).await.map(Vec::into_iter) })
    }
}
