//! Launches whose fate is open. Pure.

use std::collections::HashMap;
use std::time::Instant;

/// One of them.
#[derive(Debug)]
pub struct Open {
    /// When it was sent.
    pub sent: Instant,
    /// How its executor ended, as wait(2) gives it.
    pub status: Option<i32>,
    /// Others no longer wait for it, but it may still succeed, or fail as others of its time did.
    late: bool,
}

/// All of them, by the task's id.
#[derive(Debug, Default)]
pub struct OpenLaunches {
    all: HashMap<String, Open>,
    late: usize,
}

impl OpenLaunches {
    pub fn sent(&mut self, task: &str, now: Instant) {
        self.remove(task);
        self.all.insert(task.to_owned(), Open { sent: now, status: None, late: false });
    }

    pub fn contains(&self, task: &str) -> bool {
        self.all.contains_key(task)
    }

    pub fn get_mut(&mut self, task: &str) -> Option<&mut Open> {
        self.all.get_mut(task)
    }

    pub fn remove(&mut self, task: &str) -> Option<Open> {
        let open = self.all.remove(task)?;
        self.late -= usize::from(open.late);
        Some(open)
    }

    /// Others need not wait for it any longer; whether they did until now.
    pub fn set_late(&mut self, task: &str) -> bool {
        let Some(open) = self.all.get_mut(task).filter(|open| !open.late) else { return false };
        open.late = true;
        self.late += 1;
        true
    }

    /// How many there are for which others wait.
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
