//! Writes that are retried until they succeed.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{ErrorCode, ffi};

use crate::kind::FolderKind;

/// The pause after a failed write, before the write is repeated.
const RETRY: Duration = Duration::from_secs(1);
/// The pause after a failed write while the store is closing.
const RETRY_CLOSING: Duration = Duration::from_millis(100);
/// While the store is closing, a failing write is retried for at most this time; then its changes are lost.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Calls `write` until it succeeds. Once `closing` is true, stops trying after [`CLOSE_TIMEOUT`]. Calls `failed` with each error
/// and, while the store is closing, with the time for which the write is still repeated.
///
/// # Errors
/// The last error of `write`, if the store is closing and the time is over.
pub fn write_until_closed(
    mut write: impl FnMut() -> rusqlite::Result<()>,
    closing: impl Fn() -> bool,
    mut failed: impl FnMut(&rusqlite::Error, Option<Duration>),
) -> rusqlite::Result<()> {
    let mut closing_since: Option<Instant> = None;
    loop {
        let Err(error) = write() else { return Ok(()) };
        let is_closing = closing();
        let since = is_closing.then(|| *closing_since.get_or_insert_with(Instant::now));
        failed(&error, since.map(|since| CLOSE_TIMEOUT.saturating_sub(since.elapsed())));
        if since.is_some_and(|since| since.elapsed() > CLOSE_TIMEOUT) {
            return Err(error);
        }
        thread::sleep(if is_closing { RETRY_CLOSING } else { RETRY });
    }
}

/// Whether a write failed because the disk is full. SQLite does not say so if the disk has no room for the index of its log (the
/// file `-shm`); then it says that this file could not be enlarged.
pub fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|detail| {
        detail.code == ErrorCode::DiskFull || detail.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}

impl FolderKind {
    /// Why the database in this folder cannot be written, as a phrase without a full stop.
    pub fn write_failure(&self, folder: &Path, error: &rusqlite::Error) -> String {
        let (name, folder) = (self.name, folder.display());
        if is_disk_full(error) {
            format!("the disk of {name} {folder} is full")
        } else {
            format!("cannot write to {name} {folder}: {error}")
        }
    }
}
