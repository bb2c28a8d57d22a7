//! An update is acknowledged when it is on disk and was acted on. A task that ended long ago for us but lives is killed
//! then.

use std::time::Instant;

use super::{Happening, Intent, Policy, View};
use crate::event::Call;

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Acknowledge;

impl Policy for Acknowledge {
    fn on(&mut self, _view: &View<'_>, happening: &Happening, _now: Instant) -> Vec<Intent> {
        let Happening::Recorded { task, agent, uuid, outlived } = happening else { return Vec::new() };
        let (task, agent) = (task.clone(), agent.clone());
        let acknowledge =
            uuid.clone().map(|uuid| Call::Acknowledge { task: task.clone(), agent: agent.clone(), uuid });
        // Of a task that ended long ago nothing is kept that could be killed again later: it is killed at each update.
        let kill = outlived.then_some(Call::Kill { task, agent });
        acknowledge.into_iter().chain(kill).map(Intent::Call).collect()
    }
}
