//! Downloads: how many go on at once, what they have sent, and how fast agents get the executor.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Files;

/// What is read, and kept for a connection, at a time.
pub(super) const PIECE: usize = 64 * 1024;
/// Downloads at once, which together keep any network busy; others have their turn as these end, so that the first agents
/// have all of it early instead of all of them late.
pub(super) const DOWNLOADS: usize = 16;
/// Between two looks at what was sent.
const LOOK: Duration = Duration::from_secs(1);

/// How fast agents fetch the executor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fetching {
    /// Bytes sent in a second, divided by the executor's length: so many agents get it in a second.
    pub per_second: f64,
    /// Bytes sent since the start.
    pub bytes: u64,
    /// Downloads that came to their end.
    pub finished: u64,
    /// Downloads that the agent has broken off.
    pub failed: u64,
}

/// All downloads.
#[derive(Debug)]
pub(super) struct Transfers {
    slots: Arc<Semaphore>,
    bytes: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    running: AtomicUsize,
}

impl Transfers {
    pub fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(DOWNLOADS)),
            bytes: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            running: AtomicUsize::new(0),
        }
    }

    /// Tells how fast agents fetch a file of this length, while any does.
    pub async fn measure(&self, length: u64, tell: watch::Sender<Fetching>) {
        let (mut before, mut looked) = (0, Instant::now());
        loop {
            let busy = self.running.load(Relaxed) > 0;
            tokio::time::sleep(LOOK).await;
            let bytes = self.bytes.load(Relaxed);
            let seconds = looked.elapsed().as_secs_f64();
            let sent = bytes - before;
            (before, looked) = (bytes, Instant::now());
            // A second in which nothing was asked for says nothing about how fast it could have been.
            if sent == 0 && !(busy && self.running.load(Relaxed) > 0) {
                continue;
            }
            let per_second = sent as f64 / length.max(1) as f64 / seconds;
            let (finished, failed) = (self.finished.load(Relaxed), self.failed.load(Relaxed));
            tell.send_replace(Fetching { per_second, bytes, finished, failed });
        }
    }
}

/// How far the download of a connection has come, for who watches that it does.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pieces: AtomicU64,
    running: AtomicUsize,
}

impl Progress {
    /// A number that changes while the download goes on; `None` if there is none, or it waits for its turn.
    pub fn mark(&self) -> Option<u64> {
        (self.running.load(Relaxed) > 0).then(|| self.pieces.load(Relaxed))
    }
}

/// One download.
pub(super) struct Transfer {
    files: Arc<Files>,
    /// Which of the files.
    path: String,
    length: u64,
    at: u64,
    transfers: Arc<Transfers>,
    progress: Arc<Progress>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Transfer {
    pub fn new(
        files: Arc<Files>,
        path: &str,
        length: u64,
        transfers: Arc<Transfers>,
        progress: Arc<Progress>,
    ) -> Self {
        Self { files, path: path.to_owned(), length, at: 0, transfers, progress, slot: None }
    }

    /// Waits for its turn, and reads the next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        if self.slot.is_none() {
            self.slot = Some(self.transfers.slots.clone().acquire_owned().await.ok()?);
            self.transfers.running.fetch_add(1, Relaxed);
            self.progress.running.fetch_add(1, Relaxed);
        }
        let (at, size) = (self.at, (self.length - self.at).min(PIECE as u64) as usize);
        if size == 0 {
            return None;
        }
        let (files, path) = (self.files.clone(), self.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; size];
            let served = files.at(&path).ok_or(io::ErrorKind::NotFound)?;
            served.file.read_exact_at(&mut piece, at)?;
            io::Result::Ok(Bytes::from(piece))
        });
        let piece = reading.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        if piece.is_ok() {
            self.at += size as u64;
            self.transfers.bytes.fetch_add(size as u64, Relaxed);
            self.progress.pieces.fetch_add(1, Relaxed);
        }
        Some(piece.map(Frame::data))
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.slot.is_some() {
            self.transfers.running.fetch_sub(1, Relaxed);
            self.progress.running.fetch_sub(1, Relaxed);
        }
        let ended = if self.at == self.length { &self.transfers.finished } else { &self.transfers.failed };
        ended.fetch_add(1, Relaxed);
    }
}
