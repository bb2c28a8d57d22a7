use std::time::Duration;

use prost::Message;

use super::{COMMON_VERSION, DecodeError, port, read};
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

fn halves(n: u128) -> (u64, u64) {
    (n as u64, (n >> 64) as u64)
}

fn whole(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

impl Report {
    /// The bytes for `TaskStatus.data`.
    pub fn encode(&self) -> Vec<u8> {
        ReportMessage {
            version: COMMON_VERSION,
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
