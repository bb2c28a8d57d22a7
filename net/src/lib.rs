//! Connections: listening sockets, TCP with a time limit, SOCKS5 proxies and TLS, and the delays between attempts. This crate
//! is independent of the protocols that run over the connections.
//!
//! - [`address`]: host and port, and other parts of addresses;
//! - [`mod@listen`]: listening sockets;
//! - [`dial`]: outgoing connections; [`mod@resolve`]: the addresses of names;
//! - [`proxy`]: a SOCKS5 proxy and the credentials for it;
//! - [`node_url`]: the address of a Bitcoin node's JSON-RPC, and its cookie file;
//! - [`plain`]: connections without TLS, with advice if the peer expects it;
//! - [`tls`]: TLS clients and servers; [`fingerprint`]: certificate pinning;
//! - [`backoff`]: delays between attempts.

pub mod address;
pub mod backoff;
pub mod dial;
pub mod fingerprint;

pub mod listen;
pub mod node_url;
pub mod plain;
pub mod proxy;
pub mod resolve;
pub mod tls;

pub use address::{HostPort, HostPortError, hide_credentials, percent_decode};
pub use backoff::Backoff;
pub use dial::{ByteStream, DialError, DialOptions, Dialer};
pub use fingerprint::Fingerprint;
pub use listen::{ListenError, all_interfaces, listen};
pub use node_url::{NodeUrl, NodeUrlError, read_cookie};
pub use plain::{Plain, PlainConnector};
pub use proxy::Proxy;
pub use resolve::{ip_address, resolve};
pub use tls::{ServerTls, Tls, Trust};
