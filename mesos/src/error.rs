//! Errors of calls and streams, and whether a retry may help.

use std::fmt;
use std::io;
use std::time::Duration;

use text::InWords;

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
    /// No process listens at the address, or the host name is unknown.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address.
        address: HostPort,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No response came in time. The call may have arrived.
    #[error("no answer from {endpoint} within {}", InWords(*.after))]
    Timeout {
        /// The peer.
        endpoint: Endpoint,
        /// The time limit.
        after: Duration,
    },
    /// The connection ended before the response. The call may have arrived.
    #[error("the connection to {endpoint} broke before the answer")]
    Broken {
        /// The peer.
        endpoint: Endpoint,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A master or agent is starting, no master leads, or a proxy is overloaded or cannot reach the master.
    #[error("{endpoint} is not ready yet (HTTP {status}: {message}){}", starting_hint(*status))]
    NotReady {
        /// The peer.
        endpoint: Endpoint,
        /// The HTTP status: 404, 408, 429 or 5xx.
        status: u16,
        /// The peer's message.
        message: String,
    },
    /// The master to which the client is subscribed does not lead any more.
    #[error("{endpoint} does not lead any more; subscribe again")]
    NotLeading {
        /// The master.
        endpoint: Endpoint,
    },
    /// The client has no subscription, which this call needs.
    #[error("not subscribed: subscribe before other calls")]
    NotSubscribed,
    /// Too many successive redirects.
    #[error("{endpoint} was reached over {count} redirects and redirects again")]
    TooManyRedirects {
        /// The last endpoint.
        endpoint: Endpoint,
        /// The number of redirects that were followed.
        count: usize,
    },
    /// A redirect without a valid target.
    #[error("{endpoint} redirects, but not to another master")]
    BadRedirect {
        /// The peer that redirects.
        endpoint: Endpoint,
        /// Why the redirect target is invalid.
        #[source]
        source: AddressError,
    },
    /// The peer's address begins with https://, and [`Config::tls`](crate::Config::tls) is not set.
    #[error("{address} uses TLS (https://), and no settings for TLS are given")]
    NeedsTls {
        /// The peer's address.
        address: HostPort,
    },
    /// The call failed at the target of a redirect.
    #[error("{from} redirects to {to}")]
    Redirected {
        /// The address of the peer that redirects.
        from: HostPort,
        /// The address that the call was redirected to.
        to: HostPort,
        /// The error of the call there.
        #[source]
        source: Box<CallError>,
    },
    /// The peer has understood the call, but refuses to execute it.
    #[error("{endpoint} refused {call} (HTTP {status}: {message}): {refusal}")]
    Refused {
        /// The peer.
        endpoint: Endpoint,
        /// The type of the call.
        call: &'static str,
        /// The HTTP status, 4xx.
        status: u16,
        /// The peer's message.
        message: String,
        /// The meaning of the refusal.
        refusal: Refusal,
    },
    /// The peer is not Mesos.
    #[error("{endpoint} does not look like Mesos: {found}; check the address")]
    NotMesos {
        /// The peer.
        endpoint: Endpoint,
        /// Why the response does not look like Mesos.
        found: String,
    },
}

/// Advice for a 404: a master or agent that has just started responds with 404, but only for some milliseconds.
fn starting_hint(status: u16) -> &'static str {
    if status == 404 { "; if this persists, check the address" } else { "" }
}

