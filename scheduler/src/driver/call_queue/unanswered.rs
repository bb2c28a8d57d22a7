//! The number of unanswered calls, from which the driver decides whether to wait.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// The driver delays the master's events while the unsent launches and the unanswered calls together are at least this many. This
/// number is higher than the number of calls that can be in flight at the same time, so sent calls alone never delay events.
pub(in crate::driver) const BURST: usize = 512;

/// The number of unanswered calls.
#[derive(Debug, Default)]
pub(in crate::driver) struct Unanswered {
    count: AtomicUsize,
    below_burst: Notify,
}

impl Unanswered {
    /// The number of unanswered calls.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Counts a call that was queued.
    pub(super) fn add(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// Stops counting a call that was answered or will not be sent.
    pub(super) fn remove(&self) {
        if self.count.fetch_sub(1, Relaxed) == BURST {
            self.below_burst.notify_one();
        }
    }

    /// Waits until the number of unanswered calls has fallen below [`BURST`].
    pub async fn below_burst(&self) {
        self.below_burst.notified().await;
    }
}
