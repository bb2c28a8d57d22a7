//! Mesos' JSON form of its messages: fields by their names in the .proto files and in the order of their numbers, enums by name,
//! bytes as base64, 64-bit integers as numbers.
//!
//! The types that prost generates know no names, so messages are converted by their protobuf bytes and a table of all fields
//! ([`table`]).

mod decode;
mod encode;
pub mod table;
#[cfg(test)]
mod tests;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use self::table::Message;

/// Maximum nesting depth of messages, so that no peer can exhaust the stack. prost has the same limit.
const MAX_DEPTH: usize = 100;

/// Like Mesos, takes base64 without padding, too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a message cannot be converted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {fault}", if path.is_empty() { "the message" } else { path })]
pub struct ConvertError {
    /// The path of the field, such as `accept.operations[2].type`; empty for the whole message.
    path: String,
    /// What is wrong with it, such as `is not a string`.
    fault: &'static str,
}

impl ConvertError {
    fn new(fault: &'static str) -> Self {
        Self { path: String::new(), fault }
    }

    /// Protobuf bytes that are not a message of this type.
    fn malformed() -> Self {
        Self::new("is malformed")
    }

    fn too_deep() -> Self {
        Self::new("is nested too deeply")
    }

    /// The same error, as seen from the message or list that the field belongs to.
    fn within(self, name: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{name}{separator}{}", self.path), fault: self.fault }
    }
}

/// Converts a message from protobuf to JSON text.
///
/// # Errors
/// If `bytes` are not a message of this type, or one that is nested more than 100 levels deep.
pub fn to_json(message: Message, bytes: &[u8]) -> Result<Vec<u8>, ConvertError> {
    let mut text = Vec::new();
    encode::message(message, bytes, MAX_DEPTH, &mut text)?;
    Ok(text)
}

/// Converts a message from JSON to protobuf. Unknown fields are ignored. `null` and an unknown name of an enum count as absent.
///
/// # Errors
/// If a field has a value of another type, or if the message is nested more than 100 levels deep.
pub fn from_json(message: Message, value: &serde_json::Value) -> Result<Vec<u8>, ConvertError> {
    decode::message(message, value, MAX_DEPTH)
}
