//! What a pool calls: its notifications, and the few requests it makes of a miner.

use std::time::Duration;

use serde_json::{Value, json};

use super::field::Fields;
use super::{Call, Id, MessageError, Notify};
use crate::text::printable;

/// A call from pool to miner.
#[derive(Clone, Debug, PartialEq)]
pub enum Notification {
    /// `mining.notify`.
    Notify(Notify),
    /// `mining.set_difficulty`: holds for the jobs to come. Positive and finite.
    SetDifficulty(f64),
    /// `mining.set_extranonce`: holds for the jobs to come.
    SetExtranonce {
        /// The connection's new part of the coinbase.
        extranonce1: Vec<u8>,
        /// Bytes that the miner chooses.
        extranonce2_len: usize,
    },
    /// `mining.set_version_mask`: the version bits a miner may choose, at once (BIP-0310).
    SetVersionMask(u32),
    /// `client.reconnect`.
    Reconnect(Reconnect),
    /// `client.show_message`: text for the miner's owner, on one line and of bounded length.
    ShowMessage(String),
    /// `client.get_version`: wants the miner's name and version as answer.
    GetVersion,
    /// `mining.ping`: wants any answer.
    Ping,
    /// Anything else, to be ignored.
    Unknown,
}

/// Where a pool sends a miner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconnect {
    /// `None`: the host of this connection.
    pub host: Option<String>,
    /// `None`: the port of this connection.
    pub port: Option<u16>,
    /// Time to wait before connecting.
    pub wait: Duration,
}

/// Longest extranonce1 taken, in bytes: a coinbase script has room for 100 in all.
pub(super) const MAX_EXTRANONCE1: usize = 64;
/// Lengths of extranonce2 taken, in bytes: 2 to 16 are in use.
pub(super) const EXTRANONCE2_LENS: std::ops::RangeInclusive<u64> = 1..=16;
/// Longest wait before a reconnect, in seconds: no pool can send its miners to sleep for days.
const MAX_WAIT_SECONDS: u64 = 600;

impl Notification {
    /// Reads a call that came from a pool.
    ///
    /// # Errors
    ///
    /// Fails if the method is known but a field is missing or wrong.
    pub fn from_call(call: &Call) -> Result<Notification, MessageError> {
        let fields = |method| Fields { method, values: &call.params };
        Ok(match call.method.as_str() {
            Notify::METHOD => Notification::Notify(Notify::from_params(&fields(Notify::METHOD))?),
            "mining.set_difficulty" => {
                let field = fields("mining.set_difficulty").need(0, "difficulty")?;
                Notification::SetDifficulty(field.difficulty()?)
            }
            "mining.set_extranonce" => {
                let (extranonce1, extranonce2_len) = extranonces(&fields("mining.set_extranonce"), 0)?;
                Notification::SetExtranonce { extranonce1, extranonce2_len }
            }
            "mining.set_version_mask" => {
                Notification::SetVersionMask(fields("mining.set_version_mask").need(0, "mask")?.hex_u32()?)
            }
            "client.reconnect" => {
                Notification::Reconnect(Reconnect::from_params(&fields("client.reconnect"))?)
            }
            "client.show_message" => {
                let text = fields("client.show_message").need(0, "text")?.text()?;
                Notification::ShowMessage(printable(&text))
            }
            "client.get_version" => Notification::GetVersion,
            "mining.ping" | "client.ping" => Notification::Ping,
            _ => Notification::Unknown,
        })
    }

    /// The call that carries this, with a null id; a pool gives those that want an answer an id of its own.
    /// [`Notification::Unknown`] has no call.
    pub fn to_call(&self) -> Option<Call> {
        let (method, params) = match self {
            Notification::Notify(notify) => return Some(notify.to_call()),
            Notification::SetDifficulty(difficulty) => ("mining.set_difficulty", vec![number(*difficulty)]),
            Notification::SetExtranonce { extranonce1, extranonce2_len } => {
                ("mining.set_extranonce", vec![json!(hex::encode(extranonce1)), json!(extranonce2_len)])
            }
            Notification::SetVersionMask(mask) => {
                ("mining.set_version_mask", vec![json!(format!("{mask:08x}"))])
            }
            Notification::Reconnect(reconnect) => ("client.reconnect", reconnect.to_params()),
            Notification::ShowMessage(text) => ("client.show_message", vec![json!(text)]),
            Notification::GetVersion => ("client.get_version", vec![]),
            Notification::Ping => ("mining.ping", vec![]),
            Notification::Unknown => return None,
        };
        Some(Call { id: Id::Null, method: method.to_owned(), params })
    }
}

impl Reconnect {
    fn from_params(fields: &Fields<'_>) -> Result<Reconnect, MessageError> {
        let host = fields.get(0, "host").map(|field| field.str()).transpose()?.unwrap_or_default().trim();
        let port = fields.get(1, "port").filter(|field| field.value != "");
        let port = port.map(|field| field.whole(0..=u64::from(u16::MAX))).transpose()?;
        let wait = fields.get(2, "wait").and_then(|field| field.whole(0..=u64::MAX).ok()).unwrap_or(0);
        Ok(Reconnect {
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
            wait: Duration::from_secs(wait.min(MAX_WAIT_SECONDS)),
        })
    }

    fn to_params(&self) -> Vec<Value> {
        match (&self.host, self.port, self.wait) {
            (None, None, Duration::ZERO) => Vec::new(),
            (host, port, wait) => {
                vec![
                    json!(host.as_deref().unwrap_or_default()),
                    json!(port.unwrap_or(0)),
                    json!(wait.as_secs()),
                ]
            }
        }
    }
}

/// Reads extranonce1 and the length of extranonce2, which stand side by side from `index`.
pub(super) fn extranonces(fields: &Fields<'_>, index: usize) -> Result<(Vec<u8>, usize), MessageError> {
    let extranonce1 = fields.need(index, "extranonce1")?.bytes(MAX_EXTRANONCE1)?;
    let extranonce2_len = fields.need(index + 1, "extranonce2 size")?.whole(EXTRANONCE2_LENS)?;
    Ok((extranonce1, extranonce2_len as usize))
}

/// A whole number is written without a fraction: some miners read only integers.
pub(super) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}
