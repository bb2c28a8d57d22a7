//! How a pool's address is written: `[stratum+tcp://]HOST:PORT`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

use crate::domain::same_domain;
use crate::message::Reconnect;
use crate::text::printable;

/// A pool's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolUrl {
    /// How the pool is spoken to.
    pub scheme: Scheme,
    /// Host name or IP address; IPv6 without its brackets.
    pub host: String,
    /// TCP port, not 0.
    pub port: u16,
}

/// What carries the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `stratum+tcp`, also if no scheme is given: plain TCP.
    Tcp,
    /// `stratum+ssl`, also written `stratum+tls` or `stratum+tcps`: TLS over TCP.
    Ssl,
}

impl Scheme {
    /// As miners and pools write them.
    const SPELLINGS: [(&str, Scheme); 4] = [
        ("stratum+tcp", Scheme::Tcp),
        ("stratum+ssl", Scheme::Ssl),
        ("stratum+tls", Scheme::Ssl),
        ("stratum+tcps", Scheme::Ssl),
    ];

    /// Whether it is over TLS.
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

/// A pool's address that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolUrlError {
    /// The scheme is none that can be spoken.
    #[error(
        "unknown scheme {scheme:?} in pool address {url:?}: use stratum+tcp://HOST:PORT or stratum+ssl://HOST:PORT"
    )]
    Scheme {
        /// What stands before `://`.
        scheme: String,
        /// The whole address, but for a user.
        url: String,
    },
    /// There is no port.
    #[error("no port in pool address {url:?}: write HOST:PORT")]
    NoPort {
        /// The whole address, but for a user.
        url: String,
    },
    /// The port is no number from 1 to 65535.
    #[error("bad port {port:?} in pool address {url:?}: give a number from 1 to 65535")]
    Port {
        /// What stands for the port.
        port: String,
        /// The whole address, but for a user.
        url: String,
    },
    /// The host is empty or holds what no host name holds.
    #[error("bad host {host:?} in pool address {url:?}: give a name or an IP address, IPv6 in brackets")]
    Host {
        /// What stands for the host.
        host: String,
        /// The whole address, but for a user.
        url: String,
    },
    /// User and password don't belong here.
    #[error("a user in pool address {url:?}: give user and password on their own")]
    User {
        /// The address from behind the user, which may be followed by a password.
        url: String,
    },
}

impl FromStr for PoolUrl {
    type Err = PoolUrlError;

    fn from_str(text: &str) -> Result<PoolUrl, PoolUrlError> {
        // A password that somebody put into the address is not repeated.
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
        let (host, port) = split_authority(authority).ok_or_else(|| PoolUrlError::NoPort { url: url() })?;
        let host = read_host(host).ok_or_else(|| PoolUrlError::Host { host: printable(host), url: url() })?;
        let bad_port = || PoolUrlError::Port { port: printable(port), url: url() };
        // parse() would take a sign.
        let digits = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port =
            digits.and_then(|port| port.parse().ok()).filter(|port| *port != 0).ok_or_else(bad_port)?;
        Ok(PoolUrl { scheme, host, port })
    }
}

/// Splits at the colon before the port; a colon within brackets is part of the host.
fn split_authority(authority: &str) -> Option<(&str, &str)> {
    let (host, port) = authority.rsplit_once(':')?;
    (!port.contains(']')).then_some((host, port))
}

fn read_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| address.to_string());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(allowed)).then(|| host.to_owned())
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl PoolUrl {
    /// Where `client.reconnect` leads, or `None` if that is not this pool's: a pool (or whoever speaks in its place)
    /// can't give its miners away to another domain.
    pub(crate) fn redirected(&self, reconnect: &Reconnect) -> Option<PoolUrl> {
        let host = match &reconnect.host {
            None => self.host.clone(),
            Some(host) => {
                read_host(host).or_else(|| host.parse::<Ipv6Addr>().ok().map(|ip| ip.to_string()))?
            }
        };
        same_domain(&self.host, &host).then_some(PoolUrl {
            scheme: self.scheme,
            host,
            port: reconnect.port.unwrap_or(self.port),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PoolUrl, PoolUrlError> {
        text.parse()
    }

    fn tcp(host: &str, port: u16) -> Result<PoolUrl, PoolUrlError> {
        Ok(PoolUrl { scheme: Scheme::Tcp, host: host.to_owned(), port })
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
        assert!(message("http://pool:80").contains(r#"unknown scheme "http""#));
        assert!(message("://pool:80").contains(r#"unknown scheme """#));
        for text in ["pool", "stratum+tcp://pool", "[::1]", "[::1", ""] {
            assert!(
                matches!(parse(text), Err(PoolUrlError::NoPort { .. } | PoolUrlError::Host { .. })),
                "{text}"
            );
        }
        for text in ["pool:", "pool:0", "pool:65536", "pool:+1", "pool:33/x", "pool:x"] {
            assert!(matches!(parse(text), Err(PoolUrlError::Port { .. })), "{text}");
        }
        for text in [":3333", "::1:3333", "[pool]:3333", "po ol:3333", "a/b:3333"] {
            assert!(matches!(parse(text), Err(PoolUrlError::Host { .. })), "{text}");
        }
        for text in ["stratum+tcp://me:secret@pool:3333", "me:secret@pool:3333", "http://me:secret@pool:3333"]
        {
            let user = message(text);
            assert!(user.contains("pool:3333") && !user.contains("secret"), "{user}");
        }
    }

    #[test]
    fn display_is_read_back() {
        for text in ["stratum+tcp://pool.example:3333", "stratum+ssl://[2001:db8::1]:443"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn reconnect_keeps_what_it_does_not_name() {
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
