//! Addresses of pools: `[stratum+tcp://]HOST:PORT`.

use std::fmt;
use std::str::FromStr;

use net::{HostPort, HostPortError};
use thiserror::Error;

use crate::domain::same_domain;
use crate::message::Reconnect;
use crate::text::printable;

/// The address of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolUrl {
    /// The transport.
    pub scheme: Scheme,
    /// Host and port.
    pub address: HostPort,
}

/// The transport of a connection to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP: `stratum+tcp`, or no scheme.
    Tcp,
    /// TLS over TCP: `stratum+ssl`, `stratum+tls` or `stratum+tcps`.
    Ssl,
}

impl Scheme {
    /// All spellings of the schemes in pool addresses.
    const SPELLINGS: [(&str, Scheme); 4] = [
        ("stratum+tcp", Scheme::Tcp),
        ("stratum+ssl", Scheme::Ssl),
        ("stratum+tls", Scheme::Ssl),
        ("stratum+tcps", Scheme::Ssl),
    ];

    /// Whether the connection uses TLS.
    pub fn is_secure(self) -> bool {
        self == Scheme::Ssl
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Tcp => "stratum+tcp",
            Scheme::Ssl => "stratum+ssl",
        }
    }
}

/// Why the address of a pool is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolUrlError {
    /// The scheme is not supported.
    #[error(
        "unknown scheme {scheme:?} in pool address {url:?}: use stratum+tcp://HOST:PORT or stratum+ssl://HOST:PORT"
    )]
    Scheme {
        /// The text before `://`.
        scheme: String,
        /// The whole address, without a user.
        url: String,
    },
    /// The host or the port is missing or malformed.
    #[error("pool address {url:?}: {error}")]
    Address {
        /// The whole address, without a user.
        url: String,
        /// The error in the host or the port.
        error: HostPortError,
    },
    /// The address contains a user, perhaps with a password.
    #[error("a user in pool address {url:?}: give user and password separately")]
    User {
        /// The address without user and password.
        url: String,
    },
}

impl FromStr for PoolUrl {
    type Err = PoolUrlError;

    fn from_str(text: &str) -> Result<Self, PoolUrlError> {
        // The error must not repeat a password in the address.
        let url = || printable(text.rsplit_once('@').map_or(text, |(_, address)| address));
        let (scheme, rest) = match text.trim().split_once("://") {
            None => (Scheme::Tcp, text.trim()),
            Some((name, rest)) => {
                let scheme = Scheme::SPELLINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                let scheme = scheme.map(|(_, scheme)| *scheme);
                (scheme.ok_or_else(|| PoolUrlError::Scheme { scheme: printable(name), url: url() })?, rest)
            }
        };
        if rest.contains('@') {
            return Err(PoolUrlError::User { url: url() });
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let address = authority.parse().map_err(|error| PoolUrlError::Address { url: url(), error })?;
        Ok(PoolUrl { scheme, address })
    }
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.address)
    }
}

impl PoolUrl {
    /// The address to which `client.reconnect` redirects us, or `None` if it is in another domain. This check prevents a pool,
    /// or an attacker in its place, from redirecting miners to a foreign pool.
    pub(crate) fn redirected(&self, reconnect: &Reconnect) -> Option<Self> {
        let host = match &reconnect.host {
            None => self.address.host.clone(),
            Some(host) => HostPort::parse_host(host)?,
        };
        let port = reconnect.port.unwrap_or(self.address.port);
        same_domain(&self.address.host, &host)
            .then_some(PoolUrl { scheme: self.scheme, address: HostPort { host, port } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PoolUrl, PoolUrlError> {
        text.parse()
    }

    fn tcp(host: &str, port: u16) -> Result<PoolUrl, PoolUrlError> {
        Ok(PoolUrl { scheme: Scheme::Tcp, address: HostPort { host: host.to_owned(), port } })
    }

    #[test]
    fn addresses() {
        assert_eq!(parse("pool.example:3333"), tcp("pool.example", 3333));
        assert_eq!(parse("stratum+tcp://pool.example:3333"), tcp("pool.example", 3333));
        assert_eq!(parse(" STRATUM+TCP://10.0.0.1:1/ "), tcp("10.0.0.1", 1));
        assert_eq!(parse("[::1]:65535"), tcp("::1", 65535));
        assert_eq!(parse("stratum+ssl://a:443").map(|url| url.scheme), Ok(Scheme::Ssl));
        for other in ["Stratum+TLS://a:443", "stratum+tcps://a:443"] {
            assert_eq!(parse(other), parse("stratum+ssl://a:443"));
        }
    }

    #[test]
    fn errors_name_the_value() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        let address_error = |text: &str| match parse(text) {
            Err(PoolUrlError::Address { error, .. }) => error,
            other => panic!("{text}: {other:?}"),
        };
        assert!(message("http://pool:80").contains(r#"unknown scheme "http""#));
        assert!(message("://pool:80").contains(r#"unknown scheme """#));
        for text in ["pool", "stratum+tcp://pool", "[::1]", "[::1", ""] {
            assert!(matches!(address_error(text), HostPortError::NoPort | HostPortError::Host(_)), "{text}");
        }
        for text in ["pool:", "pool:0", "pool:65536", "pool:+1", "pool:33/x", "pool:x"] {
            assert!(matches!(address_error(text), HostPortError::Port(_)), "{text}");
        }
        for text in [":3333", "::1:3333", "[pool]:3333", "po ol:3333", "a/b:3333"] {
            assert!(matches!(address_error(text), HostPortError::Host(_)), "{text}");
        }
        for text in ["stratum+tcp://me:secret@pool:3333", "me:secret@pool:3333", "http://me:secret@pool:3333"]
        {
            let user = message(text);
            assert!(user.contains("pool:3333") && !user.contains("secret"), "{user}");
        }
    }

    #[test]
    fn displayed_addresses_can_be_parsed() {
        for text in ["stratum+tcp://pool.example:3333", "stratum+ssl://[2001:db8::1]:443"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_reconnect_keeps_the_parts_that_it_does_not_name() {
        let url = parse("stratum+ssl://eu.pool.com:443").unwrap();
        let to = |host: Option<&str>, port| {
            let reconnect = Reconnect { host: host.map(str::to_owned), port, ..Reconnect::default() };
            url.redirected(&reconnect).map(|url| url.to_string())
        };
        assert_eq!(to(None, None).as_deref(), Some("stratum+ssl://eu.pool.com:443"));
        assert_eq!(to(Some("us.pool.com"), Some(444)).as_deref(), Some("stratum+ssl://us.pool.com:444"));
        assert_eq!(to(Some("evil.com"), None), None);
        assert_eq!(to(Some("x@pool.com"), None), None);
    }
}
