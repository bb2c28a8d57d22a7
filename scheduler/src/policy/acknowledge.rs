//! An update is acknowledged when it is on disk and was applied. If a task that has retired is still alive, it is killed then.

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
        // A retired task has no record for later KILLs, so it is killed at each of its updates.
        let kill = still_alive.then_some(Call::Kill { task, agent });
        acknowledge.into_iter().chain(kill).map(Intent::Call).collect()
    }
}
