use prost::Message;

use super::{DecodeError, VERSION, read};
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
}

#[derive(Clone, PartialEq, Message)]
struct PoolLiveMessage {
    #[prost(uint32, tag = "1")]
    connections: u32,
    #[prost(uint64, tag = "2")]
    height: u64,
    #[prost(double, tag = "3")]
    difficulty: f64,
    #[prost(uint32, optional, tag = "20")]
    max_connections: Option<u32>,
}

impl Live {
    /// The bytes for an executor's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let (worker, pool) = match self {
            Live::Worker(live) => {
                let WorkerLive { hashrate, threads, backend, difficulty, pool } = live.clone();
                (Some(WorkerLiveMessage { hashrate, threads, backend, difficulty, pool }), None)
            }
            Live::Pool(live) => {
                let PoolLive { connections, height, difficulty, max_connections } = *live;
                (None, Some(PoolLiveMessage { connections, height, difficulty, max_connections }))
            }
        };
        LiveMessage { version: VERSION, worker, pool }.encode_to_vec()
    }

    /// Reads an executor's `MESSAGE`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or come from neither worker nor pool.
    pub fn decode(bytes: &[u8]) -> Result<Live, DecodeError> {
        let what = "live message";
        let message = read(what, bytes, |m: &LiveMessage| m.version)?;
        match (message.worker, message.pool) {
            (Some(WorkerLiveMessage { hashrate, threads, backend, difficulty, pool }), None) => {
                Ok(Live::Worker(WorkerLive { hashrate, threads, backend, difficulty, pool }))
            }
            (None, Some(PoolLiveMessage { connections, height, difficulty, max_connections })) => {
                Ok(Live::Pool(PoolLive { connections, height, difficulty, max_connections }))
            }
            _ => Err(DecodeError::Field { what, field: "sender" }),
        }
    }
}
