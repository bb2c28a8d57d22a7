//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;
use tokio::net::TcpListener;

/// The system refuses a listening socket: the port is in use, or the address does not belong to this machine.
#[derive(Debug, Error)]
#[error("cannot listen on {addresses}")]
pub struct ListenError {
    /// The addresses, as text.
    pub addresses: String,
    /// The system's error.
    #[source]
    pub source: io::Error,
}

/// Listens on the first of these addresses that the system allows. Returns the actual address, too: for port 0 the system
/// chooses a free port.
///
/// # Errors
/// With the last error, if the system allows none of the addresses.
pub async fn listen(addresses: &[SocketAddr]) -> Result<(TcpListener, SocketAddr), ListenError> {
    let listening = async {
        let listener = TcpListener::bind(addresses).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listening.await.map_err(|source| {
        let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        ListenError { addresses, source }
    })
}

/// The wildcard addresses, which mean all addresses of this machine. A socket on the first one accepts IPv6 and IPv4
/// connections; the second one is for machines without IPv6.
pub fn all_interfaces(port: u16) -> [SocketAddr; 2] {
    [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
}
