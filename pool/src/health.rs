//! Problems that the pool's health check reports.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use problem::{Problem, ProblemKind};

/// A problem in one part of the pool, if there is any.
#[derive(Debug, Default)]
pub struct HealthStatus(Mutex<Option<(Instant, Problem)>>);

impl HealthStatus {
    /// Sets the problem. The time of the first call since the last [`HealthStatus::clear`] counts as its beginning.
    pub fn set(&self, problem: Problem) {
        let mut status = self.lock();
        let since = status.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *status = Some((since, problem));
    }

    /// Clears the problem; returns whether there was one.
    pub fn clear(&self) -> bool {
        self.lock().take().is_some()
    }

    /// The problem, and when it began.
    pub fn get(&self) -> Option<(Instant, Problem)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Problem)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong although the pool does its work: at most one problem of each kind.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<BTreeMap<ProblemKind, Problem>>);

impl Warnings {
    /// Sets the problem of its kind; returns whether there was none of this kind.
    pub fn set(&self, problem: Problem) -> bool {
        self.lock().insert(problem.kind, problem).is_none()
    }

    /// Clears the problem of a kind; returns whether there was one.
    pub fn clear(&self, kind: ProblemKind) -> bool {
        self.lock().remove(&kind).is_some()
    }

    /// All problems, the first in rank first.
    pub fn get(&self) -> Vec<Problem> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProblemKind, Problem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_from_its_beginning_to_its_end() {
        let status = HealthStatus::default();
        let problem = |text: &str| Problem::new(ProblemKind::NodeUnreachable, text);
        assert!(!status.clear());
        status.set(problem("a little"));
        let (since, _) = status.get().unwrap();
        // Waits until the clock shows a later time.
        while Instant::now() == since {}
        status.set(problem("more"));
        assert_eq!(status.get(), Some((since, problem("more"))));
        assert!(status.clear() && status.get().is_none());
    }

    #[test]
    fn each_kind_of_warning_is_there_once() {
        let warnings = Warnings::default();
        let slow = |text: &str| Problem::new(ProblemKind::NodeSlow, text);
        assert!(warnings.set(slow("a little")) && !warnings.set(slow("more")));
        assert_eq!(warnings.get(), [slow("more")]);
        assert!(warnings.clear(ProblemKind::NodeSlow) && !warnings.clear(ProblemKind::NodeSlow));
        assert_eq!(warnings.get(), []);
    }
}
