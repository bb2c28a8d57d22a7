//! The address of a Bitcoin node's JSON-RPC, `[http://][USER:PASSWORD@]HOST[:PORT][/PATH]`, and its cookie file.

use std::path::Path;
use std::str::FromStr;
use std::{fmt, fs, io};

use crate::address::{HostPort, HostPortError, hide_credentials, percent_decode};

/// Bitcoin Core's port for RPC on the main network; every other network has a different port.
pub const DEFAULT_PORT: u16 = 8332;
/// The size of a cookie file, in bytes, must be less than this.
const MAX_COOKIE: usize = 1024;

/// The address of a node's JSON-RPC. It has no credentials, so it can be displayed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeUrl {
    /// The node's host and RPC port.
    pub address: HostPort,
    /// The request's path, with the leading slash.
    pub path: String,
}

/// Why a text is not a node's address. No message shows a user or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeUrlError {
    /// The scheme is not `http`.
    #[error("unknown scheme {scheme:?} in node address {url:?}: use http://HOST:PORT")]
    Scheme {
        /// The text before `://`.
        scheme: String,
        /// The whole address without user and password.
        url: String,
    },
    /// The scheme is `https`.
    #[error(
        "node address {url:?} asks for TLS, which nodes do not support: use http://, with a tunnel over networks that are not safe"
    )]
    Tls {
        /// The whole address without user and password.
        url: String,
    },
    /// The host or the port is missing or malformed.
    #[error("node address {url:?}: {error}")]
    Address {
        /// The whole address without user and password.
        url: String,
        /// Why the host or the port is invalid.
        error: HostPortError,
    },
    /// The path has an invalid character.
    #[error("bad path {path:?} in node address {url:?}")]
    Path {
        /// The text after the port.
        path: String,
        /// The whole address without user and password.
        url: String,
    },
    /// There is a user without a password, or a malformed escape.
    #[error(
        "bad credentials in node address {url:?}: write USER:PASSWORD@HOST:PORT, special characters as %XX"
    )]
    Credentials {
        /// The whole address without user and password.
        url: String,
    },
}

impl NodeUrl {
    /// Reads an address, and the user and password in it.
    ///
    /// # Errors
    /// If the text is not an address; see [`NodeUrlError`].
    pub fn parse(text: &str) -> Result<(NodeUrl, Option<(String, String)>), NodeUrlError> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        // A password may contain an @, but a host may not.
        let (credentials, host_port) = match authority.rsplit_once('@') {
            Some((credentials, host_port)) => (Some(credentials), host_port),
            None => (None, authority),
        };
        let url = hide_credentials(text.trim());
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(NodeUrlError::Tls { url }),
            _ => return Err(NodeUrlError::Scheme { scheme: scheme.to_owned(), url }),
        }
        if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(NodeUrlError::Path { path: path.to_owned(), url });
        }
        let address = HostPort::parse(host_port, Some(DEFAULT_PORT))
            .map_err(|error| NodeUrlError::Address { url: url.clone(), error })?;
        let credentials = credentials
            .map(|text| user_and_password(text).ok_or(NodeUrlError::Credentials { url }))
            .transpose()?;
        Ok((NodeUrl { address, path: path.to_owned() }, credentials))
    }
}

fn user_and_password(text: &str) -> Option<(String, String)> {
    let (user, password) = text.split_once(':')?;
    Some((percent_decode(user)?, percent_decode(password)?))
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    /// Reads an address. Credentials in it are an error, since they would be lost.
    fn from_str(text: &str) -> Result<Self, NodeUrlError> {
        match NodeUrl::parse(text)? {
            (url, None) => Ok(url),
            (_, Some(_)) => Err(NodeUrlError::Credentials { url: hide_credentials(text) }),
        }
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { &self.path };
        write!(f, "http://{}{path}", self.address)
    }
}

/// Reads the cookie file that Bitcoin Core writes at each start: the user and the password for its RPC.
///
/// # Errors
/// If the file cannot be read, or is not one line `USER:PASSWORD`. The file is empty while the node writes it.
pub fn read_cookie(path: &Path) -> io::Result<(String, String)> {
    let cookie = fs::read_to_string(path)?;
    let line = cookie.trim_end_matches(['\r', '\n']);
    let parts = line.split_once(':').filter(|_| !line.contains('\n') && line.len() <= MAX_COOKIE);
    let (user, password) =
        parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not a line USER:PASSWORD"))?;
    Ok((user.to_owned(), password.to_owned()))
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
            ("[fe80::1%25eth0]", "http://[fe80::1%eth0]:8332"),
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
        assert_eq!(credentials, Some(("me".into(), "p@ss:w@rd".into())));
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
