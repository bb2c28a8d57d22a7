//! What reaches a session, and what it wants done. Both are free of any protocol.

use std::sync::Arc;

use client::Outcome;
use node::draft::AssembleError;
use stratum::Reason;

use super::{SessionId, SessionState};
use crate::job::{IssuedJob, Job};
use crate::share::{FoundBlock, JudgedShare, SubmittedShare, UpstreamShare};

/// What reaches a session.
#[derive(Debug)]
pub enum Event {
    /// The miner requests something.
    Request(Request),
    /// The pool has a new job.
    Job(Arc<Job>),
    /// The pool has no work at present: all shares are stale from now on.
    NoWork,
    /// The upstream pool answered a share of [`Effect::Forward`], or never will.
    UpstreamVerdict(Outcome),
    /// The reply to [`Effect::Resume`]: the former session, if it was found.
    Resume(Option<Box<SessionState>>),
    /// The time of [`Session::next_deadline`](super::Session::next_deadline) has come.
    Tick,
}

/// What a miner requests. Each request gets one [`Answer`].
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// To choose options; `None` leaves one as it is.
    Configure {
        /// Version bits that the miner is able to roll.
        version_mask: Option<u32>,
        /// The lowest difficulty that suits the miner.
        minimum_difficulty: Option<f64>,
    },
    /// To get jobs.
    Subscribe {
        /// The session to resume.
        resume: Option<SessionId>,
    },
    /// To mine as this worker.
    Authorize {
        /// The worker's name.
        worker: String,
        /// A difficulty that is to stay, if the worker wants one.
        fixed_difficulty: Option<f64>,
    },
    /// To begin with this difficulty.
    SuggestDifficulty(f64),
    /// To count a share.
    Submit(SubmittedShare),
    /// To count a share that cannot be read; the reason says why.
    SubmitUnreadable(Reason),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Yes. A share counts.
    Accepted,
    /// No. Code and text are those of Stratum V1.
    Rejected(Reason),
    /// To [`Request::Configure`].
    Configured {
        /// Version bits that the miner may roll, if it asked.
        version_mask: Option<u32>,
        /// Whether the miner asked for a lowest difficulty, which it then has.
        minimum_difficulty: bool,
    },
    /// To [`Request::Subscribe`].
    Subscribed {
        /// With this the miner can resume the session over a later connection.
        session: SessionId,
        /// The connection's part of the coinbase.
        extranonce1: Vec<u8>,
        /// Bytes of the coinbase that the miner chooses.
        extranonce2_len: usize,
    },
}

impl From<Result<(), Reason>> for Answer {
    fn from(result: Result<(), Reason>) -> Self {
        result.map_or_else(Answer::Rejected, |()| Answer::Accepted)
    }
}

/// What a miner is told.
#[derive(Clone, Debug)]
pub enum MinerMessage {
    /// The answer to a request.
    Answer(Answer),
    /// The difficulty from the next job on.
    SetDifficulty(f64),
    /// Version bits that may be rolled from the next job on.
    SetVersionMask(u32),
    /// A job.
    Job {
        /// The job as this connection gets it.
        issued: IssuedJob,
        /// Whether the miner should drop its earlier jobs at once.
        clean: bool,
    },
}

/// What a session wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send this to the miner.
    Send(MinerMessage),
    /// Count a share in the account of its worker.
    CountShare(JudgedShare),
    /// Hand a found block to the source of its work.
    FoundBlock(FoundBlock),
    /// Submit a share to the upstream pool. It is not counted yet; its outcome comes back by [`Event::UpstreamVerdict`].
    Forward(Box<UpstreamShare>),
    /// Count a share for or against the address of the miner. Stale shares do not count.
    CountForBan {
        /// Whether it was accepted.
        accepted: bool,
    },
    /// Look for a suspended session, and reply by [`Event::Resume`]. It is the only effect of its event.
    Resume(SessionId),
    /// Log that a share met the network's target but makes an invalid block: a fault of this program or of the template.
    InvalidBlock(AssembleError),
    /// Count the connection: its first worker was authorized.
    Authorized,
    /// Take the miner's new estimated hashrate, in H/s, into account.
    HashrateChanged(u64),
    /// End the connection.
    Close(CloseReason),
}

impl Effect {
    /// Answers the request of the present event.
    pub(super) fn answer(answer: impl Into<Answer>) -> Self {
        Effect::Send(MinerMessage::Answer(answer.into()))
    }
}

/// Why a session ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The miner did not subscribe and authorize a worker in time.
    #[error("it has not subscribed and authorized a worker in time")]
    Unauthorized,
    /// The miner's extranonces do not fit into the new jobs. It has to connect again for others.
    #[error("its extranonces do not fit into the new jobs")]
    IncompatibleExtranonces,
}
