//! Workers whose agents do not answer. After a while others may take their place: Mesos does not forget agents that are
//! gone for good for weeks. Those that come back when their place is taken are ended (`unwanted`).

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::fleet::DueQueue;

/// Others may take the place of what is unreachable for so long; a server is replaced.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(60);

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Unreachable {
    due: DueQueue<String>,
}

impl Policy for Unreachable {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Started => {
                let unreachable = |task: &&crate::fleet::Task| {
                    task.is_worker() && task.state() == Some(TaskState::TaskUnreachable)
                };
                let tasks = view.fleet.present().filter(unreachable);
                tasks.for_each(|task| self.due.add(now + UNREACHABLE, task.id().to_owned()));
            }
            Happening::Alive { task, state: TaskState::TaskUnreachable, change }
                if change.before != Some(TaskState::TaskUnreachable) =>
            {
                self.due.add(now + UNREACHABLE, task.clone());
            }
            Happening::Tick if view.hears_tasks(now) => return self.release(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl Unreachable {
    fn release(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        for id in self.due.take_all(now) {
            let Some(task) = view.fleet.get(&id).filter(|task| task.takes_place()) else { continue };
            match task.since_in(TaskState::TaskUnreachable) {
                Some(since) if since + UNREACHABLE > now => self.due.add(since + UNREACHABLE, id),
                Some(_) => intents.push(Intent::ReleaseSlot { task: id }),
                None => {}
            }
        }
        intents
    }
}
