//! The events and effects of a session. They do not depend on a protocol.

use std::sync::Arc;

use client::Outcome;
use node::draft::AssembleError;
use stratum::Reason;

use super::{SessionId, SessionState};
use crate::job::{IssuedJob, Job};
use crate::share::{FoundBlock, JudgedShare, SubmittedShare, UpstreamShare};

/// An event of a session.
#[derive(Debug)]
pub enum Event {
    /// The miner requests something.
    Request(Request),
    /// The pool has a new job.
    Job(Arc<Job>),
    /// The pool has no work at present: all shares are stale from now on.
    NoWork,
    /// The upstream pool has answered a share of [`Effect::Forward`], or will never answer. Or the answer of
    /// [`Effect::AnswerWithNextJob`] is due.
    UpstreamVerdict(Outcome),
    /// The reply to [`Effect::Resume`]: the former session, or `None` if the pool does not have it.
    Resume(Option<Box<SessionState>>),
    /// The time of [`Session::next_deadline`](super::Session::next_deadline) has come.
    Tick,
}

/// A request of the miner. Each request gets one [`Answer`].
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Chooses options; `None` leaves an option unchanged.
    Configure {
        /// Version bits that the miner is able to roll.
        version_mask: Option<u32>,
        /// The lowest difficulty that suits the miner.
        minimum_difficulty: Option<f64>,
        /// Whether the miner understands that its extranonces change.
        extranonce: bool,
    },
    /// Says that the miner understands that its extranonces change.
    SubscribeExtranonce,
    /// Subscribes to jobs.
    Subscribe {
        /// The session to resume.
        resume: Option<SessionId>,
        /// The name and version of the miner's program. The session does not need it.
        user_agent: Option<String>,
    },
    /// Authorizes a worker.
    Authorize {
        /// The worker's name.
        worker: String,
        /// The difficulty that the worker wants to keep, if any.
        fixed_difficulty: Option<f64>,
    },
    /// Suggests a difficulty.
    SuggestDifficulty(f64),
    /// Submits a share.
    Submit(SubmittedShare),
    /// Submits a malformed share; the reason says what is wrong.
    SubmitUnreadable(Reason),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The request is granted; a submitted share counts.
    Accepted,
    /// The request or the share is rejected, with a code of Stratum V1 and a text.
    Rejected(Reason),
    /// The answer to [`Request::Configure`].
    Configured {
        /// Version bits that the miner may roll; `None` if it did not ask for version rolling, or may roll none.
        version_mask: Option<u32>,
        /// Whether the miner asked for a minimum difficulty. The pool always grants this request.
        minimum_difficulty: bool,
    },
    /// The answer to [`Request::Subscribe`].
    Subscribed {
        /// The id by which a later connection can resume the session.
        session: SessionId,
        /// The connection's part of the coinbase.
        extranonce1: Vec<u8>,
        /// Number of coinbase bytes that the miner chooses.
        extranonce2_len: usize,
    },
}

impl From<Result<(), Reason>> for Answer {
    fn from(result: Result<(), Reason>) -> Self {
        result.map_or_else(Answer::Rejected, |()| Answer::Accepted)
    }
}

/// A message to the miner.
#[derive(Clone, Debug)]
pub enum MinerMessage {
    /// The answer to a request.
    Answer(Answer),
    /// The difficulty from the next job on.
    SetDifficulty(f64),
    /// The extranonces from the next job on.
    SetExtranonce {
        /// The connection's part of the coinbase.
        extranonce1: Vec<u8>,
        /// Number of coinbase bytes that the miner chooses.
        extranonce2_len: usize,
    },
    /// Version bits that may be rolled from the next job on.
    SetVersionMask(u32),
    /// A job.
    Job {
        /// The job as this connection gets it.
        issued: IssuedJob,
        /// Whether the miner should immediately drop its earlier jobs.
        clean: bool,
    },
}

/// An effect that the connection carries out for its session.
#[derive(Debug)]
pub enum Effect {
    /// Send this to the miner.
    Send(MinerMessage),
    /// Count a share in the account of its worker.
    CountShare(JudgedShare),
    /// Hand a found block to the source of its work.
    FoundBlock(FoundBlock),
    /// Submit a share to the upstream pool. The share is counted later; its outcome comes back as
    /// [`Event::UpstreamVerdict`].
    Forward(Box<UpstreamShare>),
    /// Submit to the upstream pool a share that makes a block, although it is below that pool's difficulty. The share is counted by
    /// another effect, and its worker does not wait for the outcome.
    ForwardEasyBlock(Box<UpstreamShare>),
    /// Count a share for or against the address of the miner. Stale shares do not count.
    CountForBan {
        /// Whether the share was accepted.
        accepted: bool,
    },
    /// Answer the request that caused this event, which was granted, once there is a job that can make a block, or one on another tip
    /// than this, or after a while. The tip of a candidate is solved, so a miner that waits for the answer before it searches on
    /// wastes no work on the old tip. Comes back as [`Event::UpstreamVerdict`].
    AnswerWithNextJob(Arc<Job>),
    /// Look for a suspended session, and reply with [`Event::Resume`]. An event that causes this effect causes no other
    /// effect.
    Resume(SessionId),
    /// Log that a share met the network's target but makes an invalid block: a fault of this program or of the template.
    InvalidBlock(AssembleError),
    /// A worker of this name, under which its shares are counted, was added to the connection.
    WorkerAdded(Arc<str>),
    /// Count the connection: its first worker, which has this name, was authorized.
    Authorized(Arc<str>),
    /// Update the pool's total hashrate with the miner's new estimated hashrate, in H/s.
    HashrateChanged(u64),
    /// End the connection.
    Close(CloseReason),
}

impl Effect {
    /// The answer to the request that caused the event.
    pub(super) fn answer(answer: impl Into<Answer>) -> Self {
        Effect::Send(MinerMessage::Answer(answer.into()))
    }
}

/// Why a session ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The miner did not subscribe and authorize a worker in time.
    #[error("the miner did not subscribe and authorize a worker in time")]
    Unauthorized,
    /// The miner's extranonce sizes do not fit the new jobs. The miner has to reconnect to get new extranonces.
    #[error("the miner's extranonce sizes do not fit the new jobs; it has to reconnect")]
    IncompatibleExtranonces,
}
