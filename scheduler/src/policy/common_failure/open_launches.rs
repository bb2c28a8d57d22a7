//! The launches in progress: those whose outcome is still open. Has no clock and does no I/O.

use std::collections::HashMap;
use std::time::Instant;

/// One launch in progress.
#[derive(Debug)]
pub struct OpenLaunch {
    /// When the call that launches the task was sent.
    pub sent: Instant,
    /// Whether other launches no longer wait for this one. This launch may still succeed or fail.
    late: bool,
}

/// All launches in progress: task id → launch.
#[derive(Debug, Default)]
pub struct OpenLaunches {
    all: HashMap<String, OpenLaunch>,
    late: usize,
}

impl OpenLaunches {
    pub fn sent(&mut self, task: &str, now: Instant) {
        self.remove(task);
        self.all.insert(task.to_owned(), OpenLaunch { sent: now, late: false });
    }

    pub fn contains(&self, task: &str) -> bool {
        self.all.contains_key(task)
    }

    pub fn remove(&mut self, task: &str) -> Option<OpenLaunch> {
        let open = self.all.remove(task)?;
        self.late -= usize::from(open.late);
        Some(open)
    }

    /// Makes other launches stop waiting for this one. Returns whether they waited for it until now.
    pub fn set_late(&mut self, task: &str) -> bool {
        let Some(open) = self.all.get_mut(task).filter(|open| !open.late) else { return false };
        open.late = true;
        self.late += 1;
        true
    }

    /// The number of launches in progress that are not late. Other launches wait for the outcome of these.
    pub fn count_awaited(&self) -> usize {
        self.all.len() - self.late
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn shrink(&mut self) {
        self.all.shrink_to_fit();
    }
}
