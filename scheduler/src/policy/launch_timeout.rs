//! A launch that the master never heard of, or whose agent is silent, is given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::DeadlineQueue;
use crate::user_notice::UserNotice;

/// Longer than an agent needs to notice that its master was restarted.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(120);

/// The rule.
#[derive(Debug, Default)]
pub(super) struct LaunchTimeout {
    /// Launches that the master may not have taken yet, with the time when each was decided. A master that is slow to take
    /// calls may take minutes, which do not count.
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
            // Calls of the last subscription are gone, answered or not.
            PolicyEvent::Subscribed => self.count_from(now, self.sent.len()),
            PolicyEvent::Tick if view.hears_tasks(now) => return self.give_up(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl LaunchTimeout {
    /// The time of the first launches counts from now on.
    fn count_from(&mut self, now: Instant, launches: usize) {
        self.sent.drain(..launches).for_each(|(_, task)| self.due.add(now + LAUNCH_TIMEOUT, task));
    }

    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        for task in self.due.take_all(now) {
            let Some(since) = view.fleet.get(&task).and_then(|task| task.unanswered_since()) else {
                continue;
            };
            if since + LAUNCH_TIMEOUT > now {
                self.due.add(since + LAUNCH_TIMEOUT, task);
                continue;
            }
            let (task, why) = (task.to_string(), "its launch was never answered");
            intents.push(Intent::Notify(UserNotice::GivenUp { task: task.clone(), why }));
            intents.push(Intent::PresumeLost(task));
        }
        intents
    }
}
