//! Agents whose machine is to be away: nothing new is launched there, and what runs is ended with its last reports
//! before that time.
//!
//! Mesos tells of it with the agent's offers and, where tasks run, by inverse offers. See "Maintenance Primitives" in
//! its documentation.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ending::Ending;
use super::task::Task;
use super::{Call, State, UserNotice};
use crate::kind::Kind;

/// An agent is emptied so long before its machine goes away: tasks have that time to end and to be reported.
const LEAD: Duration = Duration::from_secs(60);
/// Nothing is launched on an agent whose machine goes away within this time.
const NO_LAUNCH: Duration = Duration::from_secs(300);
/// The same for the server: when it moves, workers stop.
const NO_SERVER: Duration = Duration::from_secs(3600);
/// For the workers of a server that moves to end before it, so that it counts their last shares.
const WORKERS_END: Duration = Duration::from_secs(15);

/// When a machine is away, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Until it begins; zero if it has.
    pub begins_in: Duration,
    /// How long it lasts from then on; `None`: for good.
    pub lasts: Option<Duration>,
}

/// Asks for what an agent has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// Its id.
    pub id: String,
    /// The agent; `None`: any.
    pub agent: Option<String>,
    /// When.
    pub away: Away,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    until: Option<Instant>,
    /// Whether its tasks were told to end.
    drained: bool,
}

/// What is known of machines that go away.
#[derive(Debug, Default)]
pub(super) struct Maintenance {
    /// By agent.
    windows: BTreeMap<String, Window>,
    /// The last inverse offer of an agent, and which it is.
    inverse: BTreeMap<String, String>,
    /// The server that is to move, and until when its workers are waited for.
    moving: Option<(String, Instant)>,
}

impl Maintenance {
    /// What the master said is void; it says it again.
    pub fn forget(&mut self) {
        self.windows.clear();
        self.inverse.clear();
    }

    fn set(&mut self, agent: &str, away: Away, now: Instant) {
        let from = now + away.begins_in;
        let until = away.lasts.map(|lasts| from + lasts);
        let drained = self.windows.get(agent).is_some_and(|known| known.drained && known.from <= now + LEAD);
        self.windows.insert(agent.to_owned(), Window { from, until, drained });
    }

    /// Agents that are to be left alone, and how long their machines are still there.
    pub fn leaving(&self, server: bool, now: Instant) -> BTreeMap<String, Duration> {
        let notice = if server { NO_SERVER } else { NO_LAUNCH };
        let soon = self.windows.iter().filter(|(_, window)| window.from <= now + notice);
        soon.map(|(agent, window)| (agent.clone(), window.from.saturating_duration_since(now))).collect()
    }

    /// Whether a server is about to move.
    pub fn is_moving(&self) -> bool {
        self.moving.is_some()
    }
}

impl State {
    /// What the offers of these agents say of their machines.
    pub(super) fn maintenance_planned(&mut self, agents: Vec<(String, Option<Away>)>, now: Instant) {
        for (agent, away) in agents {
            match away {
                Some(away) => self.maintenance.set(&agent, away, now),
                None => drop(self.maintenance.windows.remove(&agent)),
            }
        }
    }

    pub(super) fn inverse_offers(&mut self, offers: Vec<InverseOffer>, now: Instant) {
        let (mut accepted, mut declined) = (Vec::new(), Vec::new());
        for offer in offers {
            // Which of all agents is meant, nobody can tell.
            let Some(agent) = offer.agent else {
                declined.push(offer.id);
                continue;
            };
            if !self.maintenance.windows.contains_key(&agent) {
                let tasks = self.tasks.values().filter(|task| task.record.agent == agent && !task.is_over());
                let hosts: Vec<String> = tasks.map(|task| task.record.host.clone()).collect();
                if let Some(host) = hosts.first().cloned() {
                    let begins_in = offer.away.begins_in;
                    self.publish(UserNotice::Maintenance { host, begins_in, tasks: hosts.len() });
                }
            }
            self.maintenance.set(&agent, offer.away, now);
            // It is asked again and again, for as long as the plan stands; what was accepted before is never rescinded.
            self.maintenance.inverse.retain(|_, other| *other != agent);
            self.maintenance.inverse.insert(offer.id.clone(), agent);
            accepted.push(offer.id);
        }
        if !accepted.is_empty() {
            self.call(Call::AcceptInverse { offers: accepted });
        }
        if !declined.is_empty() {
            self.call(Call::DeclineInverse { offers: declined });
        }
        self.drain(now);
    }

    /// The plan has changed; if the agent is still to be emptied, another inverse offer says so.
    pub(super) fn inverse_offer_rescinded(&mut self, offer: &str) {
        let maintenance = &mut self.maintenance;
        if let Some(agent) = maintenance.inverse.remove(offer) {
            maintenance.windows.remove(&agent);
        }
    }

    /// Empties agents whose time has come.
    pub(super) fn drain(&mut self, now: Instant) {
        let maintenance = &mut self.maintenance;
        maintenance.windows.retain(|_, window| window.until.is_none_or(|until| until > now));
        let windows = &maintenance.windows;
        maintenance.inverse.retain(|_, agent| windows.contains_key(agent));
        let mut due = Vec::new();
        for (agent, window) in &mut maintenance.windows {
            if window.from <= now + LEAD && !window.drained {
                window.drained = true;
                due.push(agent.clone());
            }
        }
        for agent in due {
            self.empty(&agent, now);
        }
        self.go_on_moving(now);
    }

    /// Ends all tasks of an agent; a server among them after its workers.
    fn empty(&mut self, agent: &str, now: Instant) {
        let here = |task: &&Task| task.record.agent == agent && !task.is_over();
        let tasks = self.tasks.values().filter(here);
        let workers: Vec<String> = tasks
            .filter(|task| task.record.kind == Kind::Worker)
            .map(|task| task.record.id.clone())
            .collect();
        let server = self.server.clone().filter(|id| self.tasks.get(id).as_ref().is_some_and(here));
        for id in workers {
            self.want_kill(&id, now);
        }
        if let Some(server) = server {
            self.move_server(server, now);
        }
    }

    /// Ends the server where it is, so that another one comes up elsewhere: workers first, that it counts all their
    /// shares.
    fn move_server(&mut self, server: String, now: Instant) {
        if self.maintenance.moving.is_some() || self.ending != Ending::No {
            return;
        }
        if self.repoints() {
            // They go on at the next one.
            self.publish(UserNotice::ServerMoves { task: server.clone(), workers: 0 });
            return self.want_kill(&server, now);
        }
        let of_it = |task: &&Task| task.record.server.as_ref() == Some(&server) && !task.is_over();
        let workers: Vec<String> =
            self.tasks.values().filter(of_it).map(|task| task.record.id.clone()).collect();
        self.publish(UserNotice::ServerMoves { task: server.clone(), workers: workers.len() });
        for id in workers {
            self.want_kill(&id, now);
        }
        self.maintenance.moving = Some((server, now + WORKERS_END));
    }

    pub(super) fn go_on_moving(&mut self, now: Instant) {
        let Some((server, deadline)) = self.maintenance.moving.clone() else { return };
        if self.server.as_ref() != Some(&server) {
            self.maintenance.moving = None;
            return;
        }
        let of_it = |task: &Task| task.record.server.as_ref() == Some(&server) && !task.is_over();
        if now >= deadline || !self.tasks.values().any(of_it) {
            self.want_kill(&server, now);
        }
    }
}
