//! Handles agents whose machine becomes unavailable: no more tasks are launched on them, and their tasks are ended in time to
//! send their last reports.
//!
//! Mesos announces maintenance in the agent's offers and, if the agent runs tasks, by inverse offers. See "Maintenance
//! Primitives" in its documentation.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::server_drain::ServerDrain;
use super::{Intent, Policy, PolicyEvent, View};
use crate::event::{Call, InverseOffer, Unavailability};
use crate::fleet::{DeadlineQueue, MaintenanceWindow, Task};
use crate::offers::Demand;
use crate::user_notice::UserNotice;

/// The tasks on an agent are ended this long before its machine becomes unavailable, so that they have this time to end and to
/// report.
const LEAD: Duration = Duration::from_secs(60);
/// No worker is launched on an agent whose machine becomes unavailable within this time.
const NO_LAUNCH: Duration = Duration::from_secs(300);
/// No server is launched on an agent whose machine becomes unavailable within this time. The time is longer than for workers,
/// since all workers depend on the server.
pub(super) const NO_SERVER: Duration = Duration::from_secs(3600);

/// No task of this kind is launched on an agent whose machine becomes unavailable within this time.
pub(crate) fn notice(demand: Demand) -> Duration {
    if matches!(demand, Demand::Server { .. }) { NO_SERVER } else { NO_LAUNCH }
}

/// The maintenance window of an agent's machine.
pub(crate) fn window(unavailability: Unavailability, now: Instant) -> MaintenanceWindow {
    let from = now + unavailability.begins_in;
    MaintenanceWindow { from, until: unavailability.lasts.map(|lasts| from + lasts) }
}

/// The maintenance window of an agent, if one is known.
fn known_window(view: &View<'_>, agent: &str) -> Option<MaintenanceWindow> {
    view.fleet.agents.get(agent)?.window
}

/// The last inverse offer of each agent.
#[derive(Debug, Default)]
struct LastInverseOffers {
    by_offer: HashMap<String, String>,
    by_agent: HashMap<String, String>,
}

impl LastInverseOffers {
    fn set(&mut self, offer: &str, agent: &str) {
        if let Some(before) = self.by_agent.insert(agent.to_owned(), offer.to_owned()) {
            self.by_offer.remove(&before);
        }
        self.by_offer.insert(offer.to_owned(), agent.to_owned());
    }

    fn forget(&mut self, agent: &str) {
        if let Some(offer) = self.by_agent.remove(agent) {
            self.by_offer.remove(&offer);
        }
    }
}

/// The policy. The fleet stores the maintenance windows of the agents.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    inverse: LastInverseOffers,
    /// The ids of the agents whose tasks are to end, since their machines become unavailable soon.
    drained: BTreeSet<String>,
    /// When to check agents that may have to be drained, or whose maintenance may be over.
    due: DeadlineQueue<String>,
    drain: ServerDrain,
}

impl Policy for Maintenance {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            // The master repeats all maintenance plans after a subscription, so the plans from the previous subscription are
            // forgotten.
            PolicyEvent::Subscribed => {
                self.inverse = LastInverseOffers::default();
                self.drained.clear();
                self.due.clear();
                Vec::new()
            }
            PolicyEvent::Unavailabilities(agents) => {
                let set = |(agent, unavailability): &(String, Option<Unavailability>)| match unavailability {
                    Some(unavailability) => Some(self.set(agent, *unavailability, now)),
                    None => known_window(view, agent).map(|_| self.forget(agent.clone())),
                };
                agents.iter().filter_map(set).collect()
            }
            PolicyEvent::InverseOffers(offers) => self.answer(view, offers, now),
            // An inverse offer is rescinded when the maintenance schedule has changed. If the new schedule includes the agent,
            // another inverse offer follows.
            PolicyEvent::InverseRescinded(offer) => match self.inverse.by_offer.get(offer).cloned() {
                Some(agent) => vec![self.forget(agent)],
                None => Vec::new(),
            },
            PolicyEvent::Settled if view.run.connected => {
                let mut intents = self.drain(view, now);
                intents.extend(self.drain.end_drained(view, now));
                intents
            }
            _ => Vec::new(),
        }
    }
}

impl Maintenance {
    fn set(&mut self, agent: &str, unavailability: Unavailability, now: Instant) -> Intent {
        let window = window(unavailability, now);
        if window.from > now + LEAD {
            // The maintenance may have been postponed. Then the agent is drained again later, since more tasks may be launched
            // until then.
            self.drained.remove(agent);
        }
        let lead = window.from.checked_sub(LEAD).unwrap_or(now);
        self.due.add(lead.max(now), agent.to_owned());
        Intent::SetWindow { agent: agent.to_owned(), window: Some(window) }
    }

    fn forget(&mut self, agent: String) -> Intent {
        self.drained.remove(&agent);
        self.inverse.forget(&agent);
        Intent::SetWindow { agent, window: None }
    }

    fn answer(&mut self, view: &View<'_>, offers: &[InverseOffer], now: Instant) -> Vec<Intent> {
        let (mut accepted, mut declined, mut intents) = (Vec::new(), Vec::new(), Vec::new());
        let mut notified = BTreeSet::new();
        for InverseOffer { id, agent, unavailability } in offers {
            // An inverse offer for no particular agent cannot be met.
            let Some(agent) = agent else {
                declined.push(id.clone());
                continue;
            };
            let known = known_window(view, agent).is_some();
            let tasks = view.fleet.on_agent(agent).count();
            if let Some(host) = view.fleet.on_agent(agent).next().map(Task::host)
                && !known
                && notified.insert(agent)
            {
                let (host, begins_in) = (host.to_owned(), unavailability.begins_in);
                intents.push(Intent::Notify(UserNotice::Maintenance { host, begins_in, tasks }));
            }
            intents.push(self.set(agent, *unavailability, now));
            // Until the maintenance ends, the master repeats its inverse offer for this agent. It can rescind only the latest
            // one, so only the latest one is remembered.
            self.inverse.set(id, agent);
            accepted.push(id.clone());
        }
        if !accepted.is_empty() {
            intents.push(Intent::Call(Call::AcceptInverse(accepted)));
        }
        if !declined.is_empty() {
            intents.push(Intent::Call(Call::DeclineInverse(declined)));
        }
        intents
    }

    /// Drains agents whose time has come, and forgets maintenance that is over.
    fn drain(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        for agent in self.due.take_all(now) {
            let Some(window) = known_window(view, &agent) else {
                self.drained.remove(&agent);
                continue;
            };
            if window.until.is_some_and(|until| until <= now) {
                intents.push(self.forget(agent));
                continue;
            }
            if window.from > now + LEAD {
                self.due.add(window.from - LEAD, agent);
                continue;
            }
            if let Some(until) = window.until {
                self.due.add(until, agent.clone());
            }
            if self.drained.insert(agent.clone()) {
                intents.extend(self.drain_agent(view, &agent, now));
            }
        }
        intents
    }

    /// Ends all tasks on an agent. A server ends after its workers.
    fn drain_agent(&mut self, view: &View<'_>, agent: &str, now: Instant) -> Vec<Intent> {
        let (workers, servers): (Vec<_>, Vec<_>) =
            view.fleet.on_agent(agent).partition(|task| task.is_worker());
        let mut intents: Vec<Intent> = workers.into_iter().map(Intent::end).collect();
        for server in servers.into_iter().filter(|server| view.fleet.servers.contains_key(server.id())) {
            intents.extend(self.drain.begin(
                view,
                server.id(),
                "makes way for maintenance",
                view.keeps_workers(),
                now,
            ));
        }
        intents
    }
}
