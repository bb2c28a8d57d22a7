//! What a session wants done.

use node::draft::AssembleError;
use stratum::Id;

use super::resume::SessionId;
use crate::accounts::JudgedShare;
use crate::share::{FoundBlock, UpstreamShare};

/// What a session wants done. In order; a count comes before the answer that tells the miner of it.
#[derive(Debug)]
pub enum Effect {
    /// Send this line, which has no line end.
    Send(String),
    /// Put a share into the accounts.
    Count(JudgedShare),
    /// A block was found.
    Found(FoundBlock),
    /// An upstream pool has to judge a share. Its reply goes to [`Session::on_reply`](super::Session::on_reply).
    Forward {
        /// The id of the miner's request, which waits for its answer.
        id: Id,
        /// The share. It is not counted yet.
        share: Box<UpstreamShare>,
    },
    /// A share was answered, not a stale one: whether it was accepted.
    Judged(bool),
    /// The miner, whose request has the id `call`, was here before and wants to go on. What is left of that goes to
    /// [`Session::on_resume`](super::Session::on_resume).
    Resume {
        /// The id of its `mining.subscribe`.
        call: Id,
        /// What it was told to be called.
        session: SessionId,
    },
    /// A share met the network's target, but makes no valid block: our own mistake.
    Broken(AssembleError),
    /// The first worker was authorized.
    Authorized,
    /// The miner's estimated hashrate, in H/s, is a new one.
    Hashrate(u64),
    /// End the connection.
    Close(Why),
}

/// Why a session ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was not subscribed, with a worker authorized, in time.
    Unauthorized,
    /// The extranonces that the miner was given don't fit into the new work: it has to ask for others.
    Extranonces,
}
