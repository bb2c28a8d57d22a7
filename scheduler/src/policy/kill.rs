//! Tasks that are to end get a KILL again and again until Mesos says that they ended.

use std::time::Instant;

use super::{Happening, Intent, Policy, View};

/// The rule. When the next KILL of a task is due, its task knows.
#[derive(Debug, Default)]
pub(super) struct Kill;

impl Policy for Kill {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        if !matches!(happening, Happening::Settled) || !view.session.connected {
            return Vec::new();
        }
        let due = view.fleet.kills_due(now);
        due.map(|task| Intent::SendKill { task: task.id().to_owned() }).collect()
    }
}
