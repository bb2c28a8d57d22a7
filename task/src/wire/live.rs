use problem::{Problem, ProblemKind};
use prost::Message as _;

use super::instruction::IntervalsMessage;
use super::report::TotalsMessage;
use super::{COMMON_VERSION, DecodeError, decode};
use crate::{Live, Message, PoolLive, WorkerLive};

/// Maximum length of the text of a problem, in characters. A longer one is cut: the peers whose words it has are not bounded.
const LONGEST_TEXT: usize = 1_000;

#[derive(Clone, PartialEq, prost::Message)]
struct LiveMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    worker: Option<WorkerLiveMessage>,
    #[prost(message, optional, tag = "3")]
    pool: Option<PoolLiveMessage>,
    /// Why the task does not work yet. If this field is present, the two others are absent: a program that is too old to know
    /// this field reports that the sender is missing, and ignores the message.
    #[prost(message, optional, tag = "20")]
    waiting: Option<ProblemMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProblemMessage {
    /// The code of the problem's kind.
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WorkerLiveMessage {
    #[prost(double, tag = "1")]
    hashrate: f64,
    #[prost(uint32, tag = "2")]
    threads: u32,
    #[prost(string, tag = "3")]
    backend: String,
    #[prost(double, tag = "4")]
    difficulty: f64,
    #[prost(string, tag = "5")]
    pool: String,
    #[prost(message, optional, tag = "6")]
    intervals: Option<IntervalsMessage>,
    #[prost(message, optional, tag = "20")]
    problem: Option<ProblemMessage>,
    #[prost(message, optional, tag = "21")]
    totals: Option<TotalsMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PoolLiveMessage {
    #[prost(uint32, tag = "1")]
    connections: u32,
    #[prost(uint64, tag = "2")]
    height: u64,
    #[prost(double, tag = "3")]
    difficulty: f64,
    #[prost(message, optional, tag = "4")]
    intervals: Option<IntervalsMessage>,
    #[prost(uint32, optional, tag = "20")]
    max_connections: Option<u32>,
    #[prost(message, optional, tag = "21")]
    problem: Option<ProblemMessage>,
    #[prost(uint64, optional, tag = "22")]
    credentials: Option<u64>,
}

impl Message {
    /// Encodes an executor's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let (worker, pool, waiting) = match self.clone() {
            Message::Live(Live::Worker(live)) => (Some(live.into()), None, None),
            Message::Live(Live::Pool(live)) => (None, Some(live.into()), None),
            Message::Waiting(problem) => (None, None, Some(problem.into())),
        };
        LiveMessage { version: COMMON_VERSION, worker, pool, waiting }.encode_to_vec()
    }

    /// Decodes an executor's `MESSAGE`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or come from neither worker nor pool.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "live message";
        let message = decode(what, bytes, |m: &LiveMessage| m.version)?;
        match (message.worker, message.pool, message.waiting) {
            (Some(worker), None, None) => Ok(Message::Live(Live::Worker(worker.into()))),
            (None, Some(pool), None) => Ok(Message::Live(Live::Pool(pool.into()))),
            (None, None, Some(problem)) => Ok(Message::Waiting(problem.into())),
            _ => Err(DecodeError::Field { what, field: "sender" }),
        }
    }
}

impl Live {
    /// Encodes an executor's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        Message::Live(self.clone()).encode()
    }
}

impl From<Problem> for ProblemMessage {
    fn from(Problem { kind, text }: Problem) -> Self {
        let text = text.chars().take(LONGEST_TEXT).collect();
        Self { code: kind.code().to_owned(), text }
    }
}

impl From<ProblemMessage> for Problem {
    /// A kind that this program does not know, because the sender is newer, becomes the general one.
    fn from(ProblemMessage { code, text }: ProblemMessage) -> Self {
        let kind = ProblemKind::from_code(&code).unwrap_or(ProblemKind::TaskWaits);
        Self { kind, text: text.chars().take(LONGEST_TEXT).collect() }
    }
}

impl From<WorkerLive> for WorkerLiveMessage {
    fn from(live: WorkerLive) -> Self {
        let WorkerLive { hashrate, threads, backend, difficulty, pool, intervals, problem, totals } = live;
        let (intervals, problem) = (intervals.map(Into::into), problem.map(Into::into));
        let totals = totals.map(Into::into);
        Self { hashrate, threads, backend, difficulty, pool, intervals, problem, totals }
    }
}

impl From<WorkerLiveMessage> for WorkerLive {
    fn from(message: WorkerLiveMessage) -> Self {
        let WorkerLiveMessage { hashrate, threads, backend, difficulty, pool, intervals, problem, totals } =
            message;
        let intervals = intervals.and_then(IntervalsMessage::read);
        let (problem, totals) = (problem.map(Into::into), totals.map(Into::into));
        Self { hashrate, threads, backend, difficulty, pool, intervals, problem, totals }
    }
}

impl From<PoolLive> for PoolLiveMessage {
    fn from(live: PoolLive) -> Self {
        let PoolLive { connections, height, difficulty, intervals, max_connections, problem, credentials } =
            live;
        let (intervals, problem) = (intervals.map(Into::into), problem.map(Into::into));
        Self { connections, height, difficulty, intervals, max_connections, problem, credentials }
    }
}

impl From<PoolLiveMessage> for PoolLive {
    fn from(message: PoolLiveMessage) -> Self {
        let PoolLiveMessage {
            connections,
            height,
            difficulty,
            intervals,
            max_connections,
            problem,
            credentials,
        } = message;
        let intervals = intervals.and_then(IntervalsMessage::read);
        let problem = problem.map(Into::into);
        Self { connections, height, difficulty, intervals, max_connections, problem, credentials }
    }
}
