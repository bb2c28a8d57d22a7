//! Wall-clock times: milliseconds since the Unix epoch.

use std::time::{Duration, UNIX_EPOCH};

use database::now_ms;

/// The time that has passed since `ms`; zero if `ms` is in the future.
pub(crate) fn elapsed_since(ms: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(ms))
}

/// Formats a span of time as users write it in options, such as `7d`, `1.5h` or `250ms`. The unit is the largest one that is not
/// longer than the span. There is at most one decimal.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s")];
    match units.iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, name)) => format!("{}{name}", (seconds / unit * 10.0).round() / 10.0),
        None => format!("{}ms", time.as_millis()),
    }
}

/// A time as text for people, in UTC.
pub(crate) fn date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_in_the_largest_unit() {
        let texts = [(250, "250ms"), (2500, "2.5s"), (90_000, "1.5m"), (7 * 86_400_000, "7d"), (0, "0ms")];
        for (ms, text) in texts {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
        assert_eq!(span(Duration::from_secs(3600 + 66)), "1h");
    }
}
