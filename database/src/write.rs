//! Writes that are retried until they succeed.

use std::thread;
use std::time::{Duration, Instant};

/// The pause after a failed write, before the write is repeated.
const RETRY: Duration = Duration::from_secs(1);
/// The pause after a failed write while the store is closing.
const RETRY_CLOSING: Duration = Duration::from_millis(100);
/// While the store is closing, a failing write is retried for at most this time; then its changes are lost.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls `write` until it succeeds. Once `closing` is true, stops trying after 10 s and returns false. Calls `failed` with each
/// error.
pub fn write_until_closed(
    mut write: impl FnMut() -> rusqlite::Result<()>,
    closing: impl Fn() -> bool,
    mut failed: impl FnMut(rusqlite::Error),
) -> bool {
    let mut closing_since: Option<Instant> = None;
    loop {
        match write() {
            Ok(()) => return true,
            Err(error) => failed(error),
        }
        let is_closing = closing();
        if is_closing && closing_since.get_or_insert_with(Instant::now).elapsed() > CLOSE_TIMEOUT {
            return false;
        }
        thread::sleep(if is_closing { RETRY_CLOSING } else { RETRY });
    }
}
