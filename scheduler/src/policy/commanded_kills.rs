//! Ends the tasks that an operator has told the scheduler to end, also after a restart of the scheduler, and if they return.

use std::time::Instant;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::journal::Command;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct CommandedKills;

impl Policy for CommandedKills {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        let wants_end = |task: &&Task| !task.has_ended() && !task.is_to_end();
        let tasks = |ids: &mut dyn Iterator<Item = &str>| -> Vec<Intent> {
            ids.filter_map(|id| view.fleet.get(id)).filter(wants_end).map(Intent::end).collect()
        };
        let mut killed = view.history.controls.killed();
        match event {
            PolicyEvent::Started => tasks(&mut killed),
            PolicyEvent::Commanded(Command::Kill { task }) => tasks(&mut [task.as_str()].into_iter()),
            PolicyEvent::Alive { task, .. } => tasks(&mut killed.filter(|id| *id == task.as_str())),
            _ => Vec::new(),
        }
    }
}
