//! Tasks that are to end get a KILL again and again until Mesos says that they ended. `fleet::task` has the pauses and
//! when a SHUTDOWN of the executor follows; after a new subscription all are due (`Fleet::kill_all_anew`).

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
