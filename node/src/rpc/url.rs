//! How a node's address is written: `[http://][USER:PASSWORD@]HOST[:PORT][/PATH]`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::auth::Credentials;

/// Bitcoin Core's port for RPC on the main network; each other network has one of its own.
pub const DEFAULT_PORT: u16 = 8332;

/// Where a node answers. Holds no credentials, so it can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeUrl {
    /// Host name or IP address; IPv6 without its brackets.
    pub host: String,
    /// TCP port, not 0.
    pub port: u16,
    /// The request's path, with its first slash.
    pub path: String,
}

/// A node's address that could not be read. None of its texts shows a user or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeUrlError {
    /// The scheme is none that can be spoken.
    #[error("unknown scheme {scheme:?} in node address {url:?}: use http://HOST:PORT")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
        /// The whole address but for user and password.
        url: String,
    },
    /// TLS is asked for.
    #[error(
        "node address {url:?} asks for TLS, which nodes don't speak: use http:// and, where the way is not safe, a tunnel"
    )]
    Tls {
        /// The whole address but for user and password.
        url: String,
    },
    /// The host is empty or holds what no host name holds.
    #[error("bad host {host:?} in node address {url:?}: give a name or an IP address, IPv6 in brackets")]
    Host {
        /// What stands for the host.
        host: String,
        /// The whole address but for user and password.
        url: String,
    },
    /// The port is no number from 1 to 65535.
    #[error("bad port {port:?} in node address {url:?}: give a number from 1 to 65535")]
    Port {
        /// What stands for the port.
        port: String,
        /// The whole address but for user and password.
        url: String,
    },
    /// The path holds what no path holds.
    #[error("bad path {path:?} in node address {url:?}")]
    Path {
        /// What stands after the port.
        path: String,
        /// The whole address but for user and password.
        url: String,
    },
    /// There is a user without a password, or a bad escape in one of them.
    #[error(
        "bad credentials in node address {url:?}: write USER:PASSWORD@HOST:PORT, special characters as %XX"
    )]
    Credentials {
        /// The whole address but for user and password.
        url: String,
    },
}

impl NodeUrl {
    /// Reads an address and, apart from it, the credentials in it.
    ///
    /// # Errors
    /// If it is no address; see [`NodeUrlError`].
    pub fn parse(text: &str) -> Result<(NodeUrl, Option<Credentials>), NodeUrlError> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        // A password may hold an @; a host may not.
        let (credentials, host_port) = match authority.rsplit_once('@') {
            Some((credentials, host_port)) => (Some(credentials), host_port),
            None => (None, authority),
        };
        let url = shown(text.trim());
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(NodeUrlError::Tls { url }),
            _ => return Err(NodeUrlError::Scheme { scheme: scheme.to_owned(), url }),
        }
        if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(NodeUrlError::Path { path: path.to_owned(), url });
        }
        let (host, port) = host_and_port(host_port, &url)?;
        let credentials = credentials
            .map(|text| user_and_password(text).ok_or(NodeUrlError::Credentials { url }))
            .transpose()?;
        Ok((NodeUrl { host, port, path: path.to_owned() }, credentials))
    }
}

/// The address without what might be a user and a password, also if it is no address at all.
fn shown(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}…@{rest}"),
        None => text.to_owned(),
    }
}

fn host_and_port(text: &str, url: &str) -> Result<(String, u16), NodeUrlError> {
    let bad_host = |host: &str| NodeUrlError::Host { host: host.to_owned(), url: url.to_owned() };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| bad_host(text))?;
            host.parse::<Ipv6Addr>().map_err(|_| bad_host(host))?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or(after)) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(is_name) {
        return Err(bad_host(host));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|number| *number != 0 && port.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| NodeUrlError::Port { port: port.to_owned(), url: url.to_owned() })?,
    };
    Ok((host.to_owned(), port))
}

fn user_and_password(text: &str) -> Option<Credentials> {
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic { user: unescape(user)?, password: unescape(password)? })
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.extend(hex::decode(digits).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    /// Reads an address; credentials in it are an error, since they would be lost.
    fn from_str(text: &str) -> Result<NodeUrl, NodeUrlError> {
        match NodeUrl::parse(text)? {
            (url, None) => Ok(url),
            (_, Some(_)) => Err(NodeUrlError::Credentials { url: shown(text) }),
        }
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { &self.path };
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}{path}", self.host, self.port),
            false => write!(f, "http://{}:{}{path}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_spellings() {
        for (text, shown) in [
            ("localhost", "http://localhost:8332"),
            ("http://localhost:18443", "http://localhost:18443"),
            ("HTTP://node.example:1/", "http://node.example:1"),
            ("http://10.0.0.1:8332/wallet/x", "http://10.0.0.1:8332/wallet/x"),
            ("[::1]", "http://[::1]:8332"),
            (" http://[fe80::1]:48332 ", "http://[fe80::1]:48332"),
        ] {
            let url: NodeUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
    }

    #[test]
    fn takes_credentials_out() {
        let (url, credentials) = NodeUrl::parse("http://me:p%40ss%3aw@rd@localhost:18443").unwrap();
        assert_eq!(url.to_string(), "http://localhost:18443");
        let expected = Credentials::Basic { user: "me".into(), password: "p@ss:w@rd".into() };
        assert_eq!(credentials, Some(expected));
    }

    #[test]
    fn refusals_name_the_fault_but_no_secret() {
        for (text, part) in [
            ("https://me:secret@h:1", "TLS"),
            ("ftp://me:secret@h:1", "unknown scheme \"ftp\""),
            ("http://me:secret@:1", "bad host \"\""),
            ("http://me:secret@h:0", "bad port \"0\""),
            ("http://me:secret@h:+1", "bad port \"+1\""),
            ("http://me:secret@h:65536", "bad port \"65536\""),
            ("http://me:secret@h:", "bad port \"\""),
            ("http://me:secret@[::1:8332", "bad host"),
            ("http://me:secret@[h]:8332", "bad host \"h\""),
            ("http://me:secret@h o:1", "bad host \"h o\""),
            ("http://me:secret@h:1/a b", "bad path \"/a b\""),
            ("http://me:secret%4@h:1", "bad credentials"),
            ("http://secret@h:1", "bad credentials"),
            ("", "bad host \"\""),
        ] {
            let error = NodeUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
        assert!("http://me:secret@h:1".parse::<NodeUrl>().is_err());
    }
}
