//! A SOCKS5 proxy (RFC 1928): its address, and the credentials for it (RFC 1929).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::address::{HostPort, HostPortError, percent_decode};

/// A SOCKS5 proxy. The proxy resolves host names. The debug form leaves the password out.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
#[debug("{self}")]
pub struct Proxy {
    /// The address that the proxy listens on.
    pub address: HostPort,
    /// User and password, each of at most 255 bytes, if the proxy requires them.
    pub credentials: Option<(String, String)>,
}

/// Why a text is not the address of a proxy. No message shows text that may be a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The scheme is not that of a SOCKS5 proxy.
    #[error("proxy {proxy:?} is not socks5://HOST:PORT: only SOCKS5 proxies can be used")]
    Scheme {
        /// The address without user and password.
        proxy: String,
    },
    /// The host or the port is missing or malformed.
    #[error("proxy {proxy:?}: {error}")]
    Address {
        /// The address without user and password.
        proxy: String,
        /// Why the host or the port is invalid.
        error: HostPortError,
    },
    /// The user or the password cannot be transmitted.
    #[error(
        "bad user or password for proxy {proxy:?}: write socks5://USER:PASSWORD@HOST:PORT with 1 to 255 bytes each, \
         with all characters except letters and digits as %XX"
    )]
    Credentials {
        /// The address without user and password.
        proxy: String,
    },
}

/// The longest user or password of RFC 1929, in bytes.
const MAX_CREDENTIAL: usize = 255;

impl Proxy {
    /// Replaces the password.
    ///
    /// # Errors
    /// If the proxy has no user, or the password does not have 1 to 255 bytes.
    pub fn with_password(self, password: String) -> Result<Self, ProxyError> {
        let user = self.credentials.as_ref().map(|(user, _)| user.clone());
        match user.filter(|_| (1..=MAX_CREDENTIAL).contains(&password.len())) {
            Some(user) => Ok(Self { credentials: Some((user, password)), ..self }),
            None => Err(ProxyError::Credentials { proxy: self.to_string() }),
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("socks5", text));
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let shown = || format!("{scheme}://{address}");
        // In curl, only `socks5h` means that the proxy resolves host names. Here the proxy resolves them with either scheme.
        if !["socks5", "socks5h"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(ProxyError::Scheme { proxy: shown() });
        }
        let proxy = address.strip_suffix('/').unwrap_or(address).parse();
        let proxy = proxy.map_err(|error| ProxyError::Address { proxy: shown(), error })?;
        let credentials = match user {
            None => None,
            Some(user) => Some(credentials(user).ok_or_else(|| ProxyError::Credentials { proxy: shown() })?),
        };
        Ok(Self { address: proxy, credentials })
    }
}

/// Parses `USER:PASSWORD`; the password may be given later, so it may be missing.
fn credentials(text: &str) -> Option<(String, String)> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (percent_decode(user)?, percent_decode(password)?);
    let fits = (1..=MAX_CREDENTIAL).contains(&user.len()) && password.len() <= MAX_CREDENTIAL;
    fits.then_some((user, password))
}

/// Hides user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Proxy, ProxyError> {
        text.parse()
    }

    #[test]
    fn addresses_with_and_without_credentials() {
        let bare = Proxy { address: "proxy.example:1080".parse().unwrap(), credentials: None };
        for text in ["socks5://proxy.example:1080", "SOCKS5h://proxy.example:1080/", "proxy.example:1080"] {
            assert_eq!(parse(text), Ok(bare.clone()), "{text}");
        }
        let with = parse("socks5://me:p%40ss%3aw@[::1]:9050").unwrap();
        assert_eq!((with.address.host.as_str(), with.address.port), ("::1", 9050));
        assert_eq!(with.credentials, Some(("me".into(), "p@ss:w".into())));
        assert_eq!(with.to_string(), "socks5://[::1]:9050");
        let later = parse("socks5://me@h:1").unwrap().with_password("late".into()).unwrap();
        assert_eq!(later.credentials, Some(("me".into(), "late".into())));
    }

    #[test]
    fn errors_contain_advice_but_no_password() {
        for text in ["http://me:secret@h:1", "socks4://h:1"] {
            assert!(matches!(parse(text), Err(ProxyError::Scheme { .. })), "{text}");
        }
        for text in
            ["socks5://h", "socks5://", "socks5://h:0", "socks5://h:x", "socks5://::1:9", "socks5://[h]:9"]
        {
            assert!(matches!(parse(text), Err(ProxyError::Address { .. })), "{text}");
        }
        let long = "x".repeat(256);
        for text in
            ["socks5://@h:1", "socks5://:p@h:1", "socks5://u:%zz@h:1", &format!("socks5://u:{long}@h:1")]
        {
            assert!(matches!(parse(text), Err(ProxyError::Credentials { .. })), "{text}");
        }
        let error = parse("http://me:secret@h:1").unwrap_err().to_string();
        assert!(error.contains("http://h:1") && !error.contains("secret"), "{error}");
        let debug = format!("{:?}", parse("socks5://me:secret@h:1"));
        assert!(debug.contains("h:1") && !debug.contains("secret"), "{debug}");
        assert!(parse("socks5://h:1").unwrap().with_password("p".into()).is_err(), "whose?");
    }
}
