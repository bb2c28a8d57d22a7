//! Where masters and agents listen.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::zookeeper::Ensemble;

/// Port of a master unless said otherwise.
pub const DEFAULT_MASTER_PORT: u16 = 5050;

/// Why a text is not an address. Each message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing there, or nothing between two commas.
    #[error("an empty address; expected HOST:PORT")]
    Empty,
    /// Not a host name, an IPv4 address, or an IPv6 address in brackets.
    #[error("{0:?} has no valid host; expected HOST:PORT, an IPv6 address in brackets: [::1]:5050")]
    Host(String),
    /// Not a number from 1 to 65535.
    #[error("{0:?} has no valid port; expected HOST:PORT with a port from 1 to 65535")]
    Port(String),
    /// What follows `zk://` names no node.
    #[error("{0:?} has no valid path; expected zk://HOST:PORT,HOST:PORT/PATH, as masters have it in --zk")]
    ZooKeeperPath(String),
    /// What stands before the `@` of a `zk://` address is not shown.
    #[error("no USER:PASSWORD before the @; expected zk://USER:PASSWORD@HOST:PORT,HOST:PORT/PATH")]
    ZooKeeperCredentials,
    /// A `zk://` address among others.
    #[error("{0:?}: zk:// must stand alone; several ZooKeeper servers are zk://HOST:PORT,HOST:PORT/PATH")]
    ZooKeeperInList(String),
    /// Something that will be understood one day.
    #[error("{0:?}: {scheme}:// is not yet supported; give the masters as HOST:PORT,HOST:PORT", scheme = scheme(.0))]
    NotYetSupported(String),
    /// A scheme that is not one of Mesos'.
    #[error("{0:?}: unknown scheme {scheme}://; expected HOST:PORT, http://HOST:PORT or zk://HOST:PORT/PATH", scheme = scheme(.0))]
    Scheme(String),
    /// A redirect without a usable target.
    #[error("{0:?} is no place to be redirected to")]
    Redirect(String),
}

fn scheme(text: &str) -> &str {
    text.split("://").next().unwrap_or_default()
}

/// What may be shown of an address: `zk://user:secret@host` has a secret in it.
fn shown(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    format!("{scheme}…@{after}")
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name, or an IP address; an IPv6 address without its brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// Reads `HOST:PORT`, or `HOST` alone where `default_port` is given.
    ///
    /// # Errors
    /// When host or port are missing or malformed.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => split_ipv6(rest),
            None => split_name(text),
        }
        .ok_or_else(|| AddressError::Host(shown(text)))?;
        let port = match port {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => default_port,
        };
        match port {
            Some(port) if port > 0 => Ok(Self { host: host.to_owned(), port }),
            _ => Err(AddressError::Port(shown(text))),
        }
    }
}

/// Host and port of what follows an opening bracket.
fn split_ipv6(rest: &str) -> Option<(&str, Option<&str>)> {
    let (host, after) = rest.split_once(']')?;
    host.parse::<std::net::Ipv6Addr>().ok()?;
    let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or_default()) };
    Some((host, port))
}

/// Host and port of a name or an IPv4 address. More than one colon means an IPv6 address without brackets.
fn split_name(text: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fits = !host.is_empty() && host.chars().all(is_name) && !port.is_some_and(|port| port.contains(':'));
    fits.then_some((host, port))
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, None)
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

/// The masters of a cluster: a list in the order in which they are to be tried, or where in ZooKeeper the leader
/// is to be found. Neither `Debug` nor `Display` shows ZooKeeper's password.
///
/// ```
/// use mesos::address::Masters;
///
/// let masters: Masters = "m1:5050,http://m2,[::1]:5051".parse().unwrap();
/// assert_eq!(masters.to_string(), "m1:5050,m2:5050,[::1]:5051");
/// let masters: Masters = "zk://miner:secret@z1,z2:2182/mesos".parse().unwrap();
/// assert_eq!(masters.to_string(), "zk://…@z1:2181,z2:2182/mesos");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masters(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Listed(Vec<HostPort>),
    Elected(Ensemble),
}

impl Masters {
    /// The list; none if ZooKeeper is to be asked.
    pub fn addresses(&self) -> &[HostPort] {
        match &self.0 {
            Kind::Listed(addresses) => addresses,
            Kind::Elected(_) => &[],
        }
    }

    /// The ZooKeeper to be asked.
    pub fn ensemble(&self) -> Option<&Ensemble> {
        match &self.0 {
            Kind::Listed(_) => None,
            Kind::Elected(ensemble) => Some(ensemble),
        }
    }
}

impl FromStr for Masters {
    type Err = AddressError;

    /// Reads one or several of `HOST`, `HOST:PORT`, `http://HOST:PORT`, separated by commas, or
    /// `zk://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/PATH`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        // A zk:// address has commas of its own.
        if let Some(rest) = text.strip_prefix("zk://") {
            return Ensemble::parse(rest).map(|ensemble| Self(Kind::Elected(ensemble)));
        }
        let addresses = text.split(',').map(|one| parse_master(one.trim()));
        Ok(Self(Kind::Listed(addresses.collect::<Result<_, _>>()?)))
    }
}

