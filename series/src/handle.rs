//! One series for those who record and those who read.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Series;

/// A series that a program records and others read. Clones share the series.
#[derive(Clone, Debug, Default)]
pub struct SeriesHandle(Arc<Mutex<Series>>);

impl SeriesHandle {
    /// Reads or changes the series. Others wait meanwhile, so `with` must be quick.
    pub fn with<T>(&self, with: impl FnOnce(&mut Series) -> T) -> T {
        // A panic elsewhere does not make figures unusable.
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
