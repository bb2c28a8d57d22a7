//! The protobuf form. Field numbers are for ever: a field that goes leaves a gap.

use std::time::Duration;

use prost::Message;

use crate::{
    Account, Chain, Live, PoolLive, Report, ServerAddress, ServerSpec, ShareRow, TaskKind, TaskSpec, Totals,
    Verdict, WorkerLive, WorkerSpec,
};

/// The version that this crate writes.
pub const VERSION: u32 = 1;
/// The oldest version that this crate reads.
pub const OLDEST_VERSION: u32 = 1;

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not protobuf of this shape.
    #[error("malformed {what}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// The decoder's finding.
        #[source]
        source: prost::DecodeError,
    },
    /// Written by a version that this one does not know.
    #[error("{what} of version {version}; this program reads versions {OLDEST_VERSION} to {VERSION}")]
    Version {
        /// What was being read.
        what: &'static str,
        /// The version found.
        version: u32,
    },
    /// A part without which the whole has no meaning is absent or out of range.
    #[error("{what} has no valid {field}")]
    Field {
        /// What was being read.
        what: &'static str,
        /// The part.
        field: &'static str,
    },
}

fn read<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    version: fn(&M) -> u32,
) -> Result<M, DecodeError> {
    let message = M::decode(bytes).map_err(|source| DecodeError::Malformed { what, source })?;
    match version(&message) {
        OLDEST_VERSION..=VERSION => Ok(message),
        version => Err(DecodeError::Version { what, version }),
    }
}

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

#[derive(Clone, PartialEq, Message)]
struct ReportMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    sequence: u64,
    #[prost(message, repeated, tag = "3")]
    accounts: Vec<AccountMessage>,
    #[prost(message, optional, tag = "4")]
    server: Option<AddressMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct AccountMessage {
    #[prost(string, tag = "1")]
    worker: String,
    #[prost(message, optional, tag = "2")]
    totals: Option<TotalsMessage>,
    #[prost(message, repeated, tag = "3")]
    rows: Vec<RowMessage>,
    #[prost(uint64, tag = "4")]
    rows_omitted: u64,
}

/// The 128-bit sums are split in two: protobuf has no such integer, and the high half is nearly always absent.
#[derive(Clone, PartialEq, Message)]
struct TotalsMessage {
    #[prost(uint64, tag = "1")]
    hashes_low: u64,
    #[prost(uint64, tag = "2")]
    hashes_high: u64,
    #[prost(uint64, tag = "3")]
    work_low: u64,
    #[prost(uint64, tag = "4")]
    work_high: u64,
    #[prost(uint64, tag = "5")]
    accepted: u64,
    #[prost(uint64, tag = "6")]
    rejected: u64,
    #[prost(uint64, tag = "7")]
    stale: u64,
    #[prost(uint64, tag = "8")]
    unanswered: u64,
    #[prost(uint64, tag = "9")]
    blocks: u64,
}

#[derive(Clone, PartialEq, Message)]
struct RowMessage {
    #[prost(string, tag = "1")]
    job: String,
    #[prost(bytes = "vec", tag = "2")]
    extranonce2: Vec<u8>,
    #[prost(fixed32, tag = "3")]
    ntime: u32,
    #[prost(fixed32, tag = "4")]
    version: u32,
    #[prost(fixed32, tag = "5")]
    nonce: u32,
    #[prost(double, tag = "6")]
    difficulty: f64,
    /// See [`verdict_code`].
    #[prost(uint32, tag = "7")]
    verdict: u32,
    #[prost(uint64, tag = "8")]
    round_trip_us: u64,
}

#[derive(Clone, PartialEq, Message)]
struct AddressMessage {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(uint32, tag = "2")]
    stratum_port: u32,
    #[prost(uint32, tag = "3")]
    http_port: u32,
}

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
}

#[derive(Clone, PartialEq, Message)]
struct PoolLiveMessage {
    #[prost(uint32, tag = "1")]
    connections: u32,
    #[prost(uint64, tag = "2")]
    height: u64,
    #[prost(double, tag = "3")]
    difficulty: f64,
}

const ACCEPTED: u32 = 0;
const STALE: u32 = 1;
const UNANSWERED: u32 = 2;
/// A rejection is its Stratum code plus this.
const REJECTED: u32 = 16;

fn verdict_code(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Accepted => ACCEPTED,
        Verdict::Stale => STALE,
        Verdict::Unanswered => UNANSWERED,
        Verdict::Rejected(code) => code.saturating_add(REJECTED),
    }
}

