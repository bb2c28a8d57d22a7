//! Ends surplus tasks: servers that were given up, their workers, and workers that return when others have taken their slots.
//! Tasks that the options of today would launch otherwise are not among them: see the policy `replacement`.

use std::time::Instant;

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::constraints::{TentativeOccupancy, all_allow};
use crate::fleet::{Slot, StateChange, Task, has_ended};

/// The policy.
#[derive(Debug, Default)]
pub(super) struct SurplusTasks;

impl Policy for SurplusTasks {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                view.fleet.active().filter(|task| !view.belongs(task)).map(Intent::end).collect()
            }
            PolicyEvent::Alive { task, state, change } => match view.fleet.get(task) {
                Some(task) => alive(view, task, *state, *change),
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn alive(view: &View<'_>, task: &Task, state: TaskState, change: StateChange) -> Vec<Intent> {
    let id = task.id().to_owned();
    let had_ended = change.before.is_some_and(has_ended);
    let lost_slot = change.slot != Slot::Held && state != TaskState::TaskUnreachable;
    let mut intents = Vec::new();
    let mut wanted = !task.is_to_end() && view.belongs(task);
    if wanted && (had_ended || lost_slot) {
        intents.push(Intent::HoldSlot(id.clone()));
        if !has_free_slot(view, task) {
            intents.push(Intent::notify_given_up(&id, "others have taken its place"));
            wanted = false;
        }
    }
    if !wanted {
        let returned = had_ended || change.before == Some(TaskState::TaskUnreachable);
        intents.push(if returned { Intent::EndReturned(id) } else { Intent::End(id) });
    }
    intents
}

/// Whether limits and constraints still allow a worker that has returned.
fn has_free_slot(view: &View<'_>, task: &Task) -> bool {
    if !task.is_worker() {
        return true;
    }
    let placement = &view.settings.placement;
    let (mut cpus, mut count) = view.fleet.placed();
    let mut others = TentativeOccupancy::of(view.fleet.occupancy());
    let place = task.place();
    if task.occupies_slot() {
        others.remove(&placement.workers, &place);
    } else {
        (cpus, count) = (cpus.saturating_add(task.record.cpus_milli()), count + 1);
    }
    let cpus = cpus.saturating_add(view.server_cpus_milli());
    let limits = view.limits();
    limits.max_workers.is_none_or(|most| count <= most)
        && limits.max_cpus_milli.is_none_or(|most| cpus <= most)
        && all_allow(&placement.workers, &place, &others)
}
