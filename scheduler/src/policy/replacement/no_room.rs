//! Workers that were ended to be replaced, but whose agents have no room for a new worker. For example, the CPU that they leave
//! is what `--reserve-cpus` keeps free. The agent's next offer shows this: it has the CPU of the ended workers, and is still
//! too small.

use std::collections::BTreeMap;

use mesos::resources::Resources;
use mesos::v1::Offer;

use super::super::View;
use crate::constraints::Place;
use crate::fleet::Task;
use crate::offers::{self, AgentMarks, Demand, PlanContext};

/// A task leaves this much less CPU than its record says until the CPU of its executor is free, too, in thousandths of a CPU.
const EXECUTOR: u64 = 10;

/// The workers of the last batch that have no successor yet, as far as is known.
#[derive(Debug, Default)]
pub(super) struct NoRoom {
    /// Agent id → the ids of the workers, and their CPU in thousandths.
    ended: BTreeMap<String, Vec<(String, u64)>>,
}

impl NoRoom {
    /// Forgets the workers of the batch before, and begins with these.
    pub fn begin<'a>(&mut self, workers: impl Iterator<Item = &'a Task>) {
        self.ended.clear();
        for worker in workers {
            let agent = self.ended.entry(worker.agent().to_owned()).or_default();
            agent.push((worker.id().to_owned(), worker.record.cpus_milli()));
        }
    }

    /// Looks for workers that the agents of these offers have no room to replace. Returns these agents, each with the number of
    /// such workers.
    pub fn look(&mut self, view: &View<'_>, offers: &[Offer]) -> Vec<(String, usize)> {
        // Revocable CPU comes and goes, so its absence now says nothing.
        if self.ended.is_empty() || view.settings.placement.revocable {
            return Vec::new();
        }
        let mut by_agent: BTreeMap<&str, Vec<&Offer>> = BTreeMap::new();
        for offer in offers.iter().filter(|offer| self.ended.contains_key(&offer.agent_id.value)) {
            by_agent.entry(&offer.agent_id.value).or_default().push(offer);
        }
        let mut found = Vec::new();
        for (agent, offers) in by_agent {
            let mut free: u64 = offers.iter().map(|offer| cpus_milli(offer)).sum();
            let Some(ended) = self.ended.get_mut(agent) else { continue };
            if has_room(view, agent, &offers) {
                // New workers take what is not reserved. They are the successors of as many workers, so these are waited for.
                let mut used = free.saturating_sub(view.settings.placement.limits.reserve_cpus_milli);
                ended.retain(|(_, cpus)| {
                    let is_succeeded = used > 0;
                    used = used.saturating_sub(*cpus);
                    !is_succeeded
                });
                continue;
            }
            let before = ended.len();
            ended.retain(|(id, cpus)| {
                let has_ended = view.fleet.get(id).is_none_or(Task::has_ended);
                let is_offered = has_ended && cpus.saturating_sub(EXECUTOR) <= free;
                if is_offered {
                    free = free.saturating_sub(*cpus);
                }
                !is_offered
            });
            let count = before - ended.len();
            if count > 0 {
                found.push((agent.to_owned(), count));
            }
        }
        found
    }
}

/// Whether a new worker has room in these offers of an agent. Whether launches fail there does not matter.
fn has_room(view: &View<'_>, agent: &str, offers: &[&Offer]) -> bool {
    let (placement, placed) = (&view.settings.placement, view.fleet.occupancy());
    let avoided = |agent: &str, host: &str| view.history.avoids(agent, host).is_some();
    let marks =
        |agent: &str, host: &str| AgentMarks { avoided: avoided(agent, host), ..AgentMarks::default() };
    let context = PlanContext::without_limits(Demand::Workers, placement, placed, &marks);
    let place = offers.first().map(|offer| Place::of(offer));
    place.is_some_and(|place| offers::is_place(agent, &place, offers, &context))
}

fn cpus_milli(offer: &Offer) -> u64 {
    Resources::from(offer.resources.clone()).sum("cpus").milli()
}
