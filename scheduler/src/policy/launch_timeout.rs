//! Gives up launches without any update: the master did not get the call, or the agent is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::DeadlineQueue;

/// If a task has no update this long after the master answered its launch, the launch is given up, and another task may take its
/// place. An agent may need most of this time to find a restarted master.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(120);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct LaunchTimeout {
    /// Launches whose call the master may not have answered yet: for each, the time when the call was decided, and the task's
    /// id. A slow master may take minutes to answer. These minutes do not count towards the timeout.
    sent: VecDeque<(Instant, Arc<str>)>,
    due: DeadlineQueue<Arc<str>>,
}

impl Policy for LaunchTimeout {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                let unanswered = view.fleet.active().filter(|task| task.unanswered_since().is_some());
                unanswered.for_each(|task| self.due.add(now + LAUNCH_TIMEOUT, Arc::clone(task.shared_id())));
            }
            PolicyEvent::Launched(task) => {
                let task = view.fleet.get(task).map(|task| Arc::clone(task.shared_id()));
                self.sent.extend(task.map(|task| (now, task)));
            }
            PolicyEvent::CallsAnswered { decided_before } => {
                let answered = self.sent.partition_point(|(decided, _)| decided < decided_before);
                self.count_from(now, answered);
            }
            // The calls of the previous subscription will no longer be answered, so the timeouts of their launches start now.
            PolicyEvent::Subscribed => self.count_from(now, self.sent.len()),
            PolicyEvent::Tick if view.hears_tasks(now) => return self.give_up(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl LaunchTimeout {
    /// Starts the timeout of the first `launches` entries of `sent`.
    fn count_from(&mut self, now: Instant, launches: usize) {
        self.sent.drain(..launches).for_each(|(_, task)| self.due.add(now + LAUNCH_TIMEOUT, task));
        if self.sent.is_empty() {
            self.sent.shrink_to_fit();
        }
    }

    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let deadline = |id: &Arc<str>| Some(view.fleet.get(id)?.unanswered_since()? + LAUNCH_TIMEOUT);
        let expired = self.due.take_expired(now, deadline);
        let why = "its launch was never answered";
        let give_up = |id: Arc<str>| [Intent::notify_given_up(&id, why), Intent::PresumeLost(id.to_string())];
        expired.into_iter().flat_map(give_up).collect()
    }
}
