//! How a client proves who it is.

use std::fmt;

use hyper::header::HeaderValue;

/// What every call carries, also to the leader that a master redirects to. `Debug` does not show secrets.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// HTTP basic authentication: a framework's principal and its secret.
    Basic {
        /// Who it is. `FrameworkInfo.principal` must be the same.
        principal: String,
        /// The proof.
        secret: String,
    },
    /// A token, as agents give to their executors.
    Bearer(String),
}

impl Auth {
    /// HTTP basic authentication.
    pub fn basic(principal: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::Basic { principal: principal.into(), secret: secret.into() }
    }

    /// A token.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(token.into())
    }

    /// The value of the `Authorization` header; `None` without authentication. A token that cannot stand in a
    /// header is left out, and the peer will refuse the call.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::None => return None,
            Self::Basic { principal, secret } => {
                format!("Basic {}", base64(format!("{principal}:{secret}").as_bytes()))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { principal, .. } => write!(f, "Basic({principal:?}, …)"),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
        }
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_the_examples_of_rfc_4648() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn makes_headers_and_hides_secrets() {
        let auth = Auth::basic("miner", "s3cret");
        assert_eq!(auth.header().unwrap(), "Basic bWluZXI6czNjcmV0");
        assert_eq!(Auth::bearer("a.b.c").header().unwrap(), "Bearer a.b.c");
        assert_eq!(Auth::None.header(), None);
        assert_eq!(format!("{auth:?} {:?}", Auth::bearer("x")), "Basic(\"miner\", …) Bearer(…)");
    }
}
