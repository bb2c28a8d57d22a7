//! Who may change something: those who have a token.

use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::FromRequestParts;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::RequestError;
use crate::link::Link;

/// The shortest token, in characters: a shorter one could be guessed.
const SHORTEST: usize = 16;
/// The longest file of tokens, in bytes.
const LONGEST_FILE: u64 = 64 << 10;
/// The name of a token that has none.
const UNNAMED: &str = "token";

/// Why a file of tokens cannot be used. No text shows a token.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It has no tokens.
    #[error("{}: no line has a token: write TOKEN or NAME:TOKEN", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line is no token.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// The tokens of a file, as last read. Clones share what was read.
#[derive(Clone)]
pub struct Tokens {
    path: PathBuf,
    last: Arc<RwLock<Vec<Token>>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Token {
    name: String,
    secret: String,
}

/// Shows no secret.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads a file with one token a line, as `TOKEN` or `NAME:TOKEN`. Empty lines, and those that begin with `#`, are skipped.
    ///
    /// # Errors
    /// If the file cannot be read, has no token, or a token is too short or cannot stand in a header.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let last = Arc::new(RwLock::new(read(path)?));
        Ok(Self { path: path.to_owned(), last })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again. Returns whether it has changed.
    ///
    /// # Errors
    /// As [`from_file`](Tokens::from_file). What was read before then stays in use.
    pub fn reread(&self) -> Result<bool, TokenError> {
        let tokens = read(&self.path)?;
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *last != tokens;
        *last = tokens;
        Ok(changed)
    }

    /// The name of this token. How long it takes does not depend on how much of the token is right.
    fn name_of(&self, given: &str) -> Option<String> {
        let tokens = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for token in tokens.iter() {
            let equal: Choice = token.secret.as_bytes().ct_eq(given.as_bytes());
            if bool::from(equal) {
                found = Some(token.name.clone());
            }
        }
        found
    }
}

fn read(path: &Path) -> Result<Vec<Token>, TokenError> {
    let text = read_text(path).map_err(|source| TokenError::Read { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let tokens = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(line, text)| {
        token(text).map_err(|problem| TokenError::Line { path: path.to_owned(), line, problem })
    });
    let tokens: Vec<_> = tokens.collect::<Result<_, _>>()?;
    if tokens.is_empty() {
        return Err(TokenError::Empty { path: path.to_owned() });
    }
    Ok(tokens)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        let why = format!("it is larger than {LONGEST_FILE} bytes: it is no file of tokens");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

fn token(line: &str) -> Result<Token, &'static str> {
    let (name, secret) = line.split_once(':').unwrap_or((UNNAMED, line));
    let (name, secret) = (name.trim(), secret.trim());
    if name.is_empty() {
        return Err("the name before the colon is empty");
    }
    if secret.chars().count() < SHORTEST {
        return Err(
            "the token is too short: it needs at least 16 characters, such as those of `openssl rand -hex 16`",
        );
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has other characters than ASCII letters, digits and signs");
    }
    Ok(Token { name: name.to_owned(), secret: secret.to_owned() })
}

/// Who asks for a change: an extractor that refuses requests without a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token.
    pub name: String,
    /// The address from which the request came.
    pub address: SocketAddr,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = RequestError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, RequestError> {
        let link = Link::from_request_parts(parts, state).await?;
        let Some(tokens) = link.tokens() else {
            let why = "nobody may change anything here: the program runs without --http-token-file FILE";
            return Err(RequestError::Forbidden(why.to_owned()));
        };
        let Some(header) = parts.headers.get(AUTHORIZATION) else {
            let why = "this needs a token: give the header Authorization: Bearer TOKEN";
            return Err(RequestError::Unauthorized(why.to_owned()));
        };
        match header.to_str().ok().and_then(bearer).and_then(|given| tokens.name_of(given)) {
            Some(name) => Ok(Caller { name, address: link.peer() }),
            None => {
                Err(RequestError::Forbidden("this is none of the tokens in --http-token-file".to_owned()))
            }
        }
    }
}

/// The token in the value of the header `Authorization`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn each_line_is_a_token_perhaps_with_a_name() {
        let file = write("# operators\nalice: 0123456789abcdef\r\n\n  fedcba9876543210  \n");
        let tokens = Tokens::from_file(file.path()).unwrap();
        assert_eq!(tokens.name_of("0123456789abcdef").as_deref(), Some("alice"));
        assert_eq!(tokens.name_of("fedcba9876543210").as_deref(), Some("token"));
        for wrong in ["", "alice", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0"] {
            assert_eq!(tokens.name_of(wrong), None, "{wrong}");
        }
        assert!(!format!("{tokens:?}").contains("0123"));
        std::fs::write(file.path(), "bob:00000000000000000000").unwrap();
        let shared = tokens.clone();
        assert!(shared.reread().unwrap() && !shared.reread().unwrap());
        assert_eq!(tokens.name_of("0123456789abcdef"), None);
        std::fs::write(file.path(), "").unwrap();
        assert!(tokens.reread().is_err());
        assert_eq!(tokens.name_of("00000000000000000000").as_deref(), Some("bob"));
    }

    #[test]
    fn errors_name_the_line_and_never_the_token() {
        for (text, expected) in [
            ("", "no line has a token"),
            ("# only\n", "no line has a token"),
            ("alice:0123456789abcdef\nbob:secret\n", "line 2: the token is too short"),
            (":0123456789abcdef", "line 1: the name before the colon is empty"),
            ("x:0123456789 secret abc", "line 1: the token has other characters"),
        ] {
            let file = write(text);
            let error = Tokens::from_file(file.path()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
        let error = Tokens::from_file(write(&"# more\n".repeat(10_000)).path()).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("larger than 65536 bytes"));
        assert!(Tokens::from_file(Path::new("/no/such")).unwrap_err().to_string().contains("/no/such"));
    }

    #[test]
    fn the_header_has_the_scheme_bearer() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
