//! Stratum V1, the line-based JSON-RPC between miners and pools, for both ends. No policy, no hashing loop and no
//! sockets of its own.
//!
//! ```text
//! bytes ─Connection→ Message ─Session→ Event::Job(Job) ─header()→ hasher::Header
//!                                      Event::Answer   ←submit()─ Share
//! ```
//!
//! - [`message`]: the envelope and the typed methods, read tolerantly and written strictly;
//! - [`connection`]: lines over any `AsyncRead + AsyncWrite`, with a cap on their length;
//! - [`job`]: coinbase → merkle root → header, with the byte orders of the wire;
//! - [`session`]: the client's state machine: messages in, events out;
//! - [`share`]: what a miner submits and what becomes of it;
//! - [`url`]: how a pool's address is written.
//!
//! The protocol was never specified; the nearest to a source are the pools' and miners' own programs and, for
//! `mining.configure`, [BIP-0310](https://github.com/bitcoin/bips/blob/master/bip-0310.mediawiki).

pub mod connection;
pub mod job;
pub mod message;
pub mod session;
pub mod share;
pub mod url;

mod domain;
mod text;

pub use connection::{Connection, ReadError, Reader, WriteError, Writer};
pub use job::Job;
pub use message::{Call, Id, Message, MessageError, Notification, Notify, Request, Response};
pub use session::{Event, Options, ProtocolError, Resume, Session};
pub use share::{Reason, Share, Verdict};
pub use url::{PoolUrl, PoolUrlError, Scheme};
