//! Gives up a launch if no update of its task is received in time. Then the master did not get the call, or the agent is gone.
//! Launches that the master knows have a longer limit (`launch_timeout`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sent_launches::SentLaunches;
use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::DeadlineQueue;

/// If a task has no update this long after the master answered its launch, the launch is given up, and another task may take its
/// place. An agent may need most of this time to find a restarted master.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct UnansweredLaunches {
    sent: SentLaunches,
    due: DeadlineQueue<Arc<str>>,
}

impl Policy for UnansweredLaunches {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        for task in self.sent.on_event(view, event, now) {
            self.due.add(now + ANSWER_TIMEOUT, task);
        }
        match event {
            PolicyEvent::Started => {
                let unanswered = view.fleet.active().filter(|task| task.unanswered_since().is_some());
                unanswered.for_each(|task| self.due.add(now + ANSWER_TIMEOUT, Arc::clone(task.shared_id())));
            }
            PolicyEvent::Tick if view.hears_tasks(now) => return self.give_up(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl UnansweredLaunches {
    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let deadline = |id: &Arc<str>| Some(view.fleet.get(id)?.unanswered_since()? + ANSWER_TIMEOUT);
        let expired = self.due.take_expired(now, deadline);
        let why = "its launch was never answered";
        let give_up = |id: Arc<str>| {
            // The user already knows of a task that is to end.
            let is_news = view.fleet.get(&id).is_some_and(|task| !task.is_to_end());
            let notice = is_news.then(|| Intent::notify_given_up(&id, why));
            notice.into_iter().chain([Intent::PresumeLost(id.to_string())])
        };
        expired.into_iter().flat_map(give_up).collect()
    }
}
