use prost::Message;

use super::instruction::IntervalsMessage;
use super::{COMMON_VERSION, DecodeError, decode};
use crate::{Live, PoolLive, WorkerLive};

#[derive(Clone, PartialEq, Message)]
struct LiveMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    worker: Option<WorkerLiveMessage>,
    #[prost(message, optional, tag = "3")]
    pool: Option<PoolLiveMessage>,
}

#[derive(Clone, PartialEq, Message)]
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
}

#[derive(Clone, PartialEq, Message)]
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
}

impl Live {
    /// Encodes an executor's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let (worker, pool) = match self.clone() {
            Live::Worker(live) => (Some(live.into()), None),
            Live::Pool(live) => (None, Some(live.into())),
        };
        LiveMessage { version: COMMON_VERSION, worker, pool }.encode_to_vec()
    }

    /// Decodes an executor's `MESSAGE`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or come from neither worker nor pool.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "live message";
        let message = decode(what, bytes, |m: &LiveMessage| m.version)?;
        match (message.worker, message.pool) {
            (Some(worker), None) => Ok(Live::Worker(worker.into())),
            (None, Some(pool)) => Ok(Live::Pool(pool.into())),
            _ => Err(DecodeError::Field { what, field: "sender" }),
        }
    }
}

impl From<WorkerLive> for WorkerLiveMessage {
    fn from(live: WorkerLive) -> Self {
        let WorkerLive { hashrate, threads, backend, difficulty, pool, intervals } = live;
        Self { hashrate, threads, backend, difficulty, pool, intervals: intervals.map(Into::into) }
    }
}

impl From<WorkerLiveMessage> for WorkerLive {
    fn from(message: WorkerLiveMessage) -> Self {
        let WorkerLiveMessage { hashrate, threads, backend, difficulty, pool, intervals } = message;
        let intervals = intervals.and_then(IntervalsMessage::read);
        Self { hashrate, threads, backend, difficulty, pool, intervals }
    }
}

impl From<PoolLive> for PoolLiveMessage {
    fn from(live: PoolLive) -> Self {
        let PoolLive { connections, height, difficulty, intervals, max_connections } = live;
        let intervals = intervals.map(Into::into);
        Self { connections, height, difficulty, intervals, max_connections }
    }
}

impl From<PoolLiveMessage> for PoolLive {
    fn from(message: PoolLiveMessage) -> Self {
        let PoolLiveMessage { connections, height, difficulty, intervals, max_connections } = message;
        let intervals = intervals.and_then(IntervalsMessage::read);
        Self { connections, height, difficulty, intervals, max_connections }
    }
}
