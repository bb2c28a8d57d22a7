//! Opens connections: over TCP, TLS or a Unix domain socket.

use std::io;
use std::path::Path;

use net::{ByteStream, Plain};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::address::{Endpoint, HostPort, Scheme};
use crate::config::Config;
use crate::error::CallError;

/// Opens a connection on which nothing has been sent yet.
pub(crate) async fn open(config: &Config, endpoint: &Endpoint) -> Result<Box<dyn ByteStream>, CallError> {
    if endpoint.scheme == Scheme::Https && config.tls.is_none() {
        return Err(CallError::NeedsTls { address: endpoint.address.clone() });
    }
    let connected = match timeout(config.connect_timeout, connect(config, endpoint)).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    connected.map_err(|source| CallError::Connect { address: endpoint.address.clone(), source })
}

async fn connect(config: &Config, endpoint: &Endpoint) -> io::Result<Box<dyn ByteStream>> {
    let address = &endpoint.address;
    match (endpoint.scheme, &config.tls) {
        (Scheme::Https, None) => Err(io::ErrorKind::InvalidInput.into()),
        (Scheme::Https, Some(tls)) => {
            // Offer only HTTP/1.1 during the TLS handshake, because a proxy might otherwise choose HTTP/2.
            let tls = tls.for_protocol("http/1.1");
            Ok(Box::new(tls.secure(&address.host, tcp(address).await?).await?))
        }
        (Scheme::Http, _) => match &config.domain_socket {
            Some(path) => domain_socket_or_tcp(path, address).await,
            None => plain(address).await,
        },
    }
}

async fn tcp(address: &HostPort) -> io::Result<Box<dyn ByteStream>> {
    Ok(Box::new(net::dial::tcp(&address.host, address.port).await?))
}

async fn plain(address: &HostPort) -> io::Result<Box<dyn ByteStream>> {
    Ok(Box::new(Plain::new(tcp(address).await?, "use https://")))
}

async fn domain_socket_or_tcp(path: &Path, address: &HostPort) -> io::Result<Box<dyn ByteStream>> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        // Some agents announce a domain socket that they have not created. Use TCP instead.
        Err(error) if error.kind() == io::ErrorKind::NotFound => plain(address).await,
        Err(error) => Err(error),
    }
}
