//! From JSON to protobuf.

use base64::Engine;
use serde_json::Value;

use super::table::{self, Field, Kind, Message};
use super::{BASE64, ConvertError};

/// Converts a message.
pub(super) fn message(message: Message, value: &Value, depth: usize) -> Result<Vec<u8>, ConvertError> {
    let object = value.as_object().ok_or_else(|| ConvertError::new("is not an object"))?;
    let mut bytes = Vec::new();
    for field in message {
        if let Some(value) = object.get(field.name) {
            self::field(field, value, depth, &mut bytes).map_err(|error| error.within(field.name))?;
        }
    }
    Ok(bytes)
}

/// Appends a field of a message.
fn field(field: &Field, json: &Value, depth: usize, bytes: &mut Vec<u8>) -> Result<(), ConvertError> {
    match (field.kind, json) {
        (_, Value::Null) => Ok(()),
        (Kind::Map(entry), _) => map(field.number, table::message(entry), json, depth, bytes),
        (kind, Value::Array(items)) if field.repeated => {
            for (position, item) in items.iter().enumerate() {
                value(field.number, kind, item, depth, bytes)
                    .map_err(|error| error.within(&format!("[{position}]")))?;
            }
            Ok(())
        }
        _ if field.repeated => Err(ConvertError::new("is not a list")),
        (kind, _) => value(field.number, kind, json, depth, bytes),
    }
}

/// Appends a map, which is a list of messages with a key and a value each.
fn map(
    number: u32,
    entry: Message,
    json: &Value,
    depth: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    let (Value::Object(members), [key, value]) = (json, entry) else {
        return Err(ConvertError::new("is not an object"));
    };
    for (name, json) in members.iter().filter(|(_, json)| !json.is_null()) {
        let mut pair = Vec::new();
        delimited(key.number, name.as_bytes(), &mut pair);
        self::value(value.number, value.kind, json, depth, &mut pair).map_err(|error| error.within(name))?;
        delimited(number, &pair, bytes);
    }
    Ok(())
}

/// Appends a value with the number of its field; nothing for `null` and for the unknown name of an enum.
fn value(
    number: u32,
    kind: Kind,
    json: &Value,
    depth: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    if json.is_null() {
        return Ok(());
    }
    match kind {
        Kind::Message(position) | Kind::Map(position) => {
            let depth = depth.checked_sub(1).ok_or_else(ConvertError::too_deep)?;
            delimited(number, &message(table::message(position), json, depth)?, bytes);
        }
        Kind::Enum(position) => {
            if let Some(value) = enumerated(position, json)? {
                numeric(number, value, bytes);
            }
        }
        Kind::Bool => {
            let value = json.as_bool().ok_or_else(|| ConvertError::new("is not true or false"))?;
            numeric(number, u64::from(value), bytes);
        }
        Kind::Int32 => numeric(number, i64::from(integer::<i32>(json)?) as u64, bytes),
        Kind::Int64 => numeric(number, integer::<i64>(json)? as u64, bytes),
        Kind::Uint32 => numeric(number, u64::from(integer::<u32>(json)?), bytes),
        Kind::Uint64 => numeric(number, integer::<u64>(json)?, bytes),
        Kind::Double => {
            varint(u64::from(number) << 3 | 1, bytes);
            bytes.extend(double(json)?.to_le_bytes());
        }
        Kind::String => delimited(number, string(json)?.as_bytes(), bytes),
        Kind::Bytes => {
            let decoded = BASE64.decode(string(json)?).map_err(|_| ConvertError::new("is not base64"))?;
            delimited(number, &decoded, bytes);
        }
    }
    Ok(())
}

fn string(json: &Value) -> Result<&str, ConvertError> {
    json.as_str().ok_or_else(|| ConvertError::new("is not a string"))
}

/// The number of an enum's value, which is given by name or by number. `None` for an unknown name.
fn enumerated(position: u16, json: &Value) -> Result<Option<u64>, ConvertError> {
    let number = match json.as_str() {
        Some(name) => {
            table::values(position).iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
        }
        None => Some(integer(json)?),
    };
    // The encoding of negative numbers has 64 bits.
    Ok(number.map(|number| i64::from(number) as u64))
}

/// A number, or its decimal digits in a string, if it has no fraction and is in the type's range.
fn integer<T: TryFrom<i128>>(json: &Value) -> Result<T, ConvertError> {
    let number = match json {
        Value::String(digits) => digits.parse().ok(),
        // The conversion of a number that is too large gives one that is too large for all types here.
        Value::Number(number) => number
            .as_i128()
            .or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128)),
        _ => None,
    };
    let fits = number.and_then(|number| T::try_from(number).ok());
    fits.ok_or_else(|| ConvertError::new("is not an integer, or out of range"))
}

/// A number, or a string with one, such as `Infinity`.
fn double(json: &Value) -> Result<f64, ConvertError> {
    let number = json.as_f64().or_else(|| json.as_str()?.parse().ok());
    number.ok_or_else(|| ConvertError::new("is not a number"))
}

/// Appends a field of wire type 0.
fn numeric(field: u32, value: u64, bytes: &mut Vec<u8>) {
    varint(u64::from(field) << 3, bytes);
    varint(value, bytes);
}

/// Appends a field of wire type 2.
fn delimited(field: u32, value: &[u8], bytes: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | 2, bytes);
    varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

/// Appends a number with seven bits in each byte, the lowest ones first.
fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
