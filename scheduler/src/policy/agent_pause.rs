//! Pauses agents on which tasks fail repeatedly, longer each time.

use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};

use super::{Intent, Policy, PolicyEvent, TaskEnd, View, task_notices};

/// The policy.
#[derive(Debug, Default)]
pub(super) struct AgentPause;

impl Policy for AgentPause {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        let ended = match event {
            PolicyEvent::Ended(ended) => ended,
            // If a launch has timed out, its agent is paused for a long time, so that another agent gets the next launch.
            PolicyEvent::LaunchGivenUp(given_up) => {
                let least = given_up.reason.map_or(view.settings.options.launch_timeout, |_| Duration::ZERO);
                return vec![pause(view, given_up, least)];
            }
            _ => return Vec::new(),
        };
        let Some(task) = view.fleet.get(&ended.task) else { return Vec::new() };
        // Our own worker or server ends in TASK_FINISHED when it is to be renewed (`--updates-per-task`). This is no reason
        // for a pause. A user's image that finishes might finish again immediately, so its agent is paused.
        let ours = view.settings.template.programs.is_ours(task.record.kind);
        let renewed = ended.state == TaskState::TaskFinished && task.running_since.is_some() && ours;
        if task.is_to_end() || renewed || !is_failure(ended) {
            return Vec::new();
        }
        vec![pause(view, ended, Duration::ZERO)]
    }
}

fn pause(view: &View<'_>, ended: &TaskEnd, least: Duration) -> Intent {
    let why = format!("{}{}", ended.state.as_str_name(), ended.why(view));
    let common = task_notices::is_common(view, ended);
    Intent::PauseAgent { task: ended.task.clone(), why, common, least }
}

/// Whether the agent may have caused the failure, so that the next launch on it should wait.
fn is_failure(ended: &TaskEnd) -> bool {
    use TaskState::*;
    use task_status::Reason;
    // Mesos may take revocable CPU back at any time, and an operator may drain the agent.
    if matches!(ended.reason, Some(Reason::ContainerPreempted | Reason::AgentDraining)) {
        return false;
    }
    match ended.state {
        TaskFailed | TaskError | TaskFinished | TaskKilled => true,
        // The agent is not at fault if the offer was rescinded before the launch arrived.
        TaskDropped => ended.reason != Some(Reason::InvalidOffers),
        _ => false,
    }
}
