//! Releases the slots of workers on unreachable agents after a while, so that other workers may take the slots: Mesos takes
//! weeks to forget an agent that never returns. If a worker returns after its slot was taken, the policy `surplus` ends it.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::DeadlineQueue;

/// When a worker has been unreachable for this long, another worker may take its slot. A server that has been unreachable for
/// this long is replaced.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(60);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Unreachable {
    due: DeadlineQueue<String>,
}

impl Policy for Unreachable {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                let workers = view.fleet.active().filter(|task| task.is_worker());
                for worker in workers.filter(|task| task.state() == Some(TaskState::TaskUnreachable)) {
                    self.due.add(now + UNREACHABLE, worker.id().to_owned());
                }
            }
            PolicyEvent::Alive { task, state: TaskState::TaskUnreachable, change }
                if change.before != Some(TaskState::TaskUnreachable) =>
            {
                self.due.add(now + UNREACHABLE, task.clone());
            }
            PolicyEvent::Tick if view.hears_tasks(now) => {
                let deadline = |id: &String| {
                    let task = view.fleet.get(id).filter(|task| task.occupies_slot())?;
                    Some(task.since_in(TaskState::TaskUnreachable)? + UNREACHABLE)
                };
                let expired = self.due.take_expired(now, deadline);
                return expired.into_iter().map(Intent::ReleaseSlot).collect();
            }
            _ => {}
        }
        Vec::new()
    }
}