fn verdict(code: u32) -> Verdict {
    match code {
        ACCEPTED => Verdict::Accepted,
        STALE => Verdict::Stale,
        UNANSWERED => Verdict::Unanswered,
        code => Verdict::Rejected(code.saturating_sub(REJECTED)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn port(what: &'static str, field: &'static str, port: u32) -> Result<u16, DecodeError> {
    u16::try_from(port).map_err(|_| DecodeError::Field { what, field })
}

fn halves(n: u128) -> (u64, u64) {
    (n as u64, (n >> 64) as u64)
}

fn whole(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
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

impl Report {
    /// The bytes for `TaskStatus.data`.
    pub fn encode(&self) -> Vec<u8> {
        ReportMessage {
            version: VERSION,
            sequence: self.sequence,
            accounts: self.accounts.iter().map(AccountMessage::from).collect(),
            server: self.server.as_ref().map(AddressMessage::from),
        }
        .encode_to_vec()
    }

    /// Reads `TaskStatus.data`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or a port is out of range.
    pub fn decode(bytes: &[u8]) -> Result<Report, DecodeError> {
        let message = read("report", bytes, |m: &ReportMessage| m.version)?;
        Ok(Report {
            sequence: message.sequence,
            accounts: message.accounts.into_iter().map(Account::from).collect(),
            server: message.server.map(ServerAddress::try_from).transpose()?,
        })
    }
}

impl From<&Account> for AccountMessage {
    fn from(account: &Account) -> AccountMessage {
        AccountMessage {
            worker: account.worker.clone(),
            totals: Some(account.totals.into()),
            rows: account.rows.iter().map(RowMessage::from).collect(),
            rows_omitted: account.rows_omitted,
        }
    }
}

impl From<AccountMessage> for Account {
    fn from(message: AccountMessage) -> Account {
        Account {
            worker: message.worker,
            totals: message.totals.unwrap_or_default().into(),
            rows: message.rows.into_iter().map(ShareRow::from).collect(),
            rows_omitted: message.rows_omitted,
        }
    }
}

impl From<Totals> for TotalsMessage {
    fn from(totals: Totals) -> TotalsMessage {
        let (hashes_low, hashes_high) = halves(totals.hashes);
        let (work_low, work_high) = halves(totals.accepted_work);
        TotalsMessage {
            hashes_low,
            hashes_high,
            work_low,
            work_high,
            accepted: totals.accepted,
            rejected: totals.rejected,
            stale: totals.stale,
            unanswered: totals.unanswered,
            blocks: totals.blocks,
        }
    }
}

impl From<TotalsMessage> for Totals {
    fn from(message: TotalsMessage) -> Totals {
        Totals {
            hashes: whole(message.hashes_low, message.hashes_high),
            accepted_work: whole(message.work_low, message.work_high),
            accepted: message.accepted,
            rejected: message.rejected,
            stale: message.stale,
            unanswered: message.unanswered,
            blocks: message.blocks,
        }
    }
}

impl From<&ShareRow> for RowMessage {
    fn from(row: &ShareRow) -> RowMessage {
        RowMessage {
            job: row.job.clone(),
            extranonce2: row.extranonce2.clone(),
            ntime: row.ntime,
            version: row.version,
            nonce: row.nonce,
            difficulty: row.difficulty,
            verdict: verdict_code(row.verdict),
            round_trip_us: u64::try_from(row.round_trip.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl From<RowMessage> for ShareRow {
    fn from(message: RowMessage) -> ShareRow {
        ShareRow {
            job: message.job,
            extranonce2: message.extranonce2,
            ntime: message.ntime,
            version: message.version,
            nonce: message.nonce,
            difficulty: message.difficulty,
            verdict: verdict(message.verdict),
            round_trip: Duration::from_micros(message.round_trip_us),
        }
    }
}

impl From<&ServerAddress> for AddressMessage {
    fn from(address: &ServerAddress) -> AddressMessage {
        AddressMessage {
            host: address.host.clone(),
            stratum_port: address.stratum_port.into(),
            http_port: address.http_port.into(),
        }
    }
}

impl TryFrom<AddressMessage> for ServerAddress {
    type Error = DecodeError;

    fn try_from(message: AddressMessage) -> Result<ServerAddress, DecodeError> {
        let what = "server address";
        Ok(ServerAddress {
            host: message.host,
            stratum_port: port(what, "Stratum port", message.stratum_port)?,
            http_port: port(what, "HTTP port", message.http_port)?,
        })
    }
}

impl Live {
    /// The bytes for an executor's `MESSAGE`.
    pub fn encode(&self) -> Vec<u8> {
        let (worker, pool) = match self {
            Live::Worker(live) => {
                let WorkerLive { hashrate, threads, backend, difficulty } = live.clone();
                (Some(WorkerLiveMessage { hashrate, threads, backend, difficulty }), None)
            }
            Live::Pool(live) => {
                let PoolLive { connections, height, difficulty } = *live;
                (None, Some(PoolLiveMessage { connections, height, difficulty }))
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
            (Some(WorkerLiveMessage { hashrate, threads, backend, difficulty }), None) => {
                Ok(Live::Worker(WorkerLive { hashrate, threads, backend, difficulty }))
            }
            (None, Some(PoolLiveMessage { connections, height, difficulty })) => {
                Ok(Live::Pool(PoolLive { connections, height, difficulty }))
            }
            _ => Err(DecodeError::Field { what, field: "sender" }),
        }
    }
}
