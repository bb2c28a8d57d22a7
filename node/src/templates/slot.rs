//! A place for one call in progress.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A call in progress, or none. Calls of one kind never overlap.
pub struct Slot<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Slot<T> {
    /// A place without a call.
    pub fn empty() -> Self {
        Slot(None)
    }

    /// Whether there is a call in progress.
    pub fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a call. A call in progress is given up.
    pub fn begin(&mut self, call: impl Future<Output = T> + Send + 'static) {
        self.0 = Some(Box::pin(call));
    }

    /// Waits for the end of the call; for ever if there is none. Safe to cancel.
    pub async fn end(&mut self) -> T {
        let Some(call) = &mut self.0 else { return std::future::pending().await };
        let output = call.await;
        self.0 = None;
        output
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.is_busy()).finish()
    }
}
