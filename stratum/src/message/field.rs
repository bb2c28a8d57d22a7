//! Reads single fields of a peer's message.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::MessageError;
use crate::text::printable;

/// The positional parameters of a call, or the array in an answer.
pub(super) struct Fields<'a> {
    pub method: &'a str,
    pub values: &'a [Value],
}

/// One field, present and not null.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub method: &'a str,
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
        let missing = || MessageError::Missing { method: printable(self.method).into(), field: name };
        self.get(index, name).ok_or_else(missing)
    }
}

impl<'a> Field<'a> {
    /// The error for an invalid value; it names the field and the value.
    pub fn invalid(&self, expected: &'static str) -> MessageError {
        let (method, value) = (printable(self.method).into(), printable(&self.value.to_string()));
        MessageError::Invalid { method, field: self.name, value, expected }
    }

    pub fn str(&self) -> Result<&'a str, MessageError> {
        self.value.as_str().ok_or_else(|| self.invalid("a string"))
    }

    /// A string. A number is also accepted and converted to text.
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

    /// Bytes in hexadecimal, at most `max` of them.
    pub fn bytes(&self, max: usize) -> Result<Vec<u8>, MessageError> {
        let bytes = hex::decode(self.str()?).map_err(|_| self.invalid("hex digits in pairs"))?;
        if bytes.len() > max { Err(self.invalid("fewer bytes")) } else { Ok(bytes) }
    }

    /// 32 bytes in hexadecimal, in the order in which they are written.
    pub fn digest(&self) -> Result<[u8; 32], MessageError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(self.str()?, &mut digest).map_err(|_| self.invalid("64 hex digits"))?;
        Ok(digest)
    }

    /// A 32-bit number in big-endian hexadecimal, as header fields are written. Leading zeros may be missing.
    pub fn hex_u32(&self) -> Result<u32, MessageError> {
        // The digits are checked first, because `from_str_radix` also accepts a sign.
        let digits = self.value.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.ok_or_else(|| self.invalid("1 to 8 hex digits"))
    }

    /// A whole number in range. A string of digits and a float without a fraction are accepted, too.
    pub fn whole(&self, range: RangeInclusive<u64>) -> Result<u64, MessageError> {
        let number = match self.value {
            Value::String(digits) => digits.trim().parse().ok(),
            value => value.as_u64().or_else(|| whole_float(value.as_f64()?)),
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| self.invalid("a whole number in range"))
    }

    /// A difficulty: positive and finite. A string is accepted, too.
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
    // Larger floats are refused: above 2^53 (some 9e15) a float does not represent every whole number, so it may not be the
    // number that the sender meant.
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

/// Writes what [`Field::hex_u32`] reads.
pub(super) fn hex_u32(value: u32) -> Value {
    format!("{value:08x}").into()
}

/// Writes a number. A whole number is written without a fraction, because some miners read only integers.
pub(super) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}
