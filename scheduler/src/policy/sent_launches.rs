//! Launches whose call the master may not have answered yet. A slow master may take minutes to answer. These minutes do not count
//! towards any time limit of a launch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{PolicyEvent, View};

/// The ids of the launched tasks, earliest first, each with the time when the scheduler decided to send its launch.
#[derive(Debug, Default)]
pub(super) struct SentLaunches(VecDeque<(Instant, Arc<str>)>);

impl SentLaunches {
    /// Handles an event. Returns the tasks whose time limits begin now.
    pub fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Arc<str>> {
        match event {
            PolicyEvent::Launched(task) => {
                let task = view.fleet.get(task).map(|task| Arc::clone(task.shared_id()));
                self.0.extend(task.map(|task| (now, task)));
                Vec::new()
            }
            PolicyEvent::CallsAnswered { decided_before } => {
                let answered = self.0.partition_point(|(decided, _)| decided < decided_before);
                self.take(answered)
            }
            // Calls that were sent before this subscription will not be answered. So their launches no longer wait for an answer:
            // the time limits begin now.
            PolicyEvent::Subscribed => self.take(self.0.len()),
            _ => Vec::new(),
        }
    }

    fn take(&mut self, launches: usize) -> Vec<Arc<str>> {
        let taken = self.0.drain(..launches).map(|(_, task)| task).collect();
        if self.0.is_empty() {
            self.0.shrink_to_fit();
        }
        taken
    }
}
