use std::num::NonZeroU64;
use std::time::Duration;

use prost::Message;

use super::pool_access::PoolAccessMessage;
use super::{COMMON_VERSION, DecodeError, millis, port, read};
use crate::{Chain, NodeAccess, NodeSpec, ServerSpec, TaskKind, TaskSpec, UpstreamSpec, WorkerSpec};

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
    /// Zero: no limit.
    #[prost(uint64, tag = "6")]
    max_updates: u64,
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
    #[prost(message, optional, tag = "6")]
    node: Option<NodeMessage>,
    #[prost(message, optional, tag = "7")]
    upstream: Option<UpstreamMessage>,
    /// A reader of before it came uses the sandbox.
    #[prost(string, optional, tag = "8")]
    data_dir: Option<String>,
}

/// A reader of before it came finds no chain in it, and says so.
#[derive(Clone, PartialEq, Message)]
struct UpstreamMessage {
    #[prost(string, repeated, tag = "1")]
    pools: Vec<String>,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(string, tag = "3")]
    password: String,
    /// Absent where the server connects plainly, as all did before this came.
    #[prost(message, optional, tag = "4")]
    access: Option<PoolAccessMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct BuiltinMessage {
    #[prost(uint64, tag = "1")]
    block_interval_ms: u64,
}

/// A reader of before it came finds no chain in it, and says so.
#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<AccessMessage>,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(bytes = "vec", tag = "3")]
    tag: Vec<u8>,
    #[prost(bool, tag = "4")]
    early_min_difficulty: bool,
}

#[derive(Clone, PartialEq, Message)]
struct AccessMessage {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, optional, tag = "2")]
    user: Option<String>,
    #[prost(string, optional, tag = "3")]
    password: Option<String>,
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
    /// Absent where a worker connects plainly, as all did before this came.
    #[prost(message, optional, tag = "6")]
    access: Option<PoolAccessMessage>,
}

impl TaskSpec {
    /// The bytes for `TaskInfo.data`.
    pub fn encode(&self) -> Vec<u8> {
        let (server, worker) = match &self.kind {
            TaskKind::Server(server) => (Some(server.into()), None),
            TaskKind::Worker(worker) => (None, Some(worker.into())),
        };
        SpecMessage {
            version: COMMON_VERSION,
            report_interval_ms: millis(self.report_interval),
            live_interval_ms: millis(self.live_interval),
            server,
            worker,
            max_updates: self.max_updates.map_or(0, NonZeroU64::get),
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
            (None, Some(worker)) => TaskKind::Worker(worker.try_into()?),
            _ => return Err(DecodeError::Field { what, field: "kind" }),
        };
        Ok(TaskSpec {
            report_interval: Duration::from_millis(message.report_interval_ms),
            live_interval: Duration::from_millis(message.live_interval_ms),
            max_updates: NonZeroU64::new(message.max_updates),
            kind,
        })
    }
}

impl From<&ServerSpec> for ServerMessage {
    fn from(spec: &ServerSpec) -> ServerMessage {
        let (mut builtin, mut node, mut upstream) = (None, None, None);
        match &spec.chain {
            Chain::Builtin { block_interval } => {
                builtin = Some(BuiltinMessage { block_interval_ms: millis(*block_interval) });
            }
            Chain::Node(spec) => node = Some(spec.into()),
            Chain::Upstream(spec) => upstream = Some(spec.into()),
        }
        ServerMessage {
            host: spec.host.clone(),
            stratum_port: spec.stratum_port.into(),
            http_port: spec.http_port.into(),
            share_interval_ms: millis(spec.share_interval),
            builtin,
            node,
            upstream,
            data_dir: spec.data_dir.clone(),
        }
    }
}

impl TryFrom<ServerMessage> for ServerSpec {
    type Error = DecodeError;

    fn try_from(message: ServerMessage) -> Result<ServerSpec, DecodeError> {
        let what = "server specification";
        let chain = match (message.builtin, message.node, message.upstream) {
            (Some(builtin), None, None) => {
                Chain::Builtin { block_interval: Duration::from_millis(builtin.block_interval_ms) }
            }
            (None, Some(node), None) => Chain::Node(node.into()),
            (None, None, Some(upstream)) => Chain::Upstream(upstream.try_into()?),
            _ => return Err(DecodeError::Field { what, field: "chain" }),
        };
        Ok(ServerSpec {
            host: message.host,
            stratum_port: port(what, "Stratum port", message.stratum_port)?,
            http_port: port(what, "HTTP port", message.http_port)?,
            share_interval: Duration::from_millis(message.share_interval_ms),
            chain,
            data_dir: message.data_dir,
        })
    }
}

impl From<&NodeSpec> for NodeMessage {
    fn from(spec: &NodeSpec) -> NodeMessage {
        let access = |node: &NodeAccess| {
            let (user, password) = node.credentials.clone().unzip();
            AccessMessage { url: node.url.clone(), user, password }
        };
        NodeMessage {
            nodes: spec.nodes.iter().map(access).collect(),
            address: spec.address.clone(),
            tag: spec.tag.clone(),
            early_min_difficulty: spec.early_min_difficulty,
        }
    }
}

impl From<NodeMessage> for NodeSpec {
    fn from(message: NodeMessage) -> NodeSpec {
        let access = |node: AccessMessage| NodeAccess {
            url: node.url,
            credentials: node.user.map(|user| (user, node.password.unwrap_or_default())),
        };
        NodeSpec {
            nodes: message.nodes.into_iter().map(access).collect(),
            address: message.address,
            tag: message.tag,
            early_min_difficulty: message.early_min_difficulty,
        }
    }
}

impl From<&UpstreamSpec> for UpstreamMessage {
    fn from(spec: &UpstreamSpec) -> UpstreamMessage {
        let UpstreamSpec { pools, user, password, access } = spec.clone();
        UpstreamMessage { pools, user, password, access: PoolAccessMessage::of(&access) }
    }
}

impl TryFrom<UpstreamMessage> for UpstreamSpec {
    type Error = DecodeError;

    fn try_from(message: UpstreamMessage) -> Result<UpstreamSpec, DecodeError> {
        let UpstreamMessage { pools, user, password, access } = message;
        let access = access.map(TryInto::try_into).transpose()?.unwrap_or_default();
        Ok(UpstreamSpec { pools, user, password, access })
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
            access: PoolAccessMessage::of(&spec.access),
        }
    }
}

impl TryFrom<WorkerMessage> for WorkerSpec {
    type Error = DecodeError;

    fn try_from(message: WorkerMessage) -> Result<WorkerSpec, DecodeError> {
        Ok(WorkerSpec {
            pool: message.pool,
            user: message.user,
            password: message.password,
            access: message.access.map(TryInto::try_into).transpose()?.unwrap_or_default(),
            cpus: message.cpus,
            backend: message.backend,
        })
    }
}
