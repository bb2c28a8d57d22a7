//! Answers that contain more than success or failure.

use serde_json::{Map, Value, json};

use super::field::{Field, Fields, hex_u32};
use super::notification::extranonces;
use super::{MessageError, Response};

/// The answer to `mining.subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeAnswer {
    /// The id by which a later connection can resume the session.
    pub session: Option<String>,
    /// The bytes of the coinbase that the pool assigns to the connection; empty for p2pool.
    pub extranonce1: Vec<u8>,
    /// The number of bytes of extranonce2, which the miner chooses.
    pub extranonce2_len: usize,
}

impl SubscribeAnswer {
    const METHOD: &str = "mining.subscribe";

    /// Reads `[subscriptions, extranonce1, extranonce2 size]`.
    ///
    /// # Errors
    ///
    /// If the result is not an array, or an extranonce is missing or invalid.
    pub fn from_response(response: &Response) -> Result<Self, MessageError> {
        let result = Field { method: SubscribeAnswer::METHOD, name: "result", value: &response.result };
        if result.value.is_null() {
            return Err(MessageError::Missing { method: result.method.into(), field: result.name });
        }
        let fields = Fields { method: SubscribeAnswer::METHOD, values: result.array()? };
        let (extranonce1, extranonce2_len) = extranonces(&fields, 1)?;
        let session = fields.values.first().and_then(session);
        Ok(SubscribeAnswer { session, extranonce1, extranonce2_len })
    }

    /// Writes the result, in the nested form of most pools.
    pub fn to_result(&self) -> Value {
        let session = self.session.as_deref().unwrap_or_default();
        json!([
            [["mining.set_difficulty", session], ["mining.notify", session]],
            hex::encode(&self.extranonce1),
            self.extranonce2_len
        ])
    }
}

/// Finds the id of the subscription to `mining.notify`. Most pools send a list of pairs, some a single pair, and some a
/// bare string.
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
    // The next connection sends this id to the pool, to resume the session. An id that would make this request very long is
    // dropped.
    (!id.is_empty() && id.len() <= 256).then(|| id.clone())
}

/// The answer to `mining.configure` (BIP-0310). `None` in a field: the extension was not requested, or the pool does not know
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigureAnswer {
    /// The version bits that the miner may roll, if version rolling is granted.
    pub version_mask: Option<u32>,
    /// Whether the pool honours the minimum difficulty.
    pub minimum_difficulty: Option<bool>,
    /// Whether the pool may send `mining.set_extranonce`.
    pub subscribe_extranonce: Option<bool>,
}

impl ConfigureAnswer {
    /// Reads the map of results. An extension is granted only by the value `true`. A pool that does not know the method
    /// answers with an error and grants nothing.
    ///
    /// # Errors
    ///
    /// If version rolling is granted with a missing or invalid mask.
    pub fn from_response(response: &Response) -> Result<Self, MessageError> {
        let Value::Object(results) = &response.result else {
            return Ok(ConfigureAnswer::default());
        };
        let granted = |name: &str| results.get(name).map(|result| *result == true);
        let (method, name) = ("mining.configure", "version-rolling.mask");
        let version_mask = match (granted("version-rolling"), results.get(name)) {
            (Some(true), Some(value)) => Some(Field { method, name, value }.hex_u32()?),
            (Some(true), None) => {
                return Err(MessageError::Missing { method: method.into(), field: name });
            }
            _ => None,
        };
        Ok(ConfigureAnswer {
            version_mask,
            minimum_difficulty: granted("minimum-difficulty"),
            subscribe_extranonce: granted("subscribe-extranonce"),
        })
    }

    /// Writes the result. `asked` lists the extensions that the miner asked for. Extensions that `self` does not grant are
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
                results.insert("version-rolling.mask".to_owned(), hex_u32(mask));
            }
        }
        Value::Object(results)
    }
}
