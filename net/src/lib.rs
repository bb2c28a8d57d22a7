//! Connections: TCP with a time limit, through a SOCKS5 proxy, made secure by TLS, and how long to wait before the next
//! try. Knows of no protocol that is spoken over them.
//!
//! - [`dial`]: from a host and a port to a stream of bytes;
//! - [`host_port`]: the host and port of an address;
//! - [`mod@listen`]: listening sockets;
//! - [`proxy`]: a SOCKS5 proxy and the credentials for it;
//! - [`tls`]: whom to trust, and who we are; [`fingerprint`] for servers that no authority vouches for;
//! - [`backoff`]: jittered pauses between tries.

pub mod backoff;
pub mod dial;
pub mod fingerprint;
pub mod host_port;
pub mod listen;
pub mod proxy;
pub mod tls;

pub use backoff::Backoff;
pub use dial::{DialError, DialOptions, Dialer, Io};
pub use fingerprint::Fingerprint;
pub use host_port::{HostPort, HostPortError, percent_decode};
pub use listen::{ListenError, all_interfaces, listen};
pub use proxy::Proxy;
pub use tls::{Tls, Trust};
