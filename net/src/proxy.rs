//! Where a SOCKS5 proxy (RFC 1928) is, and who we are to it (RFC 1929).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use thiserror::Error;

/// A SOCKS5 proxy. It looks names up itself. Its debug form leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Host name or IP address; IPv6 without its brackets.
    pub host: String,
    /// TCP port, not 0.
    pub port: u16,
    /// User and password, each of at most 255 bytes, if the proxy wants them.
    pub credentials: Option<(String, String)>,
}

/// An address of a proxy that could not be read. What may be a password is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Another kind of proxy, or none at all.
    #[error("proxy {proxy:?} is no socks5://HOST:PORT: only SOCKS5 proxies can be used")]
    Scheme {
        /// The address but for user and password.
        proxy: String,
    },
    /// Host or port are missing or malformed.
    #[error("no host and port in proxy {proxy:?}: write socks5://HOST:PORT, IPv6 in brackets")]
    Address {
        /// The address but for user and password.
        proxy: String,
    },
    /// User or password can't be what the protocol carries.
    #[error(
        "bad user or password for proxy {proxy:?}: write socks5://USER:PASSWORD@HOST:PORT with 1 to 255 bytes each, \
         others than letters and digits as %XX"
    )]
    Credentials {
        /// The address but for user and password.
        proxy: String,
    },
}

/// The longest user or password that RFC 1929 can carry.
const LONGEST: usize = 255;

impl Proxy {
    /// The same proxy with this password instead of the one in its address.
    ///
    /// # Errors
    /// If the address names no user, or the password is not of 1 to 255 bytes.
    pub fn with_password(self, password: String) -> Result<Proxy, ProxyError> {
        let user = self.credentials.as_ref().map(|(user, _)| user.clone());
        match user.filter(|_| (1..=LONGEST).contains(&password.len())) {
            Some(user) => Ok(Proxy { credentials: Some((user, password)), ..self }),
            None => Err(ProxyError::Credentials { proxy: self.to_string() }),
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Proxy, ProxyError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("socks5", text));
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let shown = || format!("{scheme}://{address}");
        // `socks5h` is curl's name for letting the proxy look names up, which happens here in any case.
        if !["socks5", "socks5h"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(ProxyError::Scheme { proxy: shown() });
        }
        let (host, port) = host_and_port(address.strip_suffix('/').unwrap_or(address))
            .ok_or_else(|| ProxyError::Address { proxy: shown() })?;
        let credentials = match user {
            None => None,
            Some(user) => Some(credentials(user).ok_or_else(|| ProxyError::Credentials { proxy: shown() })?),
        };
        Ok(Proxy { host, port, credentials })
    }
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok()?.to_string(),
        None => {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            Some(host).filter(|host| !host.is_empty() && host.bytes().all(allowed))?.to_owned()
        }
    };
    (port != 0).then_some((host, port))
}

/// User and password; a user alone has yet to get the password.
fn credentials(text: &str) -> Option<(String, String)> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let (user, password) = (percent_decoded(user)?, percent_decoded(password)?);
    let fits = (1..=LONGEST).contains(&user.len()) && password.len() <= LONGEST;
    fits.then_some((user, password))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "socks5://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "socks5://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.to_string()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Proxy, ProxyError> {
        text.parse()
    }

    #[test]
    fn addresses() {
        let bare = Proxy { host: "proxy.example".into(), port: 1080, credentials: None };
        for text in ["socks5://proxy.example:1080", "SOCKS5h://proxy.example:1080/", "proxy.example:1080"] {
            assert_eq!(parse(text), Ok(bare.clone()), "{text}");
        }
        let with = parse("socks5://me:p%40ss%3aw@[::1]:9050").unwrap();
        assert_eq!((with.host.as_str(), with.port), ("::1", 9050));
        assert_eq!(with.credentials, Some(("me".into(), "p@ss:w".into())));
        assert_eq!(with.to_string(), "socks5://[::1]:9050");
        let later = parse("socks5://me@h:1").unwrap().with_password("late".into()).unwrap();
        assert_eq!(later.credentials, Some(("me".into(), "late".into())));
    }

    #[test]
    fn errors_say_what_to_do_and_no_password() {
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
