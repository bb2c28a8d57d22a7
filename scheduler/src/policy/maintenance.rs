//! Agents whose machine is to be away: nothing new is launched there, and what runs is ended with its last reports
//! before that time.
//!
//! Mesos tells of it with the agent's offers and, where tasks run, by inverse offers. See "Maintenance Primitives" in
//! its documentation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::{Happening, Intent, Policy, View};
use crate::event::{Away, Call, InverseOffer};
use crate::fleet::{Agent, DueQueue, Task, Window};
use crate::user_notice::UserNotice;

/// An agent is emptied so long before its machine goes away: tasks have that time to end and to be reported.
const LEAD: Duration = Duration::from_secs(60);
/// Nothing is launched on an agent whose machine goes away within this time.
pub(super) const NO_LAUNCH: Duration = Duration::from_secs(300);
/// The same for the server: when it moves, workers stop.
pub(super) const NO_SERVER: Duration = Duration::from_secs(3600);
/// For the workers of a server that moves to end before it, so that it counts their last shares.
const WORKERS_END: Duration = Duration::from_secs(15);

fn window(away: Away, now: Instant) -> Window {
    let from = now + away.begins_in;
    Window { from, until: away.lasts.map(|lasts| from + lasts) }
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

/// The rule. When an agent's machine goes away, the fleet knows.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    inverse: LastInverseOffers,
    /// Agents whose tasks were told to end.
    drained: BTreeSet<String>,
    /// Agents that may have to be emptied, or whose machines may be back.
    due: DueQueue<String>,
    /// Servers that are to move, and until when their workers are waited for.
    moving: BTreeMap<String, Instant>,
}

impl Policy for Maintenance {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            // The master says again what still holds.
            Happening::Subscribed => {
                self.inverse = LastInverseOffers::default();
                self.drained.clear();
                self.due.clear();
                Vec::new()
            }
            Happening::Planned(agents) => {
                let set = |(agent, away): &(String, Option<Away>)| match away {
                    Some(away) => Some(self.set(agent, *away, now)),
                    None => {
                        view.fleet.agent(agent).and_then(Agent::window).map(|_| self.forget(agent.clone()))
                    }
                };
                agents.iter().filter_map(set).collect()
            }
            Happening::InverseOffers(offers) => self.asked(view, offers, now),
            // The plan has changed; if the agent is still to be emptied, another inverse offer says so.
            Happening::InverseRescinded { offer } => match self.inverse.by_offer.get(offer).cloned() {
                Some(agent) => vec![self.forget(agent)],
                None => Vec::new(),
            },
            Happening::Settled if view.session.connected => {
                let mut intents = self.drain(view, now);
                intents.extend(self.go_on_moving(view, now));
                intents
            }
            _ => Vec::new(),
        }
    }
}

impl Maintenance {
    fn set(&mut self, agent: &str, away: Away, now: Instant) -> Intent {
        let window = window(away, now);
        if window.from > now + LEAD {
            // A later plan: what is launched until then has to end again.
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

    fn asked(&mut self, view: &View<'_>, offers: &[InverseOffer], now: Instant) -> Vec<Intent> {
        let (mut accepted, mut declined, mut intents) = (Vec::new(), Vec::new(), Vec::new());
        let mut said = BTreeSet::new();
        for InverseOffer { id, agent, away } in offers {
            // It does not say which agent is meant.
            let Some(agent) = agent else {
                declined.push(id.clone());
                continue;
            };
            let known = view.fleet.agent(agent).is_some_and(|agent| agent.window().is_some());
            let tasks = view.fleet.on_agent(agent).count();
            if let Some(host) = view.fleet.on_agent(agent).next().map(Task::host)
                && !known
                && said.insert(agent)
            {
                let (host, begins_in) = (host.to_owned(), away.begins_in);
                intents.push(Intent::Notify(UserNotice::Maintenance { host, begins_in, tasks }));
            }
            intents.push(self.set(agent, *away, now));
            // It is asked again and again, for as long as the plan stands; what was accepted before is never rescinded.
            self.inverse.set(id, agent);
            accepted.push(id.clone());
        }
        if !accepted.is_empty() {
            intents.push(Intent::Call(Call::AcceptInverse { offers: accepted }));
        }
        if !declined.is_empty() {
            intents.push(Intent::Call(Call::DeclineInverse { offers: declined }));
        }
        intents
    }

    /// Empties agents whose time has come, and forgets machines that are back.
    fn drain(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        for agent in self.due.take_all(now) {
            let Some(window) = view.fleet.agent(&agent).and_then(|agent| agent.window()) else {
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
                intents.extend(self.empty(view, &agent, now));
            }
        }
        intents
    }

    /// Ends all tasks of an agent; a server among them after its workers.
    fn empty(&mut self, view: &View<'_>, agent: &str, now: Instant) -> Vec<Intent> {
        let (workers, servers): (Vec<_>, Vec<_>) =
            view.fleet.on_agent(agent).partition(|task| task.is_worker());
        let mut intents: Vec<Intent> =
            workers.iter().map(|worker| Intent::End { task: worker.id().to_owned() }).collect();
        for server in servers.into_iter().filter(|server| view.fleet.service(server.id()).is_some()) {
            intents.extend(self.move_server(view, server.id(), now));
        }
        intents
    }

    /// Ends a server where it is, so that another one comes up elsewhere: its workers first, that it counts all their
    /// shares.
    fn move_server(&mut self, view: &View<'_>, server: &str, now: Instant) -> Vec<Intent> {
        if self.moving.contains_key(server) || view.session.ending {
            return Vec::new();
        }
        let server = server.to_owned();
        if view.keeps_workers() {
            // They go on at the next one.
            let notice = UserNotice::ServerMoves { task: server.clone(), workers: 0 };
            return vec![Intent::Notify(notice), Intent::End { task: server }];
        }
        let workers: Vec<String> =
            view.fleet.workers_of(&server).map(|worker| worker.id().to_owned()).collect();
        let notice = UserNotice::ServerMoves { task: server.clone(), workers: workers.len() };
        self.moving.insert(server.clone(), now + WORKERS_END);
        let ends = workers.into_iter().map(|task| Intent::End { task });
        [Intent::Notify(notice), Intent::MoveServer { server }].into_iter().chain(ends).collect()
    }

    fn go_on_moving(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.moving.retain(|server, _| view.fleet.service(server).is_some());
        let moves = self.moving.iter().filter(|(server, deadline)| {
            let waits = view.fleet.get(server).is_some_and(|server| !server.is_to_end());
            waits && (now >= **deadline || view.fleet.count_workers_of(server) == 0)
        });
        moves.map(|(server, _)| Intent::End { task: server.clone() }).collect()
    }
}
