//! Tasks that have no place here are ended: servers that were given up, workers of servers that are, and workers that
//! return when others have taken their place.

use std::time::Instant;

use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::constraints::{Trial, all_allow};
use crate::fleet::{Slot, StateChange, Task, is_over};
use crate::user_notice::UserNotice;

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Unwanted;

impl Policy for Unwanted {
    fn on(&mut self, view: &View<'_>, happening: &Happening, _now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Started => {
                let unwanted = view.fleet.present().filter(|task| !view.belongs(task));
                unwanted.map(|task| Intent::End { task: task.id().to_owned() }).collect()
            }
            Happening::Alive { task, state, change } => match view.fleet.get(task) {
                Some(task) => alive(view, task, *state, *change),
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn alive(view: &View<'_>, task: &Task, state: TaskState, change: StateChange) -> Vec<Intent> {
    let id = task.id().to_owned();
    let was_over = change.before.is_some_and(is_over);
    let was_missed = change.slot != Slot::Held && state != TaskState::TaskUnreachable;
    let mut intents = Vec::new();
    let mut wanted = !task.is_to_end() && view.belongs(task);
    if wanted && (was_over || was_missed) {
        intents.push(Intent::HoldSlot { task: id.clone() });
        if !has_place_again(view, task) {
            let why = "others have taken its place";
            intents.push(Intent::Notify(UserNotice::GivenUp { task: id.clone(), why }));
            wanted = false;
        }
    }
    if !wanted {
        let returned = was_over || change.before == Some(TaskState::TaskUnreachable);
        intents.push(if returned { Intent::EndAnew { task: id } } else { Intent::End { task: id } });
    }
    intents
}

/// Whether a worker that was gone still has its place.
fn has_place_again(view: &View<'_>, task: &Task) -> bool {
    if !task.is_worker() {
        return true;
    }
    let placement = &view.settings.placement;
    let (mut cpus, mut count) = view.fleet.placed();
    let mut others = Trial::of(view.fleet.occupancy());
    let here = task.place();
    if task.takes_place() {
        others.remove(&placement.workers, &here);
    } else {
        (cpus, count) = (cpus.saturating_add(task.record().cpus_milli()), count + 1);
    }
    let cpus = cpus.saturating_add(view.server_cpus_milli());
    let limits = &placement.limits;
    limits.max_workers.is_none_or(|most| count <= most)
        && limits.max_cpus_milli.is_none_or(|most| cpus <= most)
        && all_allow(&placement.workers, &here, &others)
}
