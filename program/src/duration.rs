//! Times as people write them on a command line.

use std::fmt;
use std::time::Duration;

/// A text that is no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError {
    text: String,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Form,
    Range,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Form => write!(f, "{:?} is no time: write it like 250ms, 30s, 1.5m, 12h or 7d", self.text),
            Fault::Range => write!(f, "{:?} is out of range: a time is from 1ms to 10000d", self.text),
        }
    }
}

impl std::error::Error for DurationError {}

/// Reads `250ms`, `30s`, `1.5m`, `12h`, `7d`; a bare number is in seconds.
///
/// # Errors
/// If the text is none of these, less than a millisecond, or beyond what any clock should be asked for.
pub fn duration(text: &str) -> Result<Duration, DurationError> {
    let error = |fault| DurationError { text: text.to_owned(), fault };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(error(Fault::Form)),
    };
    let seconds = digits.parse::<f64>().map_err(|_| error(Fault::Form))? * unit;
    // What is beyond is a slip, and would overflow somewhere.
    if !(0.001..=864_000_000.0).contains(&seconds) {
        return Err(error(Fault::Range));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1.5m", 90_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
            ("7", 7000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn errors_show_the_text() {
        for text in ["", "s", "5y", "1é", "-1s", "0s", "0", "nan", "inf", "1e99d", "3 s", "0.1ms", "1m30s"] {
            let error = duration(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is ")), "{error}");
        }
    }
}
