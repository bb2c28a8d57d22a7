//! Errors of a session.

use thiserror::Error;

use crate::message::MessageError;
use crate::share::Reason;
use crate::url::PoolUrl;

/// A message that breaks the protocol or refuses the session.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The message is invalid and was skipped.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The pool refused the subscription.
    #[error("the pool refused the subscription: {reason}")]
    SubscribeRefused {
        /// The pool's reason.
        reason: Reason,
    },
    /// The pool's answer to the subscription is invalid.
    #[error("the pool's answer to the subscription is invalid")]
    Subscribe(#[source] MessageError),
    /// The pool refused this user or password.
    #[error("the pool refused to authorize {user:?}: {reason}")]
    Unauthorized {
        /// The refused user.
        user: String,
        /// The pool's reason.
        reason: Reason,
    },
    /// The pool announced new extranonces that cannot be used. Shares with the old ones would all be rejected.
    #[error("the pool announced extranonces that cannot be used")]
    Extranonce(#[source] MessageError),
    /// The pool asked us to connect to another domain. The request was ignored.
    #[error("the pool {pool} asked to reconnect to the foreign host {host:?}: ignored")]
    ForeignReconnect {
        /// The pool that asked.
        pool: PoolUrl,
        /// The host to which the pool tried to redirect us.
        host: String,
    },
}

impl ProtocolError {
    /// Whether the error ends the session. After other errors the session continues.
    pub fn is_fatal(&self) -> bool {
        use ProtocolError::{Extranonce, Subscribe, SubscribeRefused, Unauthorized};
        matches!(self, SubscribeRefused { .. } | Subscribe(_) | Unauthorized { .. } | Extranonce(_))
    }
}
