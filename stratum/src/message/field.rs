//! Reading single fields from what a peer sent.

use serde_json::Value;

use super::MessageError;
use crate::text::printable;

/// The positional parameters of a call, or an answer's array.
pub(super) struct Fields<'a> {
    pub method: &'static str,
    pub values: &'a [Value],
}

/// One field, present and not null.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub method: &'static str,
    pub name: &'static str,
    pub value: &'a Value,
}

impl<'a> Fields<'a> {
    /// The field at `index`; `None` if it is absent or null.
    pub fn get(&self, index: usize, name: &'static str) -> Option<Field<'a>> {
        let value = self.values.get(index).filter(|value| !value.is_null())?;
        Some(Field { method: self.method, name, value })
    }

    pub fn need(&self, index: usize, name: &'static str) -> Result<Field<'a>, MessageError> {
        self.get(index, name).ok_or(MessageError::Missing { method: self.method, field: name })
    }
}

impl<'a> Field<'a> {
    /// The error that names this field and its value.
    pub fn invalid(&self, expected: &'static str) -> MessageError {
        let value = printable(&self.value.to_string());
        MessageError::Invalid { method: self.method, field: self.name, value, expected }
    }

    pub fn str(&self) -> Result<&'a str, MessageError> {
        self.value.as_str().ok_or_else(|| self.invalid("a string"))
    }

    /// A string; numbers are taken as their digits.
    pub fn text(&self) -> Result<String, MessageError> {
        match self.value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.invalid("a string")),
        }
    }

    pub fn array(&self) -> Result<&'a [Value], MessageError> {
        self.value.as_array().map(Vec::as_slice).ok_or_else(|| self.invalid("an array"))
    }

    pub fn bool(&self) -> Result<bool, MessageError> {
        match self.value {
            Value::Bool(value) => Ok(*value),
            Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
            _ => Err(self.invalid("a boolean")),
        }
    }

    /// Bytes in hex, at most `max` of them.
    pub fn bytes(&self, max: usize) -> Result<Vec<u8>, MessageError> {
        let bytes = hex::decode(self.str()?).map_err(|_| self.invalid("hex digits in pairs"))?;
        if bytes.len() > max { Err(self.invalid("fewer bytes")) } else { Ok(bytes) }
    }

    /// 32 bytes in hex, in the order they are written.
    pub fn digest(&self) -> Result<[u8; 32], MessageError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(self.str()?, &mut digest).map_err(|_| self.invalid("64 hex digits"))?;
        Ok(digest)
    }

    /// A 32-bit number in big-endian hex, as header fields are written. Leading zeros may be missing.
    pub fn hex_u32(&self) -> Result<u32, MessageError> {
        let expected = "1 to 8 hex digits";
        match self.value {
            // from_str_radix takes a sign, too.
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(text, 16).map_err(|_| self.invalid(expected))
            }
            _ => Err(self.invalid(expected)),
        }
    }

    /// A whole number in range, also as a string of digits or as a float.
    pub fn whole(&self, range: std::ops::RangeInclusive<u64>) -> Result<u64, MessageError> {
        let number = match self.value {
            Value::String(digits) => digits.trim().parse().ok(),
            value => value.as_u64().or_else(|| whole_float(value.as_f64()?)),
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| self.invalid("a whole number in range"))
    }

    /// A difficulty: positive and finite; also as an integer or a string.
    pub fn difficulty(&self) -> Result<f64, MessageError> {
        let number = match self.value {
            Value::String(digits) => digits.trim().parse().ok(),
            value => value.as_f64(),
        };
        let usable = |number: &f64| number.is_finite() && *number > 0.0;
        number.filter(usable).ok_or_else(|| self.invalid("a positive number"))
    }
}

fn whole_float(number: f64) -> Option<u64> {
    // Above 2^53 floats are no whole numbers that anyone meant.
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}
