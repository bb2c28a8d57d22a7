//! Stratum V1, the line-based JSON-RPC protocol between miners and pools, for both ends. The crate opens no sockets,
//! computes no shares and implements no policy.
//!
//! ```text
//! bytes ─Reader→ Message ─Session→ Event::Job(Job) ─header()→ hasher::Header
//!                                  Event::Answer   ←submit()─ Share
//! ```
//!
//! - [`message`]: messages with typed methods, read tolerantly and written strictly;
//! - [`connection`]: lines of limited length over any `AsyncRead + AsyncWrite`;
//! - [`job`]: coinbase → merkle root → header, with the byte orders of the wire;
//! - [`session`]: the client's state machine: messages in, events out;
//! - [`share`]: shares, and the reasons why pools reject them;
//! - [`url`]: addresses of pools.
//!
//! Stratum V1 has no specification. The rules in this crate come from the source code of pools and miners and, for
//! `mining.configure`, from [BIP-0310](https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki).

pub mod connection;
pub mod job;
pub mod message;
pub mod session;
pub mod share;
pub mod url;

mod domain;
mod text;

pub use connection::{ReadError, Reader, WriteError, Writer};
pub use job::Job;
pub use message::{Call, Id, Message, MessageError, Notification, Notify, Request, Response};
pub use session::{Event, OptionalRequest, ProtocolError, ResumeToken, Session, SessionOptions};
pub use share::{Reason, Share};
pub use url::{PoolUrl, PoolUrlError, Scheme};
