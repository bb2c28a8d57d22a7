//! Sends KILLs to tasks that are to end, until Mesos says that they have ended. `fleet::task` decides when the next KILL is due
//! and when SHUTDOWN of the executor follows. After a new subscription, all KILLs are due.

use std::time::Instant;

use super::{Intent, Policy, PolicyEvent, View};

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Kill;

impl Policy for Kill {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        if !matches!(event, PolicyEvent::Settled) || !view.run.connected {
            return Vec::new();
        }
        view.fleet.kills_due(now).map(|task| Intent::SendKill(task.id().to_owned())).collect()
    }
}
