//! Faults that the pool's health check reports.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A fault in one part of the pool, if there is any.
#[derive(Debug, Default)]
pub struct HealthStatus(Mutex<Option<(Instant, String)>>);

impl HealthStatus {
    /// Sets the fault; `fault` describes it in one sentence. The time of the first call since the last
    /// [`HealthStatus::clear`] counts as the beginning of the fault.
    pub fn set(&self, fault: impl Into<String>) {
        let mut status = self.lock();
        let since = status.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *status = Some((since, fault.into()));
    }

    /// Clears the fault; returns whether there was one.
    pub fn clear(&self) -> bool {
        self.lock().take().is_some()
    }

    /// The fault, and when it began.
    pub fn get(&self) -> Option<(Instant, String)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_from_its_beginning_to_its_end() {
        let status = HealthStatus::default();
        assert!(!status.clear());
        status.set("a little");
        let (since, _) = status.get().unwrap();
        // Waits until the clock shows a later time.
        while Instant::now() == since {}
        status.set("more");
        assert_eq!(status.get(), Some((since, "more".to_owned())));
        assert!(status.clear() && status.get().is_none());
    }
}
