//! The `Authorization` header of requests to a node.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use net::read_cookie;

use crate::text::one_line;

/// The credentials for a node's JSON-RPC. Their debug form omits the password.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub enum Credentials {
    /// The node asks for no credentials.
    None,
    /// User and password: `rpcuser`/`rpcpassword` or `rpcauth` of Bitcoin Core. bcoin accepts any user name if the password
    /// is its API key.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        #[debug(skip)]
        password: String,
    },
    /// The file that Bitcoin Core writes at each start, `.cookie` in the network's data directory.
    CookieFile(PathBuf),
}

/// The credentials, and the header made of them. A cookie file is read when the header is first needed.
pub(super) struct Authorization(Mutex<Present>);

/// The credentials in use.
struct Present {
    credentials: Credentials,
    /// The header made of the credentials; `None` if it has not been needed yet.
    header: Option<HeaderValue>,
}

impl Authorization {
    pub(super) fn new(credentials: Credentials) -> Self {
        Authorization(Mutex::new(Present { credentials, header: None }))
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses these credentials from now on.
    pub(super) fn set(&self, credentials: Credentials) {
        *self.lock() = Present { credentials, header: None };
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> io::Result<Option<HeaderValue>> {
        self.lock().header()
    }

    /// Reads the cookie file again after the node has refused the header `used`. Returns whether the header is another one now,
    /// because only then can another try succeed: the node writes a new cookie at each start, and a password may have been
    /// [set](Self::set) meanwhile.
    pub(super) fn renew(&self, used: Option<&HeaderValue>) -> io::Result<bool> {
        let mut present = self.lock();
        if matches!(present.credentials, Credentials::CookieFile(_)) {
            present.header = None;
        }
        Ok(present.header()?.as_ref() != used)
    }

    /// The likely cause of a refusal.
    pub(super) fn hint(&self) -> &'static str {
        match self.lock().credentials {
            Credentials::None => "it wants a user and a password, or its cookie file",
            Credentials::Basic { .. } => "user or password is wrong",
            Credentials::CookieFile(_) => "the cookie file is not this node's",
        }
    }

    /// The path of the cookie file, for messages.
    pub(super) fn cookie_path(&self) -> PathBuf {
        match &self.lock().credentials {
            Credentials::CookieFile(path) => path.clone(),
            _ => PathBuf::new(),
        }
    }
}

/// The user's name in a header; empty if there is none.
pub(super) fn user_of(header: Option<&HeaderValue>) -> String {
    let encoded = header.and_then(|header| header.to_str().ok()?.strip_prefix("Basic "));
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok()).unwrap_or_default();
    let user = decoded.split(|byte| *byte == b':').next().unwrap_or_default();
    one_line(&String::from_utf8_lossy(user))
}

impl Present {
    fn header(&mut self) -> io::Result<Option<HeaderValue>> {
        if self.header.is_none() {
            self.header = match &self.credentials {
                Credentials::None => None,
                Credentials::Basic { user, password } => Some(basic(user, password)?),
                Credentials::CookieFile(path) => {
                    let (user, password) = read_cookie(path)?;
                    Some(basic(&user, &password)?)
                }
            };
        }
        Ok(self.header.clone())
    }
}

fn basic(user: &str, password: &str) -> io::Result<HeaderValue> {
    let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::try_from(text).map_err(io::Error::other)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn debug_forms_show_no_secret() {
        let basic = Credentials::Basic { user: "me".into(), password: "secret".into() };
        let shown = format!("{basic:?}");
        assert!(shown.contains("me") && !shown.contains("secret"), "{shown}");
        let header = Authorization::new(basic).header().unwrap().unwrap();
        assert_eq!(header, "Basic bWU6c2VjcmV0");
        assert_eq!(format!("{header:?}"), "Sensitive");
        assert_eq!(Authorization::new(Credentials::None).header().unwrap(), None);
    }

    #[test]
    fn a_password_that_is_set_after_a_refusal_is_worth_another_try() {
        let basic = |password: &str| Credentials::Basic { user: "me".into(), password: password.into() };
        let authorization = Authorization::new(basic("old"));
        let used = authorization.header().unwrap();
        assert!(!authorization.renew(used.as_ref()).unwrap());
        authorization.set(basic("new"));
        assert!(authorization.renew(used.as_ref()).unwrap());
        let used = authorization.header().unwrap();
        assert!(!authorization.renew(used.as_ref()).unwrap());
    }

    #[test]
    fn a_cookie_is_read_again_after_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".cookie");
        let authorization = Authorization::new(Credentials::CookieFile(path.clone()));
        assert_eq!(authorization.header().unwrap_err().kind(), io::ErrorKind::NotFound);

        fs::write(&path, "").unwrap();
        assert_eq!(authorization.header().unwrap_err().kind(), io::ErrorKind::InvalidData);

        fs::write(&path, "__cookie__:one\n").unwrap();
        let first = authorization.header().unwrap();
        assert!(!authorization.renew(first.as_ref()).unwrap());

        assert_eq!(read_cookie(&path).unwrap(), ("__cookie__".into(), "one".into()));
        fs::write(&path, "__cookie__:two").unwrap();
        assert_eq!(authorization.header().unwrap(), first);
        assert!(authorization.renew(first.as_ref()).unwrap());
        assert_ne!(authorization.header().unwrap(), first);
    }
}
