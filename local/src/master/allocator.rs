//! Who is offered what: free resources of each agent go to the framework and role that holds least.

use super::framework::has_capability;
use super::{Effect, Master, event, roles};
use crate::link::Now;
use crate::resources::Bundle;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{self, resource::AllocationInfo};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest time that a filter holds, as in Mesos.
const LONGEST_FILTER: f64 = 365.0 * 86_400.0;
/// `Filters.refuse_seconds` unless set.
const DEFAULT_FILTER: f64 = 5.0;
/// Less than this is not worth an offer.
const MIN_CPUS: f64 = 0.01;
/// Megabytes; less than this is not worth an offer.
const MIN_MEM: f64 = 32.0;

/// An offer that has not been answered.
#[derive(Debug)]
pub(super) struct Offer {
    pub framework_id: String,
    pub agent_id: String,
    pub role: String,
    pub resources: Bundle,
    /// When it is rescinded.
    pub expires: Option<Instant>,
    /// As the framework saw it.
    pub message: v1::Offer,
}

impl Master {
    /// Offers everything that is free and wanted.
    pub(super) fn allocate(&mut self, now: Now) {
        self.next_allocation = now.instant + self.config.allocation_interval;
        for framework in self.frameworks.values_mut() {
            framework.filters.retain(|filter| filter.until > now.instant);
        }
        let agents: Vec<String> =
            self.agents.iter().filter(|(_, agent)| agent.is_active()).map(|(id, _)| id.clone()).collect();
        let mut made: BTreeMap<String, Vec<v1::Offer>> = BTreeMap::new();
        for agent_id in agents {
            let free = self.free(&agent_id);
            if free.scalar("cpus") < MIN_CPUS && free.scalar("mem") < MIN_MEM {
                continue;
            }
            let Some((framework_id, role)) = self.neediest(&agent_id, &free) else { continue };
            let bears = |f: &super::Framework| has_capability(&f.info, Capability::RevocableResources);
            let bears_revocation = self.frameworks.get(&framework_id).is_some_and(bears);
            let free = if bears_revocation { free } else { free.without_revocable() };
            if free.is_empty() {
                continue;
            }
            if let Some(offer) = self.make_offer(&framework_id, &agent_id, &role, &free, now) {
                made.entry(framework_id).or_default().push(offer);
            }
        }
        for (framework_id, offers) in made {
            self.send(&framework_id, event::offers(offers));
        }
    }

    /// What an agent has that nobody uses and nobody was offered.
    fn free(&self, agent_id: &str) -> Bundle {
        let Some(agent) = self.agents.get(agent_id) else { return Bundle::default() };
        let mut free = agent.total.clone();
        free.subtract(&self.allocated(agent_id).unallocated());
        for offer in self.offers.values().filter(|offer| offer.agent_id == agent_id) {
            free.subtract(&offer.resources.unallocated());
        }
        free
    }

