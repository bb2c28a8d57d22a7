//! Addresses of masters and agents.

use std::fmt;

pub use net::HostPort;
use net::{HostPortError, hide_credentials};

/// A master's port if the address does not name one.
pub const DEFAULT_MASTER_PORT: u16 = 5050;

/// Why a text is not an address. Each message shows the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text, or an address between two commas, is empty.
    #[error("an empty address; expected HOST:PORT")]
    Empty,
    /// The host is neither a name, nor an IPv4 address, nor an IPv6 address in brackets.
    #[error("{0:?} has no valid host; expected HOST:PORT, an IPv6 address in brackets: [::1]:5050")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} has no valid port; expected HOST:PORT with a port from 1 to 65535")]
    Port(String),
    /// A `zk://` address does not name a node.
    #[error(
        "{0:?} has no valid path; expected zk://HOST:PORT,HOST:PORT/PATH, as in the masters' option --zk"
    )]
    ZooKeeperPath(String),
    /// A `zk://` address has an `@` without valid credentials before it. The message does not show the address.
    #[error("no USER:PASSWORD before the @; expected zk://USER:PASSWORD@HOST:PORT,HOST:PORT/PATH")]
    ZooKeeperCredentials,
    /// A `zk://` address in a list of addresses.
    #[error("{0:?}: zk:// must stand alone; several ZooKeeper servers are zk://HOST:PORT,HOST:PORT/PATH")]
    ZooKeeperInList(String),
    /// A list with both `https://` and `http://` addresses.
    #[error("{0:?}: either all masters of a list are https:// or none")]
    MixedSchemes(String),
    /// An unknown scheme.
    #[error("{0:?}: unknown scheme {scheme}://; expected HOST:PORT, http://, https:// or zk://HOST:PORT/PATH", scheme = scheme(.0))]
    Scheme(String),
    /// A redirect without a valid target.
    #[error("{0:?} is not a valid redirect target")]
    Redirect(String),
}

fn scheme(text: &str) -> &str {
    text.split("://").next().unwrap_or_default()
}

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Parses `HOST:PORT`, or `HOST` alone if there is a default port.
pub(crate) fn parse_host_port(text: &str, default_port: Option<u16>) -> Result<HostPort, AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    HostPort::parse(text, default_port).map_err(|error| match error {
        HostPortError::Host(_) => AddressError::Host(hide_credentials(text)),
        HostPortError::NoPort | HostPortError::Port(_) => AddressError::Port(hide_credentials(text)),
    })
}

/// The URL that calls are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The scheme of the URL.
    pub scheme: Scheme,
    /// The host and port.
    pub address: HostPort,
    /// The path, with the leading slash.
    pub path: String,
}

impl Endpoint {
    /// The endpoint that a `Location` header names: `//HOST:PORT/PATH` as Mesos writes it, a full URL, or a path on the
    /// same server. A redirect from TLS to plain HTTP is refused, because it would expose secrets.
    ///
    /// # Errors
    /// When the header has another form.
    pub fn redirected(&self, location: &str) -> Result<Self, AddressError> {
        let error = || AddressError::Redirect(location.to_owned());
        let (scheme, rest) = match location.split_once("//") {
            Some(("", rest)) => (self.scheme, rest),
            Some(("https:", rest)) => (Scheme::Https, rest),
            Some(("http:", rest)) if self.scheme == Scheme::Http => (Scheme::Http, rest),
            _ if location.starts_with('/') => {
                return Ok(Self { path: location.to_owned(), ..self.clone() });
            }
            _ => return Err(error()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        // As in every URL, the default port depends on the scheme.
        let port = if scheme == Scheme::Https { 443 } else { 80 };
        let address = parse_host_port(authority, Some(port)).map_err(|_| error())?;
        let path = if path.is_empty() { self.path.clone() } else { path.to_owned() };
        Ok(Self { scheme, address, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.address, self.path)
    }
}

#[cfg(test)]
mod tests;
