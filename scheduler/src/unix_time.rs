//! Wall-clock times: milliseconds since the Unix epoch.

use std::time::{Duration, UNIX_EPOCH};

use database::now_ms;

/// The time that has passed since `ms`; zero if `ms` is in the future.
pub(crate) fn elapsed_since(ms: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(ms))
}

/// A time as text for people, in UTC.
pub(crate) fn date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms))
}