fn parse_master(text: &str) -> Result<HostPort, AddressError> {
    let authority = match text.split_once("://") {
        Some(("http", rest)) => rest.strip_suffix('/').unwrap_or(rest),
        Some(("zk", _)) => return Err(AddressError::ZooKeeperInList(shown(text))),
        Some(("https", _)) => return Err(AddressError::NotYetSupported(shown(text))),
        Some(_) => return Err(AddressError::Scheme(shown(text))),
        None => text,
    };
    HostPort::parse(authority, Some(DEFAULT_MASTER_PORT))
}

impl From<HostPort> for Masters {
    fn from(address: HostPort) -> Self {
        Self(Kind::Listed(vec![address]))
    }
}

impl From<SocketAddr> for Masters {
    fn from(address: SocketAddr) -> Self {
        HostPort { host: address.ip().to_string(), port: address.port() }.into()
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Kind::Elected(ensemble) = &self.0 {
            return ensemble.fmt(f);
        }
        for (index, address) in self.addresses().iter().enumerate() {
            write!(f, "{}{address}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// A place to send calls to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Who listens there.
    pub address: HostPort,
    /// Path of the requests, with its leading slash.
    pub path: String,
}

impl Endpoint {
    /// Where a `Location` header leads to: `//HOST:PORT/PATH` as Mesos writes it, a full `http://` URL, or a
    /// path on the same server.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn redirected(&self, location: &str) -> Result<Self, AddressError> {
        let error = || AddressError::Redirect(location.to_owned());
        let rest = match location.strip_prefix("http:").unwrap_or(location).strip_prefix("//") {
            Some(rest) => rest,
            None if location.starts_with('/') => {
                return Ok(Self { path: location.to_owned(), ..self.clone() });
            }
            None => return Err(error()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        // Without a port it is HTTP's, as in any URL.
        let address = HostPort::parse(authority, Some(80)).map_err(|_| error())?;
        let path = if path.is_empty() { self.path.clone() } else { path.to_owned() };
        Ok(Self { address, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masters(text: &str) -> Result<String, AddressError> {
        text.parse::<Masters>().map(|masters| masters.to_string())
    }

    #[test]
    fn reads_one_or_several_masters() {
        for (text, read) in [
            ("127.0.0.1:5050", "127.0.0.1:5050"),
            ("localhost", "localhost:5050"),
            ("http://m1:80/", "m1:80"),
            (" a:1, b:2 ,c ", "a:1,b:2,c:5050"),
            ("[::1]", "[::1]:5050"),
            ("http://[fe80::1]:81", "[fe80::1]:81"),
            (" zk://u:p@a:1,b/mesos ", "zk://…@a:1,b:2181/mesos"),
        ] {
            assert_eq!(masters(text).as_deref(), Ok(read));
        }
    }

    #[test]
    fn says_what_is_wrong_with_an_address() {
        use AddressError::*;
        let text = String::from;
        for (given, error) in [
            ("", Empty),
            ("a:1,,b:2", Empty),
            ("a:", Port(text("a:"))),
            ("a:0", Port(text("a:0"))),
            ("a:+1", Port(text("a:+1"))),
            ("a:65536", Port(text("a:65536"))),
            ("a:b", Port(text("a:b"))),
            (":5050", Host(text(":5050"))),
            ("::1", Host(text("::1"))),
            ("::1:5050", Host(text("::1:5050"))),
            ("fe80::1", Host(text("fe80::1"))),
            ("[::1", Host(text("[::1"))),
            ("[x]:1", Host(text("[x]:1"))),
            ("[::1]1", Port(text("[::1]1"))),
            ("a b:1", Host(text("a b:1"))),
            ("http://a:1/b", Port(text("a:1/b"))),
            ("http://u:p@a:1", Host(text("…@a:1"))),
            ("u:p@a:1", Host(text("…@a:1"))),
            ("ftp://a:1", Scheme(text("ftp://a:1"))),
            ("https://a:1", NotYetSupported(text("https://a:1"))),
            ("zk://u:p@a:1,b:2", ZooKeeperPath(text("a:1,b:2"))),
            ("a:1,zk://u:p@b:2/mesos", ZooKeeperInList(text("zk://…@b:2/mesos"))),
        ] {
            assert_eq!(masters(given), Err(error), "{given}");
        }
        assert_eq!(
            masters("https://a").unwrap_err().to_string(),
            "\"https://a\": https:// is not yet supported; give the masters as HOST:PORT,HOST:PORT"
        );
    }

    #[test]
    fn follows_redirects_with_and_without_a_scheme() {
        let start = Endpoint { address: "a:1".parse().unwrap(), path: "/api/v1/scheduler".into() };
        for (location, target) in [
            ("//127.0.0.1:5050/master/api/v1/scheduler", "http://127.0.0.1:5050/master/api/v1/scheduler"),
            ("http://m/x", "http://m:80/x"),
            ("//[::1]:5050", "http://[::1]:5050/api/v1/scheduler"),
            ("/elsewhere", "http://a:1/elsewhere"),
        ] {
            assert_eq!(start.redirected(location).unwrap().to_string(), target);
        }
        for location in ["", "https://a:1/x", "//", "relative", "//a:x/"] {
            assert_eq!(start.redirected(location), Err(AddressError::Redirect(location.into())));
        }
    }
}
