//! The leader's lease: the time for which it may act as the leader without asking ZooKeeper.
//!
//! ZooKeeper counts the session timeout from the time at which it received the last request. The leader counts its lease from the
//! time at which it sent the last request that was answered. This time is earlier, so the lease ends before the session expires,
//! and no other scheduler can lead while the lease is valid. When a frozen process continues, it finds that its lease has ended.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use text::InWords;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

/// The length of a lease as a fraction of the session timeout. The rest of the timeout allows for inexact clocks and for requests
/// in flight.
const LEASE_PART: f64 = 0.8;

/// The lease of the leadership. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    length: Duration,
    until: Mutex<Instant>,
    ended: CancellationToken,
    why: OnceLock<String>,
}

impl Lease {
    /// The lease of a new session. `sent` is when the request for the session was sent.
    pub fn new(session_timeout: Duration, sent: Instant) -> Self {
        let length = session_timeout.mul_f64(LEASE_PART);
        let (ended, why) = Default::default();
        Lease(Arc::new(Inner { length, until: Mutex::new(sent + length), ended, why }))
    }

    /// How long the lease lasts after a renewal.
    pub fn length(&self) -> Duration {
        self.0.length
    }

    fn until(&self) -> Instant {
        // A panic cannot leave an `Instant` half-written, so a poisoned lock can still be used.
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease, because a request that was sent at `sent` has been answered.
    pub fn renew(&self, sent: Instant) {
        let mut until = self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(sent + self.0.length);
    }

    /// Whether the leader may act. A lease that has ended never becomes valid again.
    pub fn is_valid(&self, now: Instant) -> bool {
        if now >= self.until() {
            self.end(format!("ZooKeeper has not answered for {}", InWords(self.0.length)));
        }
        !self.0.ended.is_cancelled()
    }

    /// Ends the lease.
    pub fn end(&self, why: String) {
        // Only the first reason is kept.
        let _ = self.0.why.set(why);
        self.0.ended.cancel();
    }

    /// Waits until the lease has ended, and returns the reason.
    pub async fn ended(&self) -> String {
        loop {
            let until = self.until();
            let ended = timeout_at(until.into(), self.0.ended.cancelled()).await.is_ok();
            if ended || !self.is_valid(Instant::now()) {
                return self.why();
            }
        }
    }

    /// Why the lease has ended.
    pub fn why(&self) -> String {
        self.0.why.get().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lasts_from_the_last_request_that_was_answered() {
        let start = Instant::now();
        let lease = Lease::new(Duration::from_secs(10), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(lease.is_valid(after(7)));
        lease.renew(after(6));
        lease.renew(after(3));
        assert!(lease.is_valid(after(13)), "a late answer does not shorten it");
        assert!(!lease.is_valid(after(14)));
        lease.renew(after(14));
        assert!(!lease.is_valid(after(14)), "it does not come back");
        assert!(lease.why().contains("8 s"), "{}", lease.why());
    }

    #[tokio::test]
    async fn waiting_for_the_end_returns_the_reason() {
        let lease = Lease::new(Duration::from_secs(1000), Instant::now());
        let waiting = tokio::spawn({
            let lease = lease.clone();
            async move { lease.ended().await }
        });
        lease.end("the session has expired".into());
        lease.end("another reason".into());
        assert_eq!(waiting.await.unwrap(), "the session has expired");
        assert!(!lease.is_valid(Instant::now()));
        let over = Lease::new(Duration::from_millis(1), Instant::now());
        assert!(over.ended().await.contains("has not answered"));
    }
}
