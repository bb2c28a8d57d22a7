//! How a client proves who it is.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
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
                format!("Basic {}", BASE64_STANDARD.encode(format!("{principal}:{secret}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_headers_and_hides_secrets() {
        let auth = Auth::basic("miner", "s3cret");
        assert_eq!(auth.header().unwrap(), "Basic bWluZXI6czNjcmV0");
        assert_eq!(Auth::bearer("a.b.c").header().unwrap(), "Bearer a.b.c");
        assert_eq!(Auth::None.header(), None);
        assert_eq!(format!("{auth:?} {:?}", Auth::bearer("x")), "Basic(\"miner\", …) Bearer(…)");
    }
}
