//! Durations as Mesos writes them: a number, possibly with decimals, and a unit (`5secs`, `2.5mins`).

use std::time::Duration;

/// Mesos' units of time, and their lengths in seconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("secs", 1.0),
    ("mins", 60.0),
    ("hrs", 3600.0),
    ("days", 86_400.0),
    ("weeks", 604_800.0),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration such as 5secs or 2.5mins (units: ns, us, ms, secs, mins, hrs, days, weeks)")]
pub struct DurationError(
    /// The text that is not a duration.
    pub String,
);

/// Parses a duration.
///
/// # Errors
/// When the number or the unit is missing or unknown, or the duration is negative or too long to represent.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let end = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(error)?;
    let (number, unit) = text.split_at(end);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    let number: f64 = number.trim_end().parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_mesos_writes() {
        for (text, millis) in [
            ("5secs", 5_000),
            ("2.5mins", 150_000),
            ("15mins", 900_000),
            ("0ns", 0),
            ("3000000ns", 3),
            ("250us", 0),
            ("1.5hrs", 5_400_000),
            ("2days", 172_800_000),
            ("1weeks", 604_800_000),
            ("10 ms", 10),
        ] {
            assert_eq!(parse(text).unwrap().as_millis(), millis, "{text}");
        }
    }

    #[test]
    fn names_what_it_cannot_read() {
        for text in ["", "5", "secs", "5 fortnights", "-1secs", "infsecs", "1e400secs", "5secs!", "1e30weeks"]
        {
            assert_eq!(parse(text), Err(DurationError(text.to_owned())));
        }
    }
}
