//! Workers whose agents do not answer. After a while others may take their place: agents that are gone for good are not
//! forgotten by Mesos for weeks. Those that come back when their place is taken are ended.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::State;
use super::task::Task;
use crate::constraints::Place;

/// Others may take the place of what is unreachable for so long; a server is replaced.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(60);

impl State {
    /// Gives the places of workers free that have been unreachable for long.
    pub(super) fn miss_workers(&mut self, now: Instant) {
        let mut any = false;
        for task in self.tasks.values_mut().filter(|task| task.takes_place()) {
            let unreachable = task.state == Some(TaskState::TaskUnreachable);
            task.missed = unreachable && now.duration_since(task.since) >= UNREACHABLE;
            any |= task.missed;
        }
        if any {
            self.workers_changed();
        }
    }

    /// CPU (thousandths) and number of the workers that count.
    pub(super) fn taken(&self) -> (u64, u64) {
        let workers = self.tasks.values().filter(|task| task.takes_place());
        workers.fold((0u64, 0u64), |(cpus, count), task| {
            (cpus.saturating_add(task.record.cpus_milli()), count + 1)
        })
    }

    /// Where the workers that count are, but for this one; asked for only if it matters.
    pub(super) fn places_without(&self, id: Option<&str>) -> Vec<Place> {
        if self.settings.placement.workers.is_empty() {
            return Vec::new();
        }
        let workers = self.tasks.values().filter(|task| task.takes_place());
        workers.filter(|task| id != Some(&task.record.id)).map(place).collect()
    }

    /// A task that was lost, or missed, is there again: whether it still has a place.
    pub(super) fn takes_place_again(&mut self, id: &str) -> bool {
        let Some(task) = self.tasks.get_mut(id) else { return false };
        (task.missed, task.unsure) = (false, false);
        if !task.is_worker() {
            return true;
        }
        let here = place(task);
        let (limits, (cpus, count)) = (&self.settings.placement.limits, self.taken());
        let others = self.places_without(Some(id));
        limits.max_workers.is_none_or(|most| count <= most)
            && limits.max_cpus_milli.is_none_or(|most| cpus.saturating_add(self.server_cpus()) <= most)
            && self.settings.placement.workers.iter().all(|constraint| constraint.allows(&here, &others))
    }

    /// CPU that the server takes, running or not, thousandths.
    pub(super) fn server_cpus(&self) -> u64 {
        if self.settings.template.pool.is_some() { 0 } else { self.settings.server_cpus_milli }
    }
}

fn place(task: &Task) -> Place {
    Place { host: task.record.host.clone(), attributes: task.record.attributes.clone() }
}
