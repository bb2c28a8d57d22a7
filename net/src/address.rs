//! The parts that the addresses of all protocols share: host and port, credentials, percent-encoding.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// The longest host name (RFC 1035, section 3.1), in bytes.
const MAX_NAME: usize = 253;

/// A host and a TCP port; displayed as `pool.example:3333` or `[::1]:3333`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A host name or an IP address; an IPv6 address without its brackets, and perhaps with the network interface of a link-local
    /// address, as `fe80::1%eth0` (RFC 4007, section 11).
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// Why a text is not a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostPortError {
    /// The host is empty, or neither a name nor an IP address.
    #[error("bad host {0:?}: give a name or an IP address, IPv6 in brackets")]
    Host(String),
    /// The port is missing.
    #[error("no port: write HOST:PORT")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("bad port {0:?}: give a number from 1 to 65535")]
    Port(String),
}

impl HostPort {
    /// Parses `HOST:PORT`, or `HOST` alone if there is a default port. An IPv6 address must be in brackets.
    ///
    /// # Errors
    /// If the host or the port is missing or malformed.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, HostPortError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let bad_host = |host: &str| HostPortError::Host(host.to_owned());
                let (host, after) = rest.split_once(']').ok_or_else(|| bad_host(text))?;
                let address = ipv6(host).ok_or_else(|| bad_host(host))?;
                let port = (!after.is_empty()).then(|| after.strip_prefix(':').unwrap_or(""));
                (address, port)
            }
            None => {
                let (host, port) =
                    text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                (host_name(host).ok_or_else(|| HostPortError::Host(host.to_owned()))?, port)
            }
        };
        let port = match port {
            Some(port) => parse_port(port).ok_or_else(|| HostPortError::Port(port.to_owned()))?,
            None => default_port.ok_or(HostPortError::NoPort)?,
        };
        Ok(Self { host, port })
    }

    /// Parses a host alone: a name, or an IP address with or without brackets.
    pub fn parse_host(text: &str) -> Option<String> {
        let unbracketed = text.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        ipv6(unbracketed.unwrap_or(text)).or_else(|| host_name(text))
    }
}

/// Returns the text if it is a host name or an IPv4 address.
fn host_name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    ((1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)).then(|| text.to_owned())
}

/// Returns an IPv6 address in its shortest form, with the network interface if the text names one: `fe80::1%eth0`, or
/// `fe80::1%25eth0` as in URLs (RFC 6874).
fn ipv6(text: &str) -> Option<String> {
    let Some((address, zone)) = text.split_once('%') else {
        return text.parse().ok().map(|address: Ipv6Addr| address.to_string());
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
    host_name(zone).map(|zone| format!("{address}%{zone}"))
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would accept a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        Self::parse(text, None)
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Replaces any user and password in an address, which may be invalid: `zk://user:secret@host` becomes `zk://…@host`.
pub fn hide_credentials(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    format!("{scheme}…@{after}")
}

/// Decodes percent-encoded text (RFC 3986, section 2.1); `None` if a `%` is not followed by two hexadecimal digits, or
/// the result is not UTF-8.
pub fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_have_a_port_or_get_the_default() {
        for (text, shown) in [
            ("pool.example:3333", "pool.example:3333"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[2001:DB8:0::1]:65535", "[2001:db8::1]:65535"),
            ("a_b-c", "a_b-c:80"),
            ("[::1]", "[::1]:80"),
            ("[FE80:0::1%eth0.5]:1", "[fe80::1%eth0.5]:1"),
            ("[fe80::1%2]", "[fe80::1%2]:80"),
        ] {
            let parsed = HostPort::parse(text, Some(80)).unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(shown.parse(), Ok(parsed));
        }
        assert_eq!(HostPort::from(SocketAddr::from(([127, 0, 0, 1], 9))).to_string(), "127.0.0.1:9");
    }

    #[test]
    fn errors_name_the_bad_part() {
        let host = |text: &str| HostPortError::Host(text.to_owned());
        let port = |text: &str| HostPortError::Port(text.to_owned());
        for (text, error) in [
            ("", host("")),
            ("pool", HostPortError::NoPort),
            ("[::1]", HostPortError::NoPort),
            (":1", host("")),
            ("::1:1", host("::1")),
            ("[pool]:1", host("pool")),
            ("[::1", host("[::1")),
            ("po ol:1", host("po ol")),
            ("a/b:1", host("a/b")),
            ("pool:", port("")),
            ("pool:0", port("0")),
            ("pool:65536", port("65536")),
            ("pool:+1", port("+1")),
            ("pool:33/x", port("33/x")),
            ("[::1]1", port("")),
            ("[fe80::1%]:1", host("fe80::1%")),
            ("[fe80::1%a/b]:1", host("fe80::1%a/b")),
            ("[::1%eth0%1]:1", host("::1%eth0%1")),
            ("10.0.0.1%eth0:1", host("10.0.0.1%eth0")),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
        }
        assert!(format!("{}:1", "x".repeat(254)).parse::<HostPort>().is_err());
    }

    #[test]
    fn hosts_alone_need_no_brackets() {
        assert_eq!(HostPort::parse_host("[::1]").as_deref(), Some("::1"));
        assert_eq!(HostPort::parse_host("::1").as_deref(), Some("::1"));
        assert_eq!(HostPort::parse_host("pool.example").as_deref(), Some("pool.example"));
        assert_eq!(HostPort::parse_host("x@pool.example"), None);
        for text in ["fe80::1%eth0", "[fe80::1%eth0]", "[fe80::1%25eth0]"] {
            assert_eq!(HostPort::parse_host(text).as_deref(), Some("fe80::1%eth0"), "{text}");
        }
    }

    #[test]
    fn credentials_are_hidden_in_any_text() {
        for (text, shown) in
            [("http://me:s3cret@h:1", "http://…@h:1"), ("me:s3c@ret@h", "…@h"), ("http://h:1", "http://h:1")]
        {
            assert_eq!(hide_credentials(text), shown);
        }
    }

    #[test]
    fn percent_encoding_is_decoded_or_refused() {
        assert_eq!(percent_decode("p%40ss%3aw").as_deref(), Some("p@ss:w"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }
}
