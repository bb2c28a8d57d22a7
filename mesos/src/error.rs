//! What can go wrong, and whether it is worth trying again.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::address::{AddressError, Endpoint, HostPort};
use crate::detector::DetectError;
use crate::recordio::RecordError;

/// Why a call, or a subscription, did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// ZooKeeper names no leader.
    #[error("there is no leading master to subscribe to")]
    NoLeader(#[source] DetectError),
    /// Nobody listens there, or the name is not known.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: HostPort,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time. Whether the call has arrived is not known.
    #[error("no answer from {endpoint} within {after:?}")]
    Timeout {
        /// From whom.
        endpoint: Endpoint,
        /// The time limit.
        after: Duration,
    },
    /// The connection ended before the answer. Whether the call has arrived is not known.
    #[error("the connection to {endpoint} broke before the answer")]
    Broken {
        /// To whom.
        endpoint: Endpoint,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A master or agent that is starting, a master without a leader, or a proxy that has too much to do or nobody behind
    /// it.
    #[error("{endpoint} is not ready yet (HTTP {status}: {message}){}", starting_hint(*status))]
    NotReady {
        /// Who.
        endpoint: Endpoint,
        /// The HTTP status: 404, 408, 429 or 5xx.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The master that the subscription is with does not lead any more.
    #[error("{endpoint} does not lead any more; subscribe again")]
    Moved {
        /// Who.
        endpoint: Endpoint,
    },
    /// There is no subscription that the call could belong to.
    #[error("not subscribed: subscribe before other calls")]
    NotSubscribed,
    /// One master points to the next, without end.
    #[error("{endpoint} was reached over {count} redirects and redirects again")]
    Redirects {
        /// The last one.
        endpoint: Endpoint,
        /// How many were followed.
        count: usize,
    },
    /// A redirect that leads nowhere.
    #[error("{endpoint} redirects, but not to another master")]
    Redirect {
        /// Who.
        endpoint: Endpoint,
        /// Where to.
        #[source]
        source: AddressError,
    },
    /// Understood, but not done.
    #[error("{endpoint} refused {call} (HTTP {status}: {message}): {refusal}")]
    Refused {
        /// Who.
        endpoint: Endpoint,
        /// The type of the call.
        call: &'static str,
        /// The HTTP status, 4xx.
        status: u16,
        /// What it says.
        message: String,
        /// What that means.
        refusal: Refusal,
    },
    /// Something answers, but it is no Mesos.
    #[error("{endpoint} does not look like Mesos: {found}; check the address")]
    NotMesos {
        /// Who.
        endpoint: Endpoint,
        /// What is odd about its answer.
        found: String,
    },
}

/// A master or agent that starts says 404 for some milliseconds; an agent asked for a master's API says so always.
fn starting_hint(status: u16) -> &'static str {
    if status == 404 { "; if that goes on, check the address" } else { "" }
}

/// Kinds of refusals. `Display` says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 401, and nothing was presented.
    CredentialsNeeded,
    /// 401 in spite of a principal and secret.
    CredentialsWrong,
    /// 401 in spite of an executor's token.
    TokenWrong,
    /// 403.
    Forbidden,
    /// The subscription that the call belongs to is over.
    NotSubscribed,
    /// The agent does not know the framework or the executor, or not any more.
    Disowned,
    /// 400.
    Malformed,
    /// Another API is spoken under that path.
    WrongApi,
    /// 409.
    Conflict,
    /// 406 or 415.
    MediaType,
    /// Anything else.
    Other,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CredentialsNeeded => "authentication is required; give a principal and its secret",
            Self::CredentialsWrong => "the credentials were not accepted; check the principal and its secret",
            Self::TokenWrong => "the token was not accepted; the agent that gave it has another key now",
            Self::Forbidden => {
                "not allowed for this principal; check the access control lists (ACLs) of Mesos"
            }
            Self::NotSubscribed => "the subscription is over; subscribe again",
            Self::Disowned => "the agent does not know this executor any more; it should exit",
            Self::Malformed => "the call is not valid as it is, and trying again will not help",
            Self::WrongApi => "another API is spoken there; is this an agent instead of a master?",
            Self::Conflict => "it conflicts with the present state; look at that state before trying again",
            Self::MediaType => "protobuf over HTTP is not spoken there; check address and path",
            Self::Other => "trying again will not help",
        })
    }
}

impl CallError {
    /// Whether the same may well succeed later without anybody's help, perhaps after a new subscription
    /// (see [`CallError::needs_subscription`]).
    pub fn is_transient(&self) -> bool {
        match self {
            // InvalidData: TLS has failed, for the lack of it or of trust.
            Self::Connect { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
            }
            Self::NoLeader(source) => source.is_transient(),
            Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::NotReady { .. }
            | Self::Moved { .. }
            | Self::Redirects { .. }
            | Self::NotSubscribed => true,
            Self::Refused { refusal, .. } => *refusal == Refusal::NotSubscribed,
            Self::Redirect { .. } | Self::NotMesos { .. } => false,
        }
    }

    /// Whether who we are was not told or not believed, so that no other call would succeed either.
    pub fn concerns_credentials(&self) -> bool {
        let credentials = [Refusal::CredentialsNeeded, Refusal::CredentialsWrong, Refusal::TokenWrong];
        matches!(self, Self::Refused { refusal, .. } if credentials.contains(refusal))
    }

    /// Whether the subscription is over, so that a new one must be made before any other call.
    pub fn needs_subscription(&self) -> bool {
        matches!(
            self,
            Self::Moved { .. } | Self::NotSubscribed | Self::Refused { refusal: Refusal::NotSubscribed, .. }
        )
    }
}

/// Why a stream of events has ended other than by its last chunk. In each case the remedy is to subscribe again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection broke: the other side died, most likely.
    #[error("the event stream of {endpoint} broke")]
    Broken {
        /// Whose.
        endpoint: Endpoint,
        /// How.
        #[source]
        source: hyper::Error,
    },
    /// Neither an event nor a heartbeat for too long.
    #[error("nothing came from {endpoint} for {silence:?}; taking the connection for dead")]
    Silent {
        /// From whom.
        endpoint: Endpoint,
        /// For how long.
        silence: Duration,
    },
    /// ZooKeeper names another leader. The stream's master may be frozen or cut off, and not know it yet.
    #[error("{endpoint} does not lead any more: ZooKeeper names {leader}")]
    Moved {
        /// Whose stream it is.
        endpoint: Endpoint,
        /// Who leads.
        leader: HostPort,
    },
    /// Not RecordIO.
    #[error("the event stream of {endpoint} is malformed")]
    Record {
        /// Whose.
        endpoint: Endpoint,
        /// How.
        #[source]
        source: RecordError,
    },
    /// A record that is no event.
    #[error("{endpoint} sent {length} bytes that are no event")]
    Event {
        /// Who.
        endpoint: Endpoint,
        /// Length of the record.
        length: usize,
        /// What is wrong with it.
        #[source]
        source: prost::DecodeError,
    },
}
