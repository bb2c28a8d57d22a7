//! Durations as people write them.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Shows a duration as people write it: `182 ms`, `2.5 s`, `45 s`, `3 min 20 s`, `2 h 5 min`, `1 day 3 h`. It is rounded to what
/// is shown: at most two units, and one decimal of a second below ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InWords(pub Duration);

impl Display for InWords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        // Each limit is the shortest duration that would be rounded up to the next unit.
        match micros {
            0 => f.write_str("0 s"),
            1..500 => f.write_str("under 1 ms"),
            500..999_500 => write!(f, "{} ms", (micros + 500) / 1000),
            999_500..9_950_000 => {
                let tenths = (micros + 50_000) / 100_000;
                match tenths % 10 {
                    0 => write!(f, "{} s", tenths / 10),
                    tenth => write!(f, "{}.{tenth} s", tenths / 10),
                }
            }
            _ => whole_seconds(rounded(self.0, 1), self.0, f),
        }
    }
}

/// Shows a duration of ten seconds or more. `seconds` is the duration in whole seconds.
fn whole_seconds(seconds: u64, time: Duration, f: &mut Formatter<'_>) -> fmt::Result {
    let (minutes, hours) = (rounded(time, MINUTE), rounded(time, HOUR));
    if seconds < MINUTE {
        write!(f, "{seconds} s")
    } else if seconds < HOUR {
        two(f, (seconds / MINUTE, "min"), (seconds % MINUTE, "s"))
    } else if minutes < DAY {
        two(f, (minutes / HOUR, "h"), (minutes % HOUR / MINUTE, "min"))
    } else {
        let days = hours / DAY;
        two(f, (days, if days == 1 { "day" } else { "days" }), (hours % DAY / HOUR, "h"))
    }
}

/// Shows a value in two units. A second value of zero is not shown.
fn two(f: &mut Formatter<'_>, (first, unit): (u64, &str), (second, smaller): (u64, &str)) -> fmt::Result {
    write!(f, "{first} {unit}")?;
    if second > 0 {
        write!(f, " {second} {smaller}")?;
    }
    Ok(())
}

/// The duration in seconds, rounded to a multiple of `step`.
fn rounded(time: Duration, step: u64) -> u64 {
    let half = Duration::from_millis(step * 500);
    time.saturating_add(half).as_secs() / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ms: u64) -> String {
        InWords(Duration::from_millis(ms)).to_string()
    }

    #[test]
    fn durations_are_shown_as_people_write_them() {
        for (ms, text) in [
            (0, "0 s"),
            (182, "182 ms"),
            (1000, "1 s"),
            (2500, "2.5 s"),
            (9900, "9.9 s"),
            (10_400, "10 s"),
            (45_000, "45 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (3_600_000, "1 h"),
            (7_500_000, "2 h 5 min"),
            (86_400_000, "1 day"),
            (97_200_000, "1 day 3 h"),
            (7 * 86_400_000, "7 days"),
        ] {
            assert_eq!(shown(ms), text);
        }
        assert_eq!(InWords(Duration::from_nanos(182_169_749)).to_string(), "182 ms");
        assert_eq!(InWords(Duration::from_micros(300)).to_string(), "under 1 ms");
        // No overflow.
        assert!(InWords(Duration::MAX).to_string().ends_with(" h"), "{}", InWords(Duration::MAX));
    }

    #[test]
    fn rounding_never_shows_sixty_of_a_unit() {
        for (ms, text) in [
            (9_949, "9.9 s"),
            (9_950, "10 s"),
            (59_499, "59 s"),
            (59_500, "1 min"),
            (119_600, "2 min"),
            (3_599_600, "1 h"),
            (2 * 3_600_000 - 20_000, "2 h"),
            (86_400_000 - 20_000, "1 day"),
            (2 * 86_400_000 - 1_200_000, "2 days"),
        ] {
            assert_eq!(shown(ms), text, "{ms} ms");
        }
        assert_eq!(InWords(Duration::from_micros(999_500)).to_string(), "1 s");
        assert_eq!(InWords(Duration::from_micros(999_499)).to_string(), "999 ms");
    }
}
