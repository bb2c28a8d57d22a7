//! Allocates resources: the free resources of each agent are offered to the framework and role with the least CPU.

use super::framework::{Filter, Framework};
use super::{Agent, Master, roles};
use crate::messages::{Now, allocated_to, has_capability};
use mesos::resources::{Quantity, Resources};
use mesos::scheduler::Event;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::resource::AllocationInfo;
use mesos::v1::{Address, Filters, FrameworkId, Offer as OfferMessage, OfferId, Url};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest time for which a framework can refuse resources, in seconds; the same as in Mesos.
const LONGEST_FILTER: f64 = 365.0 * 86_400.0;
/// How long refused resources are not offered again if the call sets no `Filters.refuse_seconds`, in seconds.
const DEFAULT_FILTER: f64 = 5.0;
/// An agent with less free CPU than this, and less free memory than [`MIN_MEM`], is not offered.
const MIN_CPUS: Quantity = Quantity::from_milli(10);
/// Minimum free memory in megabytes; see [`MIN_CPUS`].
const MIN_MEM: Quantity = Quantity::whole(32);

/// An outstanding offer.
#[derive(Debug)]
pub(super) struct Offer {
    pub role: String,
    pub resources: Resources,
    /// The time at which the master rescinds the unanswered offer; `None`: never.
    pub expires: Option<Instant>,
    /// The offer as sent to the framework.
    pub message: OfferMessage,
}

impl Master {
    /// Offers all free resources that a framework wants.
    pub(super) fn allocate(&mut self, now: Now) {
        self.next_allocation = now.instant + self.config.allocation_interval;
        for framework in self.frameworks.values_mut() {
            framework.filters.retain(|filter| filter.until > now.instant);
        }
        let mut made: BTreeMap<FrameworkId, Vec<OfferMessage>> = BTreeMap::new();
        for index in 0..self.agents.len() {
            if let Some(offer) = self.offer_of(&self.agents[index], now) {
                made.entry(offer.message.framework_id.clone()).or_default().push(offer.message.clone());
                self.next_offer += 1;
                self.offers.insert(offer.message.id.clone(), offer);
            }
        }
        for (framework_id, offers) in made {
            self.send(&framework_id, Event::Offers(offers));
        }
    }

    /// The next offer of an agent's free resources, if there are enough and a framework wants them.
    fn offer_of(&self, agent: &Agent, now: Now) -> Option<Offer> {
        let mut free = self.free(agent);
        if free.sum("cpus") < MIN_CPUS && free.sum("mem") < MIN_MEM {
            return None;
        }
        let (framework, role) = self.neediest(agent, &free)?;
        if !has_capability(&framework.info, Capability::RevocableResources) {
            free.split_off(|piece| piece.revocable.is_some());
        }
        if free.is_empty() {
            return None;
        }
        let resources = allocated_to(Some(&role), &free);
        let message = self.offer_message(agent, framework, &role, resources.clone());
        let expires = self.config.offer_timeout.map(|timeout| now.instant + timeout);
        Some(Offer { role, resources, expires, message })
    }

    /// An agent's resources that are neither used nor on offer.
    fn free(&self, agent: &Agent) -> Resources {
        let mut free = agent.total.clone();
        let mut taken = self.allocated(&agent.id);
        taken.extend(self.offered(|offer| offer.message.agent_id == agent.id));
        // `subtract` cannot fail: offers consist of free resources, and `accept` launches a task only if the task fits into its
        // offers.
        free.subtract(&allocated_to(None, &taken));
        free
    }

    /// The framework and role that get the next offer. Of the frameworks that want the resources, this is the one with the fewest
    /// CPUs, in use or in outstanding offers.
    fn neediest(&self, agent: &Agent, free: &Resources) -> Option<(&Framework, String)> {
        let connected = self.frameworks.values().filter(|framework| framework.stream.is_some());
        let candidates = connected.flat_map(|framework| {
            let offered = self.offered(|offer| offer.message.framework_id == framework.id);
            let cpus = framework.allocated(None).sum("cpus") + offered.sum("cpus");
            let roles = roles(&framework.info).into_iter();
            roles
                .filter(move |role| wants(framework, role, agent, free))
                .map(move |role| (cpus, framework, role))
        });
        candidates.min_by_key(|(cpus, ..)| *cpus).map(|(_, framework, role)| (framework, role))
    }

