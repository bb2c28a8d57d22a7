//! Agents on which tasks fail again and again get a pause that grows.

use std::time::Instant;

use mesos::v1::{TaskState, task_status};

use super::{Ended, Happening, Intent, Policy, View, task_notices};

/// The rule.
#[derive(Debug, Default)]
pub(super) struct AgentPause;

impl Policy for AgentPause {
    fn on(&mut self, view: &View<'_>, happening: &Happening, _now: Instant) -> Vec<Intent> {
        let Happening::Ended(ended) = happening else { return Vec::new() };
        let Some(task) = view.fleet.get(&ended.task) else { return Vec::new() };
        // What ran and finished has made all its updates, and a fresh one is to take its place. Somebody else's program
        // makes none: it has given up, and may well do so again at once.
        let ours = view.settings.template.programs.is_ours(task.record().kind);
        let renewed = ended.state == TaskState::TaskFinished && task.running_since().is_some() && ours;
        if task.is_to_end() || renewed || !is_failure(ended) {
            return Vec::new();
        }
        let why =
            format!("{}{}{}", ended.state.as_str_name(), ended.why(), task_notices::advice(view, ended));
        let common = task_notices::is_common(view, ended);
        vec![Intent::PauseAgent { task: ended.task.clone(), why, common }]
    }
}

/// Whether the agent is to blame, so that the next try there should wait.
fn is_failure(ended: &Ended) -> bool {
    use TaskState::*;
    use task_status::Reason;
    // Mesos has taken revocable CPU back, as it may at any time; or an operator empties the agent.
    if matches!(ended.reason, Some(Reason::ContainerPreempted | Reason::AgentDraining)) {
        return false;
    }
    match ended.state {
        TaskFailed | TaskError | TaskFinished | TaskKilled => true,
        // A race with another offer or rescission, not the agent's fault.
        TaskDropped => ended.reason != Some(Reason::InvalidOffers),
        _ => false,
    }
}
