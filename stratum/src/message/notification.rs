//! Messages that a pool sends on its own initiative: notifications, and a few requests to the miner.

use std::time::Duration;

use serde_json::{Value, json};

use super::field::{Field, Fields, hex_u32, number};
use super::{Call, Id, MessageError, Notify};
use crate::text::printable;

/// A call from a pool to a miner.
#[derive(Clone, Debug, PartialEq)]
pub enum Notification {
    /// `mining.notify`: a new job.
    Notify(Notify),
    /// `mining.set_difficulty`: a positive and finite difficulty, which applies to the following jobs.
    SetDifficulty(f64),
    /// `mining.set_extranonce`: the extranonces of the following jobs.
    SetExtranonce {
        /// The bytes of the coinbase that the pool assigns to the connection.
        extranonce1: Vec<u8>,
        /// The number of bytes of extranonce2, which the miner chooses. `None` if the pool does not name it: it stays as it is.
        extranonce2_len: Option<usize>,
    },
    /// `mining.set_version_mask`: the version bits that the miner may roll, effective immediately (BIP-0310).
    SetVersionMask(u32),
    /// `client.reconnect`: a request to reconnect, perhaps to another address.
    Reconnect(Reconnect),
    /// `client.show_message`: text for the miner's owner, put on one line and cut if it is long.
    ShowMessage(String),
    /// `client.get_version`: asks for the miner's name and version.
    GetVersion,
    /// `mining.ping`: asks for an answer of any kind.
    Ping,
    /// Any other method, which is ignored.
    Unknown,
}

/// The parameters of `client.reconnect`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconnect {
    /// The host to connect to; `None` means the same host.
    pub host: Option<String>,
    /// The port to connect to; `None` means the same port.
    pub port: Option<u16>,
    /// The time to wait before connecting.
    pub wait: Duration,
}

/// Maximum length of extranonce1, in bytes. A coinbase script has room for 100 bytes in total.
const MAX_EXTRANONCE1: usize = 64;
/// Valid lengths of extranonce2, in bytes. Pools use 2 to 16.
const EXTRANONCE2_LENS: std::ops::RangeInclusive<u64> = 1..=16;
/// The name of the field with the length of extranonce2, in errors.
const EXTRANONCE2_LEN: &str = "extranonce2 size";
/// Maximum wait before a reconnect, in seconds. Without a limit, a pool could stop its miners for days.
const MAX_WAIT_SECONDS: u64 = 600;

impl Notification {
    /// The method of [`Notification::SetExtranonce`].
    pub(crate) const SET_EXTRANONCE: &str = "mining.set_extranonce";

    /// Reads a call that came from a pool.
    ///
    /// # Errors
    ///
    /// If the method is known but a field is missing or invalid.
    pub fn from_call(call: &Call) -> Result<Self, MessageError> {
        let fields = Fields { method: &call.method, values: &call.params };
        Ok(match call.method.as_str() {
            "mining.notify" => Notification::Notify(Notify::from_params(&fields)?),
            "mining.set_difficulty" => {
                Notification::SetDifficulty(fields.need(0, "difficulty")?.difficulty()?)
            }
            Notification::SET_EXTRANONCE => Notification::SetExtranonce {
                extranonce1: extranonce1(&fields, 0)?,
                extranonce2_len: fields.get(1, EXTRANONCE2_LEN).map(extranonce2_len).transpose()?,
            },
            "mining.set_version_mask" => Notification::SetVersionMask(fields.need(0, "mask")?.hex_u32()?),
            "client.reconnect" => Notification::Reconnect(Reconnect::from_params(&fields)?),
            "client.show_message" => Notification::ShowMessage(printable(&fields.need(0, "text")?.text()?)),
            "client.get_version" => Notification::GetVersion,
            "mining.ping" | "client.ping" => Notification::Ping,
            _ => Notification::Unknown,
        })
    }

    /// Writes the call, with a null id. If the call expects an answer, the caller must replace this id. Returns `None` for
    /// [`Notification::Unknown`].
    pub fn to_call(&self) -> Option<Call> {
        let (method, params) = match self {
            Notification::Notify(notify) => return Some(notify.to_call()),
            Notification::SetDifficulty(difficulty) => ("mining.set_difficulty", vec![number(*difficulty)]),
            Notification::SetExtranonce { extranonce1, extranonce2_len } => {
                let len = extranonce2_len.map(|len| json!(len));
                let params = std::iter::once(json!(hex::encode(extranonce1))).chain(len);
                (Notification::SET_EXTRANONCE, params.collect())
            }
            Notification::SetVersionMask(mask) => ("mining.set_version_mask", vec![hex_u32(*mask)]),
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
    fn from_params(fields: &Fields<'_>) -> Result<Self, MessageError> {
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
        if *self == Reconnect::default() {
            return Vec::new();
        }
        let host = self.host.as_deref().unwrap_or_default();
        vec![json!(host), json!(self.port.unwrap_or(0)), json!(self.wait.as_secs())]
    }
}

/// Reads extranonce1 at `index` and the length of extranonce2 after it.
pub(super) fn extranonces(fields: &Fields<'_>, index: usize) -> Result<(Vec<u8>, usize), MessageError> {
    Ok((extranonce1(fields, index)?, extranonce2_len(fields.need(index + 1, EXTRANONCE2_LEN)?)?))
}

fn extranonce1(fields: &Fields<'_>, index: usize) -> Result<Vec<u8>, MessageError> {
    fields.need(index, "extranonce1")?.bytes(MAX_EXTRANONCE1)
}

fn extranonce2_len(field: Field<'_>) -> Result<usize, MessageError> {
    Ok(field.whole(EXTRANONCE2_LENS)? as usize)
}