    /// The framework and role that hold least CPU among those that want the resources.
    fn neediest(&self, agent_id: &str, free: &Bundle) -> Option<(String, String)> {
        let wants = self.frameworks.values().filter(|f| f.stream.is_some()).flat_map(|framework| {
            let share = framework.allocated(None).scalar("cpus") + self.offered_cpus(&framework.id);
            roles(&framework.info)
                .into_iter()
                .filter(|role| !framework.suppressed.contains(role))
                .filter(|role| {
                    let offered = free.allocated_to(role);
                    !framework.filters.iter().any(|filter| {
                        filter.agent_id == agent_id
                            && &filter.role == role
                            && filter.resources.contains(&offered)
                    })
                })
                .map(move |role| (share, framework.id.clone(), role))
        });
        wants.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, framework_id, role)| (framework_id, role))
    }

    fn offered_cpus(&self, framework_id: &str) -> f64 {
        let offers = self.offers.values().filter(|offer| offer.framework_id == framework_id);
        offers.map(|offer| offer.resources.scalar("cpus")).sum()
    }

    fn make_offer(
        &mut self,
        framework_id: &str,
        agent_id: &str,
        role: &str,
        free: &Bundle,
        now: Now,
    ) -> Option<v1::Offer> {
        let agent = self.agents.get(agent_id)?;
        let framework = self.frameworks.get(framework_id)?;
        let id = format!("{}-O{}", self.id, self.numbers.offers);
        let resources = free.allocated_to(role);
        let running = framework.executors.keys().filter(|(agent, _)| agent == agent_id);
        let message = v1::Offer {
            id: v1::OfferId { value: id.clone() },
            framework_id: v1::FrameworkId { value: framework_id.to_owned() },
            agent_id: v1::AgentId { value: agent_id.to_owned() },
            hostname: agent.info.hostname.clone(),
            url: Some(v1::Url {
                scheme: "http".into(),
                address: v1::Address {
                    hostname: Some(agent.info.hostname.clone()),
                    ip: Some(agent.info.hostname.clone()),
                    port: agent.info.port.unwrap_or_default(),
                },
                path: Some("/slave(1)".into()),
                ..Default::default()
            }),
            resources: resources.to_resources(),
            attributes: agent.info.attributes.clone(),
            executor_ids: running.map(|(_, id)| v1::ExecutorId { value: id.clone() }).collect(),
            allocation_info: Some(AllocationInfo { role: Some(role.to_owned()) }),
            ..Default::default()
        };
        self.numbers.offers += 1;
        let offer = Offer {
            framework_id: framework_id.to_owned(),
            agent_id: agent_id.to_owned(),
            role: role.to_owned(),
            resources,
            expires: self.config.offer_timeout.map(|timeout| now.instant + timeout),
            message: message.clone(),
        };
        self.offers.insert(id, offer);
        Some(message)
    }

    /// Remembers that a framework does not want these resources for a while.
    pub(super) fn refuse(
        &mut self,
        offer: &Offer,
        resources: Bundle,
        filters: Option<&v1::Filters>,
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(&offer.framework_id) else { return };
        let seconds = refuse_seconds(filters);
        if resources.is_empty() || seconds.is_zero() {
            return;
        }
        framework.filters.push(super::framework::Filter {
            agent_id: offer.agent_id.clone(),
            role: offer.role.clone(),
            resources,
            until: now.instant + seconds,
        });
    }

    /// Takes an offer back and says so.
    pub(super) fn rescind(&mut self, offer_id: &str) {
        if let Some(offer) = self.offers.remove(offer_id) {
            self.send(&offer.framework_id, event::rescind(offer_id));
        }
    }

    /// Forgets the offers of a framework without a word.
    pub(super) fn drop_offers(&mut self, framework_id: &str) {
        self.offers.retain(|_, offer| offer.framework_id != framework_id);
    }

    pub(super) fn expire_offers(&mut self, now: Now) {
        let due = |offer: &Offer| offer.expires.is_some_and(|at| at <= now.instant);
        let expired: Vec<String> =
            self.offers.iter().filter(|(_, offer)| due(offer)).map(|(id, _)| id.clone()).collect();
        expired.iter().for_each(|id| self.rescind(id));
    }

    pub(super) fn heartbeats(&mut self, now: Now) {
        for framework in self.frameworks.values_mut() {
            let Some(stream) = framework.stream.filter(|_| framework.next_heartbeat <= now.instant) else {
                continue;
            };
            framework.next_heartbeat = now.instant + super::HEARTBEAT;
            self.effects.push(Effect::Event(stream, Box::new(event::heartbeat())));
        }
    }
}

fn refuse_seconds(filters: Option<&v1::Filters>) -> Duration {
    let seconds = filters.and_then(|f| f.refuse_seconds).unwrap_or(DEFAULT_FILTER);
    let seconds = if seconds >= 0.0 { seconds.min(LONGEST_FILTER) } else { DEFAULT_FILTER };
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_filters_are_cut() {
        let seconds = |value| refuse_seconds(Some(&v1::Filters { refuse_seconds: value })).as_secs_f64();
        assert_eq!(seconds(None), 5.0);
        assert_eq!(seconds(Some(f64::NAN)), 5.0);
        assert_eq!(seconds(Some(-1.0)), 5.0);
        assert_eq!(seconds(Some(f64::INFINITY)), LONGEST_FILTER);
        assert_eq!(seconds(Some(0.0)), 0.0);
    }
}