/// The kinds of refusals. `Display` shows how to react.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// HTTP status 401, and the call had no credentials.
    CredentialsNeeded,
    /// HTTP status 401, although the call had a principal and a secret.
    CredentialsWrong,
    /// HTTP status 401, although the call had an executor's token.
    TokenWrong,
    /// HTTP status 403.
    Forbidden,
    /// The subscription that the call belongs to has ended.
    NotSubscribed,
    /// The agent does not know the framework or the executor, or has forgotten one of them.
    UnknownExecutor,
    /// HTTP status 400.
    Malformed,
    /// The path belongs to another API.
    WrongApi,
    /// HTTP status 409.
    Conflict,
    /// HTTP status 406 or 415.
    MediaType,
    /// Any other status.
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
            Self::UnknownExecutor => "the agent does not know this executor any more; it should exit",
            Self::Malformed => "the call is not valid as it is, and trying again will not help",
            Self::WrongApi => "another API is spoken there; is this an agent instead of a master?",
            Self::Conflict => "it conflicts with the present state; look at that state before trying again",
            Self::MediaType => "protobuf over HTTP is not spoken there; check address and path",
            Self::Other => "trying again will not help",
        })
    }
}

impl CallError {
    /// The error itself, or, after redirects, the error at the last target.
    pub fn cause(&self) -> &CallError {
        match self {
            Self::Redirected { source, .. } => source.cause(),
            error => error,
        }
    }

    /// Whether the same call may succeed later without a change of settings, perhaps after a new subscription (see
    /// [`CallError::needs_subscription`]).
    pub fn is_transient(&self) -> bool {
        match self {
            // InvalidData: the peer does not use TLS, or its certificate is not trusted.
            Self::Connect { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
            }
            Self::NoLeader(source) => source.is_transient(),
            Self::Redirected { source, .. } => source.is_transient(),
            Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::NotReady { .. }
            | Self::NotLeading { .. }
            | Self::TooManyRedirects { .. }
            | Self::NotSubscribed => true,
            Self::Refused { refusal, .. } => *refusal == Refusal::NotSubscribed,
            Self::BadRedirect { .. } | Self::NeedsTls { .. } | Self::NotMesos { .. } => false,
        }
    }

    /// Whether credentials are missing or wrong, so that no other call would succeed either.
    pub fn concerns_credentials(&self) -> bool {
        let credentials = [Refusal::CredentialsNeeded, Refusal::CredentialsWrong, Refusal::TokenWrong];
        matches!(self.cause(), Self::Refused { refusal, .. } if credentials.contains(refusal))
    }

    /// Whether the subscription has ended, so that the client must subscribe again before any other call.
    pub fn needs_subscription(&self) -> bool {
        matches!(
            self.cause(),
            Self::NotLeading { .. }
                | Self::NotSubscribed
                | Self::Refused { refusal: Refusal::NotSubscribed, .. }
        )
    }
}

/// Why an event stream ended before its last chunk. For every variant, the remedy is to subscribe again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection broke, most likely because the peer died.
    #[error("the event stream of {endpoint} broke")]
    Broken {
        /// The peer.
        endpoint: Endpoint,
        /// The cause.
        #[source]
        source: hyper::Error,
    },
    /// Neither an event nor a heartbeat has arrived for too long.
    #[error("received nothing from {endpoint} for {}; assuming that the connection is dead", InWords(*.silence))]
    Silent {
        /// The peer.
        endpoint: Endpoint,
        /// The length of the silence.
        silence: Duration,
    },
    /// ZooKeeper names another leader. The old leader may be frozen or partitioned, and may not have noticed the change.
    #[error("{endpoint} does not lead any more: ZooKeeper names {leader}")]
    LeaderChanged {
        /// The master that sent the stream.
        endpoint: Endpoint,
        /// The new leader.
        leader: HostPort,
    },
    /// The bytes are not RecordIO.
    #[error("the event stream of {endpoint} is malformed")]
    Record {
        /// The peer.
        endpoint: Endpoint,
        /// The cause.
        #[source]
        source: RecordError,
    },
    /// A record is not an event.
    #[error("{endpoint} sent {length} bytes that are not an event")]
    Event {
        /// The peer.
        endpoint: Endpoint,
        /// Length of the record in bytes.
        length: usize,
        /// The cause.
        #[source]
        source: prost::DecodeError,
    },
}
