use std::num::NonZeroU64;
use std::time::Duration;

use prost::Message;

use super::{COMMON_VERSION, DecodeError, decode, millis, port};
use crate::{
    BlockSourceSpec, Intervals, NodeSpec, PoolAccess, PoolRules, ProgramSpec, ProxyAccess, ServerSpec,
    TaskSpec, UpstreamSpec, WorkerSpec,
};

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
    /// The maximum number of status updates of the task; 0 for no limit.
    #[prost(uint64, tag = "6")]
    max_updates: u64,
}

/// Exactly one of the fields with the tags 5 to 7 is present: the block source. A program that is too old to know that field
/// reports that the block source is missing.
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
    node: Option<NodeSpec>,
    #[prost(message, optional, tag = "7")]
    upstream: Option<UpstreamMessage>,
    /// The folder of accounts and found blocks. An executor that does not know this field stores them in the sandbox.
    #[prost(string, optional, tag = "8")]
    data_dir: Option<String>,
    /// The maximum number of connections. An executor that does not know this field uses the pool's default.
    #[prost(uint32, optional, tag = "20")]
    max_connections: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct BuiltinMessage {
    #[prost(uint64, tag = "1")]
    block_interval_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct UpstreamMessage {
    #[prost(string, repeated, tag = "1")]
    pools: Vec<String>,
    #[prost(string, tag = "2")]
    user: String,
    #[prost(string, tag = "3")]
    password: String,
    #[prost(message, optional, tag = "4")]
    access: Option<PoolAccessMessage>,
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
    #[prost(message, optional, tag = "6")]
    access: Option<PoolAccessMessage>,
    /// Further URLs of the same pool. An executor that does not know this field uses only `pool`.
    #[prost(string, repeated, tag = "20")]
    alternatives: Vec<String>,
}

/// How to connect to the pool. The message is absent if the access is the default, which is the only access that older programs
/// support.
#[derive(Clone, PartialEq, Message)]
struct PoolAccessMessage {
    #[prost(string, optional, tag = "1")]
    authorities: Option<String>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    fingerprints: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "3")]
    proxy: Option<ProxyMessage>,
    /// An executor that does not know this field sends all optional requests.
    #[prost(message, optional, tag = "20")]
    rules: Option<PoolRulesMessage>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct PoolRulesMessage {
    #[prost(bool, tag = "1")]
    no_extranonce: bool,
    #[prost(bool, tag = "2")]
    no_suggest: bool,
    #[prost(bool, tag = "3")]
    no_version_rolling: bool,
    #[prost(uint64, optional, tag = "4")]
    job_timeout_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct ProxyMessage {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(uint32, tag = "2")]
    port: u32,
    #[prost(string, optional, tag = "3")]
    user: Option<String>,
    #[prost(string, optional, tag = "4")]
    password: Option<String>,
}

impl TaskSpec {
    /// Encodes `TaskInfo.data`.
    pub fn encode(&self) -> Vec<u8> {
        let (server, worker) = match self.kind.clone() {
            ProgramSpec::Server(server) => (Some(server.into()), None),
            ProgramSpec::Worker(worker) => (None, Some(worker.into())),
        };
        SpecMessage {
            version: COMMON_VERSION,
            report_interval_ms: millis(self.intervals.report()),
            live_interval_ms: millis(self.intervals.live()),
            server,
            worker,
            max_updates: self.max_updates.map_or(0, NonZeroU64::get),
        }
        .encode_to_vec()
    }

    /// Decodes `TaskInfo.data`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or hold neither a server nor a worker.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "task specification";
        let message = decode(what, bytes, |m: &SpecMessage| m.version)?;
        let kind = match (message.server, message.worker) {
            (Some(server), None) => ProgramSpec::Server(server.try_into()?),
            (None, Some(worker)) => ProgramSpec::Worker(worker.try_into()?),
            _ => return Err(DecodeError::Field { what, field: "kind" }),
        };
        let [live, report] =
            [message.live_interval_ms, message.report_interval_ms].map(Duration::from_millis);
        let max_updates = NonZeroU64::new(message.max_updates);
        Ok(TaskSpec { intervals: Intervals::new(live, report), max_updates, kind })
    }
}

impl From<ServerSpec> for ServerMessage {
    fn from(spec: ServerSpec) -> Self {
        let (mut builtin, mut node, mut upstream) = (None, None, None);
        match spec.block_source {
            BlockSourceSpec::Builtin { block_interval } => {
                builtin = Some(BuiltinMessage { block_interval_ms: millis(block_interval) });
            }
            BlockSourceSpec::Node(spec) => node = Some(spec),
            BlockSourceSpec::Upstream(spec) => upstream = Some(spec.into()),
        }
        ServerMessage {
            host: spec.host,
            stratum_port: spec.stratum_port.into(),
            http_port: spec.http_port.into(),
            share_interval_ms: millis(spec.share_interval),
            builtin,
            node,
            upstream,
            data_dir: spec.data_dir,
            max_connections: spec.max_connections,
        }
    }
}

