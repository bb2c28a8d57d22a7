//! Credentials of clients.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;

/// The credentials that every call carries, also after a redirect to the leader. `Debug` does not show secrets.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// No credentials.
    #[default]
    None,
    /// HTTP basic authentication: a framework's principal and its secret.
    Basic {
        /// The principal; must equal `FrameworkInfo.principal`.
        principal: String,
        /// The principal's secret.
        secret: String,
    },
    /// A token, such as those that agents give to their executors.
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

    /// The value of the `Authorization` header; `None` without authentication. A token with characters that a header cannot
    /// contain is omitted; the peer then refuses the call.
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
