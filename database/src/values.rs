//! Values as SQLite stores them. SQLite's integers are signed and have 64 bits.

use std::time::UNIX_EPOCH;

use rusqlite::Row;
use rusqlite::types::Type;

/// Converts a count to an integer with the same 64 bits; [`unsigned`] restores every count exactly.
pub fn integer(n: u64) -> i64 {
    n.cast_signed()
}

/// Converts an integer back to a count.
pub fn unsigned(n: i64) -> u64 {
    n.cast_unsigned()
}

/// Reads a 128-bit sum, which is stored as decimal text.
///
/// # Errors
/// If the column is not a decimal number as text.
pub fn sum(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    let text: String = row.get(column)?;
    let invalid = || format!("not a sum: {text:?}");
    text.parse().map_err(|_| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, invalid().into()))
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