    fn offer_message(
        &self,
        agent: &Agent,
        framework: &Framework,
        role: &str,
        resources: Resources,
    ) -> OfferMessage {
        let hostname = agent.info.hostname.clone();
        let running = framework.executors.keys().filter(|(id, _)| *id == agent.id);
        OfferMessage {
            id: format!("{}-O{}", self.config.id, self.next_offer).into(),
            framework_id: framework.id.clone(),
            agent_id: agent.id.clone(),
            hostname: hostname.clone(),
            url: Some(Url {
                scheme: "http".into(),
                address: Address {
                    hostname: Some(hostname.clone()),
                    ip: Some(hostname),
                    port: agent.info.port.unwrap_or_default(),
                },
                path: Some("/slave(1)".into()),
                ..Default::default()
            }),
            resources: resources.into(),
            attributes: agent.info.attributes.clone(),
            executor_ids: running.map(|(_, id)| id.clone()).collect(),
            allocation_info: Some(AllocationInfo { role: Some(role.to_owned()) }),
            ..Default::default()
        }
    }

    /// Remembers that a framework has refused resources of an offer.
    pub(super) fn refuse(
        &mut self,
        offer: &Offer,
        resources: Resources,
        filters: Option<&Filters>,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(&offer.message.framework_id) else { return };
        let time = refuse_time(filters);
        if resources.is_empty() || time.is_zero() {
            return;
        }
        framework.filters.push(Filter {
            agent_id: offer.message.agent_id.clone(),
            role: offer.role.clone(),
            resources,
            until: now.instant + time,
        });
    }

    /// Removes an outstanding offer if it belongs to this framework.
    pub(super) fn take_offer(&mut self, framework_id: &FrameworkId, id: &OfferId) -> Option<Offer> {
        self.offers.get(id).filter(|offer| offer.message.framework_id == *framework_id)?;
        self.offers.remove(id)
    }

    /// Removes an offer, and sends RESCIND to the framework.
    pub(super) fn rescind(&mut self, id: &OfferId) {
        if let Some(offer) = self.offers.remove(id) {
            self.send(&offer.message.framework_id, Event::Rescind(id.clone()));
        }
    }

    /// Removes a framework's offers without sending RESCIND.
    pub(super) fn drop_offers(&mut self, framework_id: &FrameworkId) {
        self.offers.retain(|_, offer| offer.message.framework_id != *framework_id);
    }

    pub(super) fn expire_offers(&mut self, now: Now) {
        let is_due = |offer: &Offer| offer.expires.is_some_and(|at| at <= now.instant);
        let offers = self.offers.iter().filter(|(_, offer)| is_due(offer));
        let expired: Vec<OfferId> = offers.map(|(id, _)| id.clone()).collect();
        expired.iter().for_each(|id| self.rescind(id));
    }
}

/// Whether a framework has neither suppressed a role nor refused these resources of an agent.
fn wants(framework: &Framework, role: &str, agent: &Agent, free: &Resources) -> bool {
    let offered = allocated_to(Some(role), free);
    let refuses = |filter: &Filter| {
        filter.agent_id == agent.id && filter.role == *role && filter.resources.contains(&offered)
    };
    !framework.suppressed_roles.contains(role) && !framework.filters.iter().any(refuses)
}

fn refuse_time(filters: Option<&Filters>) -> Duration {
    let seconds = filters.and_then(|f| f.refuse_seconds).unwrap_or(DEFAULT_FILTER);
    let seconds = if seconds >= 0.0 { seconds.min(LONGEST_FILTER) } else { DEFAULT_FILTER };
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_filters_are_cut() {
        let seconds = |value| refuse_time(Some(&Filters { refuse_seconds: value })).as_secs_f64();
        assert_eq!(seconds(None), 5.0);
        assert_eq!(seconds(Some(f64::NAN)), 5.0);
        assert_eq!(seconds(Some(-1.0)), 5.0);
        assert_eq!(seconds(Some(f64::INFINITY)), LONGEST_FILTER);
        assert_eq!(seconds(Some(0.0)), 0.0);
    }
}
