//! How many calls were decided and not answered yet, for who would rather wait than decide more.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// So many calls are a burst: more than can be on the way at once.
pub(in crate::driver) const BURST: usize = 512;

/// The number, and who waits for it to sink.
#[derive(Debug, Default)]
pub(in crate::driver) struct Unanswered {
    count: AtomicUsize,
    few: Notify,
}

impl Unanswered {
    /// The number.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// One more is decided.
    pub(super) fn add(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// One is answered.
    pub(super) fn remove(&self) {
        if self.count.fetch_sub(1, Relaxed) == BURST {
            self.few.notify_one();
        }
    }

    /// Waits until they are fewer than a burst after they were one.
    pub async fn few(&self) {
        self.few.notified().await;
    }
}
