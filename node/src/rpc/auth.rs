//! How we prove to a node who we are.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::{fmt, fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

/// A cookie file is one line; whatever is longer is none.
const MAX_COOKIE: usize = 1024;

/// What a node knows us by. `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// User and password, `rpcuser`/`rpcpassword` or `rpcauth` of Bitcoin Core; bcoin takes any user with its API key.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// The file that Bitcoin Core writes at each start, `.cookie` in the network's data directory.
    Cookie(PathBuf),
}

impl Credentials {
    /// User and password as a node takes them now; a cookie is read.
    ///
    /// # Errors
    /// If the cookie can't be read, or is none.
    pub fn user_and_password(&self) -> io::Result<Option<(String, String)>> {
        match self {
            Credentials::None => Ok(None),
            Credentials::Basic { user, password } => Ok(Some((user.clone(), password.clone()))),
            Credentials::Cookie(path) => {
                let cookie = read_cookie(path)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
                Ok(cookie.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned())))
            }
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Basic { user, .. } => write!(f, "Basic({user:?}, …)"),
            Credentials::Cookie(path) => write!(f, "Cookie({})", path.display()),
        }
    }
}

/// Credentials as they go into a request, made once; a cookie is read when it is first needed.
pub(super) struct Authorization {
    credentials: Credentials,
    header: Mutex<Option<HeaderValue>>,
}

impl Authorization {
    pub(super) fn new(credentials: Credentials) -> Authorization {
        Authorization { credentials, header: Mutex::new(None) }
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> io::Result<Option<HeaderValue>> {
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if header.is_none() {
            *header = match &self.credentials {
                Credentials::None => None,
                Credentials::Basic { user, password } => Some(basic(&format!("{user}:{password}"))?),
                Credentials::Cookie(path) => Some(basic(&read_cookie(path)?)?),
            };
        }
        Ok(header.clone())
    }

    /// After a refusal: whether the credentials have changed since `used`, so that another try makes sense. Only a
    /// cookie can, because the node writes a new one when it starts.
    pub(super) fn renew(&self, used: Option<&HeaderValue>) -> io::Result<bool> {
        if !matches!(self.credentials, Credentials::Cookie(_)) {
            return Ok(false);
        }
        self.header.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(self.header()?.as_ref() != used)
    }

    /// What to do about a refusal.
    pub(super) fn hint(&self) -> &'static str {
        match self.credentials {
            Credentials::None => "it wants a user and a password, or its cookie file",
            Credentials::Basic { .. } => "user or password is wrong",
            Credentials::Cookie(_) => "the cookie file is not this node's",
        }
    }

    /// The cookie's path, for messages.
    pub(super) fn cookie_path(&self) -> PathBuf {
        match &self.credentials {
            Credentials::Cookie(path) => path.clone(),
            _ => PathBuf::new(),
        }
    }
}

fn read_cookie(path: &PathBuf) -> io::Result<String> {
    let cookie = fs::read_to_string(path)?;
    let line = cookie.trim_end_matches(['\r', '\n']);
    // While the node writes it, the file may be empty.
    if !line.contains(':') || line.contains('\n') || line.len() > MAX_COOKIE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a line USER:PASSWORD"));
    }
    Ok(line.to_owned())
}

fn basic(user_and_password: &str) -> io::Result<HeaderValue> {
    let text = format!("Basic {}", STANDARD.encode(user_and_password));
    let mut value = HeaderValue::try_from(text).map_err(io::Error::other)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let basic = Credentials::Basic { user: "me".into(), password: "secret".into() };
        assert_eq!(format!("{basic:?}"), "Basic(\"me\", …)");
        let header = Authorization::new(basic).header().unwrap().unwrap();
        assert_eq!(header, "Basic bWU6c2VjcmV0");
        assert_eq!(format!("{header:?}"), "Sensitive");
        assert_eq!(Authorization::new(Credentials::None).header().unwrap(), None);
    }

    #[test]
    fn a_cookie_is_read_again_after_a_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".cookie");
        let authorization = Authorization::new(Credentials::Cookie(path.clone()));
        assert_eq!(authorization.header().unwrap_err().kind(), io::ErrorKind::NotFound);

        fs::write(&path, "").unwrap();
        assert_eq!(authorization.header().unwrap_err().kind(), io::ErrorKind::InvalidData);

        fs::write(&path, "__cookie__:one\n").unwrap();
        let first = authorization.header().unwrap();
        assert!(!authorization.renew(first.as_ref()).unwrap());

        let cookie = Credentials::Cookie(path.clone()).user_and_password().unwrap();
        assert_eq!(cookie, Some(("__cookie__".into(), "one".into())));
        fs::write(&path, "__cookie__:two").unwrap();
        assert_eq!(authorization.header().unwrap(), first);
        assert!(authorization.renew(first.as_ref()).unwrap());
        assert_ne!(authorization.header().unwrap(), first);
    }
}
