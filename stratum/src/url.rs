//! Addresses of pools: `[stratum+tcp://]HOST:PORT[/#FRAGMENT]`. The fragments are those of bfgminer and cgminer.

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
    /// Whether the address ends in `#xnsub`: the pool is asked for changes of extranonce1 by `mining.extranonce.subscribe`, even
    /// where the miner would leave this request out.
    pub subscribe_extranonce: bool,
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

    /// The scheme with this name. `url` is the whole address, for errors.
    fn named(name: &str, url: impl Fn() -> String) -> Result<Self, PoolUrlError> {
        let known = Scheme::SPELLINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let is_v2 = ["stratum2+", "stratumv2+", "sv2+"]
            .iter()
            .any(|prefix| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix)));
        match known {
            Some((_, scheme)) => Ok(*scheme),
            None if is_v2 => Err(PoolUrlError::StratumV2 { scheme: printable(name), url: url() }),
            None => Err(PoolUrlError::Scheme { scheme: printable(name), url: url() }),
        }
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
    /// The scheme is that of Stratum V2.
    #[error(
        "{scheme:?} in pool address {url:?} is Stratum V2, which is not supported: use the pool's address for Stratum V1, \
         stratum+tcp://HOST:PORT or stratum+ssl://HOST:PORT, or a translator (SV2 to SV1) of your own"
    )]
    StratumV2 {
        /// The text before `://`.
        scheme: String,
        /// The whole address, without a user.
        url: String,
    },
    /// The text after the port is not known.
    #[error(
        "unknown {part:?} after the port in pool address {url:?}: known are #xnsub and #skipcbcheck; leave it out"
    )]
    Fragment {
        /// The unknown text.
        part: String,
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
            Some((name, rest)) => (Scheme::named(name, url)?, rest),
        };
        if rest.contains('@') {
            return Err(PoolUrlError::User { url: url() });
        }
        let (authority, fragments) = rest.find(['/', '#']).map_or((rest, ""), |end| rest.split_at(end));
        let address = authority.parse().map_err(|error| PoolUrlError::Address { url: url(), error })?;
        let subscribe_extranonce = subscribes_extranonce(fragments)
            .map_err(|part| PoolUrlError::Fragment { part: printable(part), url: url() })?;
        Ok(PoolUrl { scheme, address, subscribe_extranonce })
    }
}

/// Reads what follows the port, such as `/#xnsub#skipcbcheck` or `#skipcbcheck/#xnsub`. Returns whether `#xnsub` is there;
/// `#skipcbcheck` turns off a check of coinbases that this program does not have.
///
/// # Errors
/// The first part that is not known.
fn subscribes_extranonce(fragments: &str) -> Result<bool, &str> {
    let mut subscribe = false;
    for part in fragments.split_inclusive(['/', '#']).map(|part| part.trim_end_matches(['/', '#'])) {
        match part.to_ascii_lowercase().as_str() {
            "" | "skipcbcheck" => {}
            "xnsub" => subscribe = true,
            _ => return Err(part),
        }
    }
    Ok(subscribe)
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fragment = if self.subscribe_extranonce { "/#xnsub" } else { "" };
        write!(f, "{}://{}{fragment}", self.scheme.name(), self.address)
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
            .then_some(PoolUrl { address: HostPort { host, port }, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PoolUrl, PoolUrlError> {
        text.parse()
    }

    fn tcp(host: &str, port: u16) -> Result<PoolUrl, PoolUrlError> {
        let address = HostPort { host: host.to_owned(), port };
        Ok(PoolUrl { scheme: Scheme::Tcp, address, subscribe_extranonce: false })
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
        for text in ["pool:", "pool:0", "pool:65536", "pool:+1", "pool:x"] {
            assert!(matches!(address_error(text), HostPortError::Port(_)), "{text}");
        }
        for text in [":3333", "::1:3333", "[pool]:3333", "po ol:3333"] {
            assert!(matches!(address_error(text), HostPortError::Host(_)), "{text}");
        }
        for text in ["stratum+tcp://me:secret@pool:3333", "me:secret@pool:3333", "http://me:secret@pool:3333"]
        {
            let user = message(text);
            assert!(user.contains("pool:3333") && !user.contains("secret"), "{user}");
        }
    }

    #[test]
    fn fragments_of_other_miners_are_known() {
        for text in ["h:1/", "h:1//", "h:1#skipcbcheck", "stratum+tcp://h:1/#skipcbcheck/", "h:1/#"] {
            assert_eq!(parse(text), tcp("h", 1), "{text}");
        }
        for text in
            ["h:1#xnsub", "h:1/#xnsub", "h:1/#XNSUB/", "h:1/#skipcbcheck#xnsub", "h:1/#xnsub/#skipcbcheck"]
        {
            let url = parse(text).unwrap();
            assert!(url.subscribe_extranonce && url.address.port == 1, "{text}");
            assert_eq!(url.to_string(), "stratum+tcp://h:1/#xnsub");
        }
        for (text, part) in [("h:1/x", "x"), ("h:1/#xnsubs", "xnsubs"), ("h:1#redirect#xnsub", "redirect")] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(&error, PoolUrlError::Fragment { part: found, .. } if found == part),
                "{error:?}"
            );
            assert!(error.to_string().contains("known are #xnsub"), "{error}");
        }
    }

    #[test]
    fn stratum_v2_is_said_to_be_unsupported() {
        for text in
            ["stratum2+tcp://h:34254/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72", "SV2+tcp://h:1"]
        {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("Stratum V2") && error.contains("stratum+tcp://"), "{error}");
        }
    }

    #[test]
    fn displayed_addresses_can_be_parsed() {
        for text in
            ["stratum+tcp://pool.example:3333", "stratum+ssl://[2001:db8::1]:443", "stratum+ssl://h:1/#xnsub"]
        {
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
