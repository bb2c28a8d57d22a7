//! How a connection comes about. Replaceable, so that a domain socket, TLS or a test can take TCP's place.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

pub use net::ByteStream;
use tokio::net::UnixStream;

use crate::address::HostPort;
use crate::tls::Tls;

/// A connection in the making.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// Opens connections. The client sets the time limit.
pub trait Connect: Send + Sync {
    /// Opens one to that address.
    fn connect(&self, address: &HostPort) -> Connecting;
}

/// Plain TCP, names resolved by the system; all addresses of a name are tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect(&self, address: &HostPort) -> Connecting {
        let (host, port) = (address.host.clone(), address.port);
        Box::pin(async move {
            let stream = net::dial::tcp(&host, port).await?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

/// Secures a connection in the making.
pub(crate) fn secured(tls: &Tls, host: &str, transport: Connecting) -> Connecting {
    // Proxies might choose HTTP/2 otherwise.
    let (tls, host) = (tls.for_protocol("http/1.1"), host.to_owned());
    Box::pin(async move { Ok(Box::new(tls.secure(&host, transport.await?).await?) as Box<dyn ByteStream>) })
}

/// A Unix domain socket, for executors of an agent that has one; TCP as long as there is no such file.
#[derive(Debug, Clone)]
pub struct Domain(
    /// Where the socket is.
    pub PathBuf,
);

impl Connect for Domain {
    fn connect(&self, address: &HostPort) -> Connecting {
        let (path, tcp) = (self.0.clone(), Tcp.connect(address));
        Box::pin(async move {
            match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn ByteStream>),
                // An agent was seen to announce a socket that it had not made.
                Err(error) if error.kind() == io::ErrorKind::NotFound => tcp.await,
                Err(error) => Err(error),
            }
        })
    }
}