impl TryFrom<ServerMessage> for ServerSpec {
    type Error = DecodeError;

    fn try_from(message: ServerMessage) -> Result<Self, DecodeError> {
        let what = "server specification";
        let block_source = match (message.builtin, message.node, message.upstream) {
            (Some(BuiltinMessage { block_interval_ms }), None, None) => {
                BlockSourceSpec::Builtin { block_interval: Duration::from_millis(block_interval_ms) }
            }
            (None, Some(node), None) => BlockSourceSpec::Node(node),
            (None, None, Some(upstream)) => BlockSourceSpec::Upstream(upstream.try_into()?),
            _ => return Err(DecodeError::Field { what, field: "block source" }),
        };
        Ok(ServerSpec {
            host: message.host,
            stratum_port: port(what, "Stratum port", message.stratum_port)?,
            http_port: port(what, "HTTP port", message.http_port)?,
            share_interval: Duration::from_millis(message.share_interval_ms),
            block_source,
            data_dir: message.data_dir,
            max_connections: message.max_connections,
        })
    }
}

impl From<UpstreamSpec> for UpstreamMessage {
    fn from(spec: UpstreamSpec) -> Self {
        let UpstreamSpec { pools, user, password, access } = spec;
        Self { pools, user, password, access: access_message(access) }
    }
}

impl TryFrom<UpstreamMessage> for UpstreamSpec {
    type Error = DecodeError;

    fn try_from(message: UpstreamMessage) -> Result<Self, DecodeError> {
        let UpstreamMessage { pools, user, password, access } = message;
        Ok(Self { pools, user, password, access: read_access(access)? })
    }
}

impl From<WorkerSpec> for WorkerMessage {
    fn from(spec: WorkerSpec) -> Self {
        let WorkerSpec { pool, alternatives, user, password, access, cpus, backend } = spec;
        Self { pool, user, password, cpus, backend, access: access_message(access), alternatives }
    }
}

impl TryFrom<WorkerMessage> for WorkerSpec {
    type Error = DecodeError;

    fn try_from(message: WorkerMessage) -> Result<Self, DecodeError> {
        let WorkerMessage { pool, user, password, cpus, backend, access, alternatives } = message;
        Ok(Self { pool, alternatives, user, password, access: read_access(access)?, cpus, backend })
    }
}

fn access_message(access: PoolAccess) -> Option<PoolAccessMessage> {
    if access == PoolAccess::default() {
        return None;
    }
    let PoolAccess { authorities, fingerprints, proxy, rules } = access;
    let PoolRules { no_extranonce, no_suggest, no_version_rolling, job_timeout } = rules;
    let job_timeout_ms = job_timeout.map(millis);
    let rules = (rules != PoolRules::default()).then_some(PoolRulesMessage {
        no_extranonce,
        no_suggest,
        no_version_rolling,
        job_timeout_ms,
    });
    let fingerprints = fingerprints.into_iter().map(Vec::from).collect();
    let proxy = proxy.map(|ProxyAccess { host, port, credentials }| {
        let (user, password) = credentials.unzip();
        ProxyMessage { host, port: port.into(), user, password }
    });
    Some(PoolAccessMessage { authorities, fingerprints, proxy, rules })
}

fn read_access(message: Option<PoolAccessMessage>) -> Result<PoolAccess, DecodeError> {
    let what = "task specification";
    let PoolAccessMessage { authorities, fingerprints, proxy, rules } = message.unwrap_or_default();
    let fingerprint = |bytes: Vec<u8>| {
        <[u8; 32]>::try_from(bytes).map_err(|_| DecodeError::Field { what, field: "fingerprint" })
    };
    let fingerprints = fingerprints.into_iter().map(fingerprint).collect::<Result<_, _>>()?;
    let proxy = match proxy {
        Some(ProxyMessage { host, port: number, user, password }) => {
            let port = port(what, "proxy port", number)?;
            Some(ProxyAccess { host, port, credentials: user.zip(password) })
        }
        None => None,
    };
    let rules = rules.map_or_else(PoolRules::default, |rules| PoolRules {
        no_extranonce: rules.no_extranonce,
        no_suggest: rules.no_suggest,
        no_version_rolling: rules.no_version_rolling,
        job_timeout: rules.job_timeout_ms.map(Duration::from_millis),
    });
    Ok(PoolAccess { authorities, fingerprints, proxy, rules })
}
