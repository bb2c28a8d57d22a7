//! Failures of TLS, and what a server that wants a client certificate means for the user.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why TLS failed on a connection, in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The server refuses this client, for instance because it wants a client certificate. Another try does not help.
    #[error("{0}")]
    Refused(String),
    /// Any other failure.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// The failure that is the cause of this error, if any.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Whether this program shows a certificate to servers.
#[derive(Clone, Debug)]
pub(super) enum ClientCertificate {
    /// The user cannot give one.
    Unsupported,
    /// The user has given none. The text says how to give one.
    Missing(&'static str),
    /// This file has it.
    Given(PathBuf),
}

impl ClientCertificate {
    /// What to do if a server wants a client certificate.
    pub fn wanted(&self) -> String {
        match self {
            Self::Unsupported => {
                "it wants a client certificate, which cannot be given for this kind of server: use \
                                  a server or a port that wants none"
                    .to_owned()
            }
            Self::Missing(how) => format!("it wants a client certificate: {how}"),
            Self::Given(file) => format!(
                "it wants a client certificate from another authority than the one in {}",
                file.display()
            ),
        }
    }

    /// What to do if a server does not accept what this program shows.
    pub fn not_accepted(&self) -> String {
        match self {
            Self::Given(file) => {
                format!(
                    "it does not accept the client certificate in {}; its log may say why",
                    file.display()
                )
            }
            Self::Unsupported | Self::Missing(_) => self.wanted(),
        }
    }
}
