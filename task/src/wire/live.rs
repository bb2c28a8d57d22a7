use problem::{Problem, ProblemKind};
use prost::Message as _;

use super::instruction::IntervalsMessage;
use super::report::TotalsMessage;
use super::{COMMON_VERSION, DecodeError, decode};
use crate::{DelayQuantiles, Live, Message, PoolLive, WorkerDelays, WorkerLive};

/// Maximum length of the text of a problem, in characters. A longer one is cut: the peers whose words it has are not bounded.
const LONGEST_TEXT: usize = 1_000;
/// The same of the name of a CPU. The longest ones that are known have 50.
const LONGEST_CPU_MODEL: usize = 100;

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
    #[prost(bool, optional, tag = "22")]
    paused: Option<bool>,
    #[prost(string, tag = "23")]
    cpu_model: String,
    #[prost(message, optional, tag = "24")]
    delays: Option<DelaysMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct DelaysMessage {
    #[prost(message, optional, tag = "1")]
    notify_to_first_hash: Option<QuantilesMessage>,
    #[prost(message, optional, tag = "2")]
    share_round_trip: Option<QuantilesMessage>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct QuantilesMessage {
    #[prost(uint32, tag = "1")]
    median_us: u32,
    #[prost(uint32, tag = "2")]
    p99_us: u32,
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
            Message::Live(live) => match *live {
                Live::Worker(live) => (Some(live.into()), None, None),
                Live::Pool(live) => (None, Some(live.into()), None),
            },
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
            (Some(worker), None, None) => Ok(Message::Live(Box::new(Live::Worker(worker.into())))),
            (None, Some(pool), None) => Ok(Message::Live(Box::new(Live::Pool(pool.into())))),
            (None, None, Some(problem)) => Ok(Message::Waiting(problem.into())),
            _ => Err(DecodeError::Field { what, field: "sender" }),
        }
    }
}

impl Live {
    /// Encodes an executor's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        Message::Live(self.clone().into()).encode()
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
        Self {
            hashrate: live.hashrate,
            threads: live.threads,
            backend: live.backend,
            difficulty: live.difficulty,
            pool: live.pool,
            intervals: live.intervals.map(Into::into),
            problem: live.problem.map(Into::into),
            totals: live.totals.map(Into::into),
            paused: live.paused,
            cpu_model: cut(live.cpu_model),
            delays: live.delays.map(Into::into),
        }
    }
}

impl From<WorkerLiveMessage> for WorkerLive {
    fn from(message: WorkerLiveMessage) -> Self {
        Self {
            hashrate: message.hashrate,
            threads: message.threads,
            backend: message.backend,
            difficulty: message.difficulty,
            pool: message.pool,
            intervals: message.intervals.and_then(IntervalsMessage::read),
            problem: message.problem.map(Into::into),
            totals: message.totals.map(Into::into),
            paused: message.paused,
            cpu_model: cut(message.cpu_model),
            delays: message.delays.map(Into::into),
        }
    }
}

/// The name of a CPU, as much of it as is kept.
fn cut(mut cpu_model: String) -> String {
    if let Some((end, _)) = cpu_model.char_indices().nth(LONGEST_CPU_MODEL) {
        cpu_model.truncate(end);
    }
    cpu_model
}

impl From<WorkerDelays> for DelaysMessage {
    fn from(WorkerDelays { notify_to_first_hash, share_round_trip }: WorkerDelays) -> Self {
        let [notify_to_first_hash, share_round_trip] =
            [notify_to_first_hash, share_round_trip].map(|delay| delay.map(Into::into));
        Self { notify_to_first_hash, share_round_trip }
    }
}

impl From<DelaysMessage> for WorkerDelays {
    fn from(DelaysMessage { notify_to_first_hash, share_round_trip }: DelaysMessage) -> Self {
        let [notify_to_first_hash, share_round_trip] =
            [notify_to_first_hash, share_round_trip].map(|delay| delay.map(Into::into));
        Self { notify_to_first_hash, share_round_trip }
    }
}

impl From<DelayQuantiles> for QuantilesMessage {
    fn from(DelayQuantiles { median, p99 }: DelayQuantiles) -> Self {
        Self { median_us: median, p99_us: p99 }
    }
}

impl From<QuantilesMessage> for DelayQuantiles {
    fn from(QuantilesMessage { median_us, p99_us }: QuantilesMessage) -> Self {
        Self { median: median_us, p99: p99_us }
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
