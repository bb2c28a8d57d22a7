//! From protobuf to JSON.

use base64::Engine;
use serde_json::Value;

use super::table::{self, Field, Kind, Message};
use super::{BASE64, ConvertError};

/// A value in the protobuf encoding.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    /// No field of Mesos' messages has four bytes.
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(self) -> Result<&'a [u8], ConvertError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(ConvertError::malformed()),
        }
    }
}

/// Appends the JSON form of a message.
pub(super) fn message(
    message: Message,
    bytes: &[u8],
    depth: usize,
    text: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    text.push(b'{');
    for (field, values) in message.iter().zip(values(message, bytes)?) {
        if !values.is_empty() {
            key(field.name, text);
            self::field(field, &values, depth, text).map_err(|error| error.within(field.name))?;
        }
    }
    text.push(b'}');
    Ok(())
}

/// The values of each field of a message. Unknown fields are left out.
fn values<'a>(message: Message, mut bytes: &'a [u8]) -> Result<Vec<Vec<Wire<'a>>>, ConvertError> {
    let mut values = vec![Vec::new(); message.len()];
    while !bytes.is_empty() {
        let (number, value) = read(&mut bytes).ok_or_else(ConvertError::malformed)?;
        if let Some(position) = message.iter().position(|field| u64::from(field.number) == number) {
            values[position].push(value);
        }
    }
    Ok(values)
}

/// Reads the next field's number and value. `None` if `bytes` are malformed.
fn read<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let key = varint(bytes)?;
    let value = match key & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => Wire::Fixed64(u64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Wire::Bytes(bytes.split_off(..length)?)
        }
        5 => bytes.split_off(..4).map(|_| Wire::Fixed32)?,
        // Only groups have another wire type, and Mesos' messages contain no groups.
        _ => return None,
    };
    Some((key >> 3, value))
}

/// Reads a number of up to ten bytes with seven bits each, the lowest ones first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn field(field: &Field, values: &[Wire<'_>], depth: usize, text: &mut Vec<u8>) -> Result<(), ConvertError> {
    match field.kind {
        Kind::Map(entry) => map(table::message(entry), values, depth, text),
        kind if field.repeated => list(kind, values, depth, text),
        kind => single(kind, values, depth, text),
    }
}

fn list(kind: Kind, values: &[Wire<'_>], depth: usize, text: &mut Vec<u8>) -> Result<(), ConvertError> {
    text.push(b'[');
    for (position, wire) in values.iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        value(kind, *wire, depth, text).map_err(|error| error.within(&format!("[{position}]")))?;
    }
    text.push(b']');
    Ok(())
}

fn map(entry: Message, entries: &[Wire<'_>], depth: usize, text: &mut Vec<u8>) -> Result<(), ConvertError> {
    text.push(b'{');
    for wire in entries {
        let fields = values(entry, wire.bytes()?)?;
        let ([_, field], [names, values]) = (entry, fields.as_slice()) else {
            return Err(ConvertError::malformed());
        };
        // An entry without a key or a value has an empty one: strings and messages of no bytes are empty.
        let empty = &[Wire::Bytes(&[])];
        let name = string(names.last().unwrap_or(&empty[0]).bytes()?)?;
        key(name, text);
        let values = if values.is_empty() { empty } else { values.as_slice() };
        single(field.kind, values, depth, text).map_err(|error| error.within(name))?;
    }
    text.push(b'}');
    Ok(())
}

/// Appends the value of a field that is not a list. If the field comes several times, the last value counts, but messages are
/// merged.
fn single(kind: Kind, values: &[Wire<'_>], depth: usize, text: &mut Vec<u8>) -> Result<(), ConvertError> {
    match values {
        [.., last] if values.len() == 1 || !matches!(kind, Kind::Message(_)) => {
            value(kind, *last, depth, text)
        }
        parts => {
            // Parts of a message, one after the other, are the whole message.
            let parts: Vec<&[u8]> = parts.iter().map(|part| part.bytes()).collect::<Result<_, _>>()?;
            value(kind, Wire::Bytes(&parts.concat()), depth, text)
        }
    }
}

fn value(kind: Kind, wire: Wire<'_>, depth: usize, text: &mut Vec<u8>) -> Result<(), ConvertError> {
    let value = match (kind, wire) {
        (Kind::Message(position), Wire::Bytes(bytes)) => {
            let depth = depth.checked_sub(1).ok_or_else(ConvertError::too_deep)?;
            return message(table::message(position), bytes, depth, text);
        }
        (Kind::Bool, Wire::Varint(number)) => Value::from(number != 0),
        // Negative numbers have 64 bits, too, so the upper ones are cut off.
        (Kind::Int32, Wire::Varint(number)) => Value::from(number as i32),
        (Kind::Int64, Wire::Varint(number)) => Value::from(number as i64),
        (Kind::Uint32, Wire::Varint(number)) => Value::from(number as u32),
        (Kind::Uint64, Wire::Varint(number)) => Value::from(number),
        (Kind::Enum(position), Wire::Varint(number)) => enumerated(position, number as i32),
        (Kind::Double, Wire::Fixed64(bits)) => double(f64::from_bits(bits)),
        (Kind::String, Wire::Bytes(bytes)) => Value::from(string(bytes)?),
        (Kind::Bytes, Wire::Bytes(bytes)) => Value::from(BASE64.encode(bytes)),
        _ => return Err(ConvertError::malformed()),
    };
    scalar(&value, text);
    Ok(())
}

/// The name of an enum's value, or its number if it has none here.
fn enumerated(position: u16, number: i32) -> Value {
    let known = table::values(position).iter().find(|(known, _)| *known == number);
    known.map_or_else(|| Value::from(number), |(_, name)| Value::from(*name))
}

/// A number or, since JSON has no others than finite ones, its name.
fn double(number: f64) -> Value {
    match number {
        f64::INFINITY => Value::from("Infinity"),
        f64::NEG_INFINITY => Value::from("-Infinity"),
        _ if number.is_nan() => Value::from("NaN"),
        _ => Value::from(number),
    }
}

fn string(bytes: &[u8]) -> Result<&str, ConvertError> {
    str::from_utf8(bytes).map_err(|_| ConvertError::malformed())
}

/// Appends the key of an object's member, after a comma if it is not the first one.
fn key(name: &str, text: &mut Vec<u8>) {
    if text.last() != Some(&b'{') {
        text.push(b',');
    }
    scalar(&Value::from(name), text);
    text.push(b':');
}

/// Appends a value that is no object and no list.
fn scalar(value: &Value, text: &mut Vec<u8>) {
    text.extend_from_slice(value.to_string().as_bytes());
}
