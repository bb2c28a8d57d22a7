use std::time::Duration;

use prost::Message;

use super::{DecodeError, VERSION, millis, port, read};
use crate::{Chain, ServerSpec, TaskKind, TaskSpec, WorkerSpec};

#[derive(Clone, PartialEq, Message)]
struct SpecMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    report_interval_ms: u64,
    #[prost(uint64, tag = "3")]
    live_interval_ms: u64,
    #[prost(message, optional, tag = "4")]
    server: Option<ServerMessage>,
    #[prost(message, optional, tag = "5")]
    worker: Option<WorkerMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ServerMessage {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(uint32, tag = "2")]
    stratum_port: u32,
    #[prost(uint32, tag = "3")]
    http_port: u32,
    #[prost(uint64, tag = "4")]
    share_interval_ms: u64,
    #[prost(message, optional, tag = "5")]
    builtin: Option<BuiltinMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct BuiltinMessage {
    #[prost(uint64, tag = "1")]
    block_interval_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WorkerMessage {
    #[prost(string, tag = "1")]
    pool: String,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(string, tag = "3")]
    password: String,
    #[prost(double, tag = "4")]
    cpus: f64,
    #[prost(string, optional, tag = "5")]
    backend: Option<String>,
}

impl TaskSpec {
    /// The bytes for `TaskInfo.data`.
    pub fn encode(&self) -> Vec<u8> {
        let (server, worker) = match &self.kind {
            TaskKind::Server(server) => (Some(server.into()), None),
            TaskKind::Worker(worker) => (None, Some(worker.into())),
        };
        SpecMessage {
            version: VERSION,
            report_interval_ms: millis(self.report_interval),
            live_interval_ms: millis(self.live_interval),
            server,
            worker,
        }
        .encode_to_vec()
    }

    /// Reads `TaskInfo.data`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or name neither a server nor a worker.
    pub fn decode(bytes: &[u8]) -> Result<TaskSpec, DecodeError> {
        let what = "task specification";
        let message = read(what, bytes, |m: &SpecMessage| m.version)?;
        let kind = match (message.server, message.worker) {
            (Some(server), None) => TaskKind::Server(server.try_into()?),
            (None, Some(worker)) => TaskKind::Worker(worker.into()),
            _ => return Err(DecodeError::Field { what, field: "kind" }),
        };
        Ok(TaskSpec {
            report_interval: Duration::from_millis(message.report_interval_ms),
            live_interval: Duration::from_millis(message.live_interval_ms),
            kind,
        })
    }
}

impl From<&ServerSpec> for ServerMessage {
    fn from(spec: &ServerSpec) -> ServerMessage {
        let Chain::Builtin { block_interval } = spec.chain;
        ServerMessage {
            host: spec.host.clone(),
            stratum_port: spec.stratum_port.into(),
            http_port: spec.http_port.into(),
            share_interval_ms: millis(spec.share_interval),
            builtin: Some(BuiltinMessage { block_interval_ms: millis(block_interval) }),
        }
    }
}

impl TryFrom<ServerMessage> for ServerSpec {
    type Error = DecodeError;

    fn try_from(message: ServerMessage) -> Result<ServerSpec, DecodeError> {
        let what = "server specification";
        let builtin = message.builtin.ok_or(DecodeError::Field { what, field: "chain" })?;
        Ok(ServerSpec {
            host: message.host,
            stratum_port: port(what, "Stratum port", message.stratum_port)?,
            http_port: port(what, "HTTP port", message.http_port)?,
            share_interval: Duration::from_millis(message.share_interval_ms),
            chain: Chain::Builtin { block_interval: Duration::from_millis(builtin.block_interval_ms) },
        })
    }
}

impl From<&WorkerSpec> for WorkerMessage {
    fn from(spec: &WorkerSpec) -> WorkerMessage {
        WorkerMessage {
            pool: spec.pool.clone(),
            user: spec.user.clone(),
            password: spec.password.clone(),
            cpus: spec.cpus,
            backend: spec.backend.clone(),
        }
    }
}

impl From<WorkerMessage> for WorkerSpec {
    fn from(message: WorkerMessage) -> WorkerSpec {
        WorkerSpec {
            pool: message.pool,
            user: message.user,
            password: message.password,
            cpus: message.cpus,
            backend: message.backend,
        }
    }
}
