//! The settings of a client.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Auth;
use crate::recordio;
use crate::tls::Tls;

/// How a client behaves. The defaults fit a local network.
#[derive(Debug, Clone)]
pub struct Config {
    /// The credentials that every call carries.
    pub auth: Auth,
    /// Time limit for opening a connection, including the lookup of its host name. Default: 5 s.
    pub connect_timeout: Duration,
    /// Time limit for the response to a call, or for the head of the response to SUBSCRIBE. Default: 15 s.
    pub call_timeout: Duration,
    /// Maximum length of an event in bytes. Default: 1 GiB; memory is allocated only for bytes that have arrived.
    pub record_limit: usize,
    /// A stream is assumed to be dead after this many missed heartbeats. Default: 5.
    pub missed_heartbeats: u32,
    /// A Unix domain socket to use instead of TCP, for executors whose agent has one. TCP is used if the file does not exist,
    /// and for `https://` endpoints. Default: `None`.
    pub domain_socket: Option<PathBuf>,
    /// The TLS settings for `https://` endpoints. `None`, the default, makes connections to such endpoints fail.
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(15),
            record_limit: recordio::DEFAULT_LIMIT,
            missed_heartbeats: 5,
            domain_socket: None,
            tls: None,
        }
    }
}
