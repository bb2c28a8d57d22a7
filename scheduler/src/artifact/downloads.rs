//! Downloads: their limit, their progress and their statistics.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::ArtifactFiles;

/// The size in bytes of one read from the file, and of the buffer of a connection.
pub(super) const CHUNK: usize = 64 * 1024;
/// Maximum number of simultaneous downloads: enough to saturate any network. Further downloads wait, so that the first agents get
/// the whole file early, instead of all agents getting it late.
pub(super) const DOWNLOADS: usize = 16;
/// The time between two measurements of the number of bytes sent.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Statistics of the downloads of the executor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DownloadStats {
    /// Agents that get the executor per second: the bytes sent per second, divided by the executor's length.
    pub per_second: f64,
    /// Bytes sent since the start of the server.
    pub bytes: u64,
    /// The number of completed downloads since the start of the server.
    pub finished: u64,
    /// The number of aborted downloads since the start of the server.
    pub failed: u64,
    /// The number of downloads in progress, without those that wait until others have finished.
    pub running: usize,
}

/// All downloads.
#[derive(Debug)]
pub(super) struct Downloads {
    slots: Arc<Semaphore>,
    bytes: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    running: AtomicUsize,
}

impl Downloads {
    pub fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(DOWNLOADS)),
            bytes: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            running: AtomicUsize::new(0),
        }
    }

    /// Publishes statistics about a file of this length, while there are downloads.
    pub async fn measure(&self, length: u64, publish: watch::Sender<DownloadStats>) {
        let (mut before, mut measured) = (0, Instant::now());
        loop {
            let busy = self.running.load(Relaxed) > 0;
            tokio::time::sleep(MEASURE_EVERY).await;
            let bytes = self.bytes.load(Relaxed);
            let seconds = measured.elapsed().as_secs_f64();
            let sent = bytes - before;
            (before, measured) = (bytes, Instant::now());
            // A second without any download says nothing about the speed.
            if sent == 0 && !(busy && self.running.load(Relaxed) > 0) {
                continue;
            }
            let per_second = sent as f64 / length.max(1) as f64 / seconds;
            let (finished, failed) = (self.finished.load(Relaxed), self.failed.load(Relaxed));
            let running = self.running.load(Relaxed);
            publish.send_replace(DownloadStats { per_second, bytes, finished, failed, running });
        }
    }
}

/// The progress of a connection's download, which shows whether the download has stalled.
#[derive(Debug, Default)]
pub(super) struct Progress {
    chunks: AtomicU64,
    running: AtomicUsize,
}

impl Progress {
    /// The number of chunks that have been read; `None` while the connection has no download, or its download waits for a slot.
    pub fn chunks(&self) -> Option<u64> {
        (self.running.load(Relaxed) > 0).then(|| self.chunks.load(Relaxed))
    }
}

/// One download.
pub(super) struct Download {
    files: Arc<ArtifactFiles>,
    /// The path in the URL of the file.
    path: String,
    length: u64,
    position: u64,
    downloads: Arc<Downloads>,
    progress: Arc<Progress>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Download {
    pub fn new(
        files: Arc<ArtifactFiles>,
        path: &str,
        length: u64,
        downloads: Arc<Downloads>,
        progress: Arc<Progress>,
    ) -> Self {
        Self { files, path: path.to_owned(), length, position: 0, downloads, progress, slot: None }
    }

    /// Waits until this download may run, and reads the next chunk; `None` at the end.
    pub async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        if self.slot.is_none() {
            self.slot = Some(self.downloads.slots.clone().acquire_owned().await.ok()?);
            self.downloads.running.fetch_add(1, Relaxed);
            self.progress.running.fetch_add(1, Relaxed);
        }
        let position = self.position;
        let size = (self.length - position).min(CHUNK as u64) as usize;
        if size == 0 {
            return None;
        }
        let (files, path) = (self.files.clone(), self.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; size];
            let served = files.at(&path).ok_or(io::ErrorKind::NotFound)?;
            served.file.read_exact_at(&mut chunk, position)?;
            io::Result::Ok(Bytes::from(chunk))
        });
        let chunk = reading.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        if chunk.is_ok() {
            self.position += size as u64;
            self.downloads.bytes.fetch_add(size as u64, Relaxed);
            self.progress.chunks.fetch_add(1, Relaxed);
        }
        Some(chunk.map(Frame::data))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.slot.is_some() {
            self.downloads.running.fetch_sub(1, Relaxed);
            self.progress.running.fetch_sub(1, Relaxed);
        }
        let ended =
            if self.position == self.length { &self.downloads.finished } else { &self.downloads.failed };
        ended.fetch_add(1, Relaxed);
    }
}
