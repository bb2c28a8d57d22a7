//! Ends the tasks on agents that are avoided, also those that return there. `launch` launches nothing there.

use std::time::Instant;

use super::server_drain::ServerDrain;
use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::journal::Command;

/// The words that follow a server's id in the notice of its end.
const WHY: &str = "is on an agent that is avoided";

/// The policy.
#[derive(Debug, Default)]
pub(super) struct AvoidedAgents {
    drain: ServerDrain,
}

impl Policy for AvoidedAgents {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started | PolicyEvent::Commanded(Command::Avoid { .. }) => {
                self.end(view, view.fleet.active(), now)
            }
            PolicyEvent::Alive { task, .. } => self.end(view, view.fleet.get(task).into_iter(), now),
            PolicyEvent::Settled if view.run.connected => self.drain.end_drained(view, now),
            _ => Vec::new(),
        }
    }
}

impl AvoidedAgents {
    /// Ends those of these tasks that are on avoided agents. A server ends after its workers.
    fn end<'a>(
        &mut self,
        view: &View<'_>,
        tasks: impl Iterator<Item = &'a Task>,
        now: Instant,
    ) -> Vec<Intent> {
        if view.history.avoided().is_empty() {
            return Vec::new();
        }
        let is_avoided =
            |task: &&Task| !task.is_to_end() && view.history.avoids(task.agent(), task.host()).is_some();
        let mut intents = Vec::new();
        for task in tasks.filter(is_avoided) {
            if !task.is_worker() && view.fleet.servers.contains_key(task.id()) {
                intents.extend(self.drain.begin(view, task.id(), WHY, view.keeps_workers(), now));
            } else {
                intents.push(Intent::end(task));
            }
        }
        intents
    }
}
