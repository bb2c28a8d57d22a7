//! Whether a scheduler still leads, by its own clock alone: it does until its session with ZooKeeper may have expired.
//!
//! ZooKeeper counts the session timeout from the last request that reached it. That was sent no earlier than the last
//! request that was answered. So a scheduler that stops before the timeout has passed since then, stops before another one
//! can lead. A process that was frozen finds, when it goes on, that its lease is over.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

/// The part of the session timeout that a lease lasts. The rest allows for clocks and for requests on their way.
const LEASE_PART: f64 = 0.8;

/// Clones are the same lease.
#[derive(Clone, Debug)]
pub(crate) struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    length: Duration,
    until: Mutex<Instant>,
    lost: CancellationToken,
    why: OnceLock<String>,
}

impl Lease {
    /// A session of this timeout, whose beginning was asked for at `sent`.
    pub fn new(session_timeout: Duration, sent: Instant) -> Self {
        let length = session_timeout.mul_f64(LEASE_PART);
        let (lost, why) = Default::default();
        Lease(Arc::new(Inner { length, until: Mutex::new(sent + length), lost, why }))
    }

    /// How long it lasts without being confirmed.
    pub fn length(&self) -> Duration {
        self.0.length
    }

    fn until(&self) -> Instant {
        // A number is whole whoever panicked.
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request sent then was answered: the session lived.
    pub fn confirmed(&self, sent: Instant) {
        let mut until = self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(sent + self.0.length);
    }

    /// Whether to act as the leader; once it is not, it never is again.
    pub fn holds(&self, now: Instant) -> bool {
        if now >= self.until() {
            self.lose(format!("ZooKeeper has not answered for {:.1} s", self.0.length.as_secs_f64()));
        }
        !self.0.lost.is_cancelled()
    }

    /// It is over.
    pub fn lose(&self, why: String) {
        // The first reason counts.
        let _ = self.0.why.set(why);
        self.0.lost.cancel();
    }

    /// Waits until it is over; why.
    pub async fn lost(&self) -> String {
        loop {
            let until = self.until();
            let lost = timeout_at(until.into(), self.0.lost.cancelled()).await.is_ok();
            if lost || !self.holds(Instant::now()) {
                return self.why();
            }
        }
    }

    /// Why it is over.
    pub fn why(&self) -> String {
        self.0.why.get().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_from_the_last_request_that_was_answered() {
        let start = Instant::now();
        let lease = Lease::new(Duration::from_secs(10), start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(lease.holds(after(7)));
        lease.confirmed(after(6));
        lease.confirmed(after(3));
        assert!(lease.holds(after(13)), "an answer that comes late takes nothing away");
        assert!(!lease.holds(after(14)));
        lease.confirmed(after(14));
        assert!(!lease.holds(after(14)), "it does not come back");
        assert!(lease.why().contains("8.0 s"), "{}", lease.why());
    }

    #[tokio::test]
    async fn whoever_waits_for_its_end_hears_of_it() {
        let lease = Lease::new(Duration::from_secs(1000), Instant::now());
        let waiting = tokio::spawn({
            let lease = lease.clone();
            async move { lease.lost().await }
        });
        lease.lose("the session has expired".into());
        lease.lose("another reason".into());
        assert_eq!(waiting.await.unwrap(), "the session has expired");
        assert!(!lease.holds(Instant::now()));
        let over = Lease::new(Duration::from_millis(1), Instant::now());
        assert!(over.lost().await.contains("has not answered"));
    }
}
