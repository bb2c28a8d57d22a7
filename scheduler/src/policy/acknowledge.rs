//! Acknowledges an update once it is on disk and applied. Also kills a retired task whose update shows that the task is still
//! alive.

use std::time::Instant;

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Acknowledge;

impl Policy for Acknowledge {
    fn on_event(&mut self, _view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        let PolicyEvent::UpdatePersisted { task, agent, uuid, still_alive } = event else {
            return Vec::new();
        };
        let (task, agent) = (task.clone(), agent.clone());
        let acknowledge =
            uuid.clone().map(|uuid| Call::Acknowledge { task: task.clone(), agent: agent.clone(), uuid });
        // A retired task has no record that could schedule further KILLs, so each of its updates is answered by a KILL.
        let kill = still_alive.then_some(Call::Kill { task, agent });
        acknowledge.into_iter().chain(kill).map(Intent::Call).collect()
    }
}
