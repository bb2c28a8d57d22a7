use std::time::Duration;

use prost::Message;

use super::{COMMON_VERSION, DecodeError, decode, port};
use crate::{Account, Report, ServerAddress, ShareRow, Totals, Verdict};

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

/// The 128-bit totals are split into halves, because protobuf has no 128-bit integers. The high half is nearly always absent.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TotalsMessage {
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
    /// Candidates. An executor that does not know this field counts those of a worker in `blocks`.
    #[prost(uint64, tag = "20")]
    candidates: u64,
    #[prost(uint64, tag = "21")]
    orphaned: u64,
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
    /// The share's verdict, as [`verdict_code`] encodes it.
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

const ACCEPTED: u32 = 0;
const STALE: u32 = 1;
const UNANSWERED: u32 = 2;
/// The code of a rejected share is this number plus the Stratum error code.
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

fn halves(n: u128) -> (u64, u64) {
    (n as u64, (n >> 64) as u64)
}

fn whole(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

impl Report {
    /// Encodes `TaskStatus.data`.
    pub fn encode(&self) -> Vec<u8> {
        let Report { sequence, accounts, server } = self.clone();
        let accounts = accounts.into_iter().map(Into::into).collect();
        let server = server.map(Into::into);
        ReportMessage { version: COMMON_VERSION, sequence, accounts, server }.encode_to_vec()
    }

    /// Decodes `TaskStatus.data`.
    ///
    /// # Errors
    /// If the bytes are malformed, of an unknown version, or a port is out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = decode("report", bytes, |m: &ReportMessage| m.version)?;
        let accounts = message.accounts.into_iter().map(Into::into).collect();
        let server = message.server.map(TryInto::try_into).transpose()?;
        Ok(Report { sequence: message.sequence, accounts, server })
    }
}

impl From<Account> for AccountMessage {
    fn from(account: Account) -> Self {
        let Account { worker, totals, rows, rows_omitted } = account;
        let rows = rows.into_iter().map(Into::into).collect();
        Self { worker, totals: Some(totals.into()), rows, rows_omitted }
    }
}

impl From<AccountMessage> for Account {
    fn from(message: AccountMessage) -> Self {
        let AccountMessage { worker, totals, rows, rows_omitted } = message;
        let rows = rows.into_iter().map(Into::into).collect();
        Self { worker, totals: totals.unwrap_or_default().into(), rows, rows_omitted }
    }
}

impl From<Totals> for TotalsMessage {
    fn from(totals: Totals) -> Self {
        let Totals {
            hashes,
            accepted_work,
            accepted,
            rejected,
            stale,
            unanswered,
            blocks,
            candidates,
            orphaned,
        } = totals;
        let (hashes_low, hashes_high) = halves(hashes);
        let (work_low, work_high) = halves(accepted_work);
        let counts =
            Self { accepted, rejected, stale, unanswered, blocks, candidates, orphaned, ..Self::default() };
        Self { hashes_low, hashes_high, work_low, work_high, ..counts }
    }
}

impl From<TotalsMessage> for Totals {
    fn from(message: TotalsMessage) -> Self {
        let hashes = whole(message.hashes_low, message.hashes_high);
        let accepted_work = whole(message.work_low, message.work_high);
        let TotalsMessage { accepted, rejected, stale, unanswered, blocks, candidates, orphaned, .. } =
            message;
        Self { hashes, accepted_work, accepted, rejected, stale, unanswered, blocks, candidates, orphaned }
    }
}

impl From<ShareRow> for RowMessage {
    fn from(row: ShareRow) -> Self {
        let verdict = verdict_code(row.verdict);
        let round_trip_us = u64::try_from(row.round_trip.as_micros()).unwrap_or(u64::MAX);
        let ShareRow { job, extranonce2, ntime, version, nonce, difficulty, .. } = row;
        Self { job, extranonce2, ntime, version, nonce, difficulty, verdict, round_trip_us }
    }
}

impl From<RowMessage> for ShareRow {
    fn from(message: RowMessage) -> Self {
        let verdict = verdict(message.verdict);
        let round_trip = Duration::from_micros(message.round_trip_us);
        let RowMessage { job, extranonce2, ntime, version, nonce, difficulty, .. } = message;
        Self { job, extranonce2, ntime, version, nonce, difficulty, verdict, round_trip }
    }
}

impl From<ServerAddress> for AddressMessage {
    fn from(address: ServerAddress) -> Self {
        let ServerAddress { host, stratum_port, http_port } = address;
        Self { host, stratum_port: stratum_port.into(), http_port: http_port.into() }
    }
}

impl TryFrom<AddressMessage> for ServerAddress {
    type Error = DecodeError;

    fn try_from(message: AddressMessage) -> Result<Self, DecodeError> {
        let what = "server address";
        let stratum_port = port(what, "Stratum port", message.stratum_port)?;
        let http_port = port(what, "HTTP port", message.http_port)?;
        Ok(Self { host: message.host, stratum_port, http_port })
    }
}
