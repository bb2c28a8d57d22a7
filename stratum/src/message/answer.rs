//! Answers with more in them than yes or no.

use serde_json::{Map, Value, json};

use super::field::{Field, Fields};
use super::notification::extranonces;
use super::{MessageError, Response};

/// The answer to `mining.subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeAnswer {
    /// Names the session when a later connection wants to resume it.
    pub session: Option<String>,
    /// The connection's part of the coinbase. p2pool's is empty.
    pub extranonce1: Vec<u8>,
    /// Bytes that the miner chooses.
    pub extranonce2_len: usize,
}

impl SubscribeAnswer {
    const METHOD: &str = "mining.subscribe";

    /// Reads `[subscriptions, extranonce1, extranonce2 size]`.
    ///
    /// # Errors
    ///
    /// Fails if the result is no array, or an extranonce is missing or wrong.
    pub fn from_response(response: &Response) -> Result<SubscribeAnswer, MessageError> {
        let result = Field { method: SubscribeAnswer::METHOD, name: "result", value: &response.result };
        if result.value.is_null() {
            return Err(MessageError::Missing { method: result.method, field: result.name });
        }
        let fields = Fields { method: SubscribeAnswer::METHOD, values: result.array()? };
        let (extranonce1, extranonce2_len) = extranonces(&fields, 1)?;
        let session = fields.values.first().and_then(session);
        Ok(SubscribeAnswer { session, extranonce1, extranonce2_len })
    }

    /// The result that carries this, in the nested form of most pools.
    pub fn to_result(&self) -> Value {
        let session = self.session.as_deref().unwrap_or_default();
        json!([
            [["mining.set_difficulty", session], ["mining.notify", session]],
            hex::encode(&self.extranonce1),
            self.extranonce2_len
        ])
    }
}

/// Finds the id of the subscription to `mining.notify`: most pools send a list of pairs, some a single pair, and
/// some a bare string.
fn session(subscriptions: &Value) -> Option<String> {
    let id = match subscriptions {
        Value::String(id) => id,
        Value::Array(list) => match list.as_slice() {
            [Value::String(name), Value::String(id)] if name.starts_with("mining.") => id,
            list => list.iter().find_map(|pair| match pair.as_array()?.as_slice() {
                [Value::String(name), Value::String(id), ..] if name == "mining.notify" => Some(id),
                _ => None,
            })?,
        },
        _ => return None,
    };
    // It is sent back on the next connection: only what may well be an id.
    (!id.is_empty() && id.len() <= 256).then(|| id.clone())
}

/// The answer to `mining.configure` (BIP-0310). `None`: the extension was not asked for, or is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigureAnswer {
    /// The version bits that the miner may choose, if version rolling is granted.
    pub version_mask: Option<u32>,
    /// Whether the pool honours the minimum difficulty.
    pub minimum_difficulty: Option<bool>,
    /// Whether the pool may send `mining.set_extranonce`.
    pub subscribe_extranonce: Option<bool>,
}

impl ConfigureAnswer {
    const METHOD: &str = "mining.configure";

    /// Reads the map of results. An extension that comes with anything but `true` is not granted, nor is any if the
    /// pool answers with an error, as one does that doesn't know the method.
    ///
    /// # Errors
    ///
    /// Fails if version rolling is granted with a mask that can't be read.
    pub fn from_response(response: &Response) -> Result<ConfigureAnswer, MessageError> {
        let Value::Object(results) = &response.result else {
            return Ok(ConfigureAnswer::default());
        };
        let granted = |name: &str| results.get(name).map(|result| *result == true);
        let version_mask = match granted("version-rolling") {
            Some(true) => {
                let fields = Fields { method: ConfigureAnswer::METHOD, values: &[] };
                let value = results
                    .get("version-rolling.mask")
                    .ok_or(MessageError::Missing { method: fields.method, field: "version-rolling.mask" })?;
                Some(Field { method: fields.method, name: "version-rolling.mask", value }.hex_u32()?)
            }
            _ => None,
        };
        Ok(ConfigureAnswer {
            version_mask,
            minimum_difficulty: granted("minimum-difficulty"),
            subscribe_extranonce: granted("subscribe-extranonce"),
        })
    }

    /// The result that carries this. `asked` names what the miner asked for: extensions without an answer here are
    /// declined.
    pub fn to_result(&self, asked: &[String]) -> Value {
        let mut results = Map::new();
        for extension in asked {
            let granted = match extension.as_str() {
                "version-rolling" => self.version_mask.is_some(),
                "minimum-difficulty" => self.minimum_difficulty == Some(true),
                "subscribe-extranonce" => self.subscribe_extranonce == Some(true),
                _ => false,
            };
            results.insert(extension.clone(), json!(granted));
            if let (true, Some(mask)) = (extension == "version-rolling", self.version_mask) {
                results.insert("version-rolling.mask".to_owned(), json!(format!("{mask:08x}")));
            }
        }
        Value::Object(results)
    }
}
