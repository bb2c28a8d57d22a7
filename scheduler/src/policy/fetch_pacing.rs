//! Limits how many agents fetch the executor from this scheduler at the same time, so that each agent has it long before the
//! executor's registration timeout, whatever the network's bandwidth. The other agents wait: their offers are declined until
//! about their turn.
//!
//! The limit follows from two measurements: how many copies the artifact server sends per second, and how long agents take to
//! start a task. The second measurement is needed because agents with the executor in their cache do not download it. The limit
//! grows as soon as one of the two measurements shows that more agents could fetch. It falls only while many agents fetch: while
//! few do, a low measurement does not mean that the network is slow.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::artifact::DownloadStats;

/// A fetch should take at most this long: a third of the time that Mesos' agents allow an executor from its launch until it
/// registers (`--executor_registration_timeout`, a minute by default).
const FETCH_WITHIN: Duration = Duration::from_secs(20);
/// After a launch on an agent, the agent counts as fetching for at most this long. The time is Mesos' default limit for the start
/// of an executor (`--executor_registration_timeout`).
const REGISTRATION: Duration = Duration::from_secs(60);
/// Maximum number of agents that fetch at the same time before the first measurement. At 100 Mbit/s the last of these agents
/// has the executor after 53 s.
const FIRST: f64 = 64.0;
/// At least this many agents may fetch at the same time, however slow the link is.
const LEAST: u64 = 2;
/// Until the first measurement, the turns of waiting agents are planned as if this many agents could fetch per second. The number
/// is high on purpose, because a turn that comes too early does less harm than one that comes too late.
const ASSUMED: f64 = 64.0;
/// Turns to fetch the executor are given at the estimated rate of fetches, multiplied by this number. So there are enough offers
/// even if agents fetch faster than estimated.
const EARLY: f64 = 2.0;
/// The offers of an agent that waits to fetch the executor are declined for at most this long. Its turn may come earlier than
/// planned, because fetches have become faster or other agents have gone.
const LONGEST: Duration = Duration::from_secs(120);
/// A waiting agent is forgotten if its resources are not offered within this time after its turn to fetch has come.
const ABSENT: Duration = Duration::from_secs(300);
/// The shortest and the longest pause between two REVIVE calls for the offers of agents that wait to fetch the executor. Each
/// call doubles the pause. Such calls are sent only while few agents fetch the executor.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// Minimum time between two measurements of how many agents start a task per second.
const LOOK: Duration = Duration::from_secs(1);

/// A hash of an agent's id, to save memory. With 50,000 agents the probability of a collision is one in ten billion. A collision
/// would only make two agents count as one.
type Agent = u64;

/// Which agents have the executor, which fetch it, and which wait.
#[derive(Debug)]
pub(super) struct FetchPacing {
    /// Whether agents fetch the executor from this scheduler at all. If not, no agent waits.
    on: bool,
    hasher: RandomState,
    have: HashSet<Agent>,
    /// The agents that fetch the executor now, each with the time when its fetch began.
    fetching: HashMap<Agent, Instant>,
    begun: VecDeque<(Instant, Agent)>,
    /// The agents that wait, each with the time when its turn to fetch comes.
    waiting: HashMap<Agent, Instant>,
    turns: VecDeque<(Instant, Agent)>,
    /// How many agents can fetch the executor per second, as estimated from the measurements so far.
    rate: f64,
    measured: bool,
    starts: Starts,
    /// The earliest time for the next REVIVE on behalf of agents that wait for their turn to fetch; `None` while no agent waits.
    ask_at: Option<Instant>,
    /// The pause that ends at `ask_at`. Each REVIVE for waiting agents doubles the next pause.
    ask_pause: Duration,
}

/// The agents that have started a task since the last measurement.
#[derive(Debug, Default)]
struct Starts {
    since: Option<Instant>,
    agents: u32,
    /// The times from the launch of a task until its start, summed over the agents that `agents` counts.
    took: Duration,
}

impl FetchPacing {
    pub fn new(on: bool) -> Self {
        Self {
            on,
            hasher: RandomState::new(),
            have: HashSet::new(),
            fetching: HashMap::new(),
            begun: VecDeque::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            rate: FIRST / FETCH_WITHIN.as_secs_f64(),
            measured: false,
            starts: Starts::default(),
            ask_at: None,
            ask_pause: ASK_AGAIN.0,
        }
    }

    /// Whether a launch on this agent begins a fetch. A fetch in progress serves further launches on the same agent, too.
    pub fn must_fetch(&self, agent: &str) -> bool {
        if !self.on {
            return false;
        }
        let agent = self.hasher.hash_one(agent);
        !self.have.contains(&agent) && !self.fetching.contains_key(&agent)
    }

    /// The number of further agents that may begin to fetch.
    pub fn room(&self) -> u64 {
        if self.on { self.most().saturating_sub(self.outstanding()) } else { u64::MAX }
    }

    fn outstanding(&self) -> u64 {
        self.fetching.len() as u64
    }

    fn most(&self) -> u64 {
        ((self.rate * FETCH_WITHIN.as_secs_f64()) as u64).max(LEAST)
    }

    /// A task is launched on an agent.
    pub fn launched(&mut self, agent: &str, now: Instant) {
        if self.must_fetch(agent) {
            let agent = self.hasher.hash_one(agent);
            self.fetching.insert(agent, now);
            self.begun.push_back((now, agent));
            self.waiting.remove(&agent);
        }
    }

    /// A task has started on an agent. A task of an earlier run of the scheduler does not count, since its executor was fetched
    /// from another address.
    pub fn started(&mut self, agent: &str, now: Instant) {
        let agent = self.hasher.hash_one(agent);
        if let Some(begun) = self.fetching.remove(&agent) {
            self.have.insert(agent);
            self.starts.agents += 1;
            self.starts.took += now.duration_since(begun);
        }
    }

    /// A task has ended before it ran, or was not launched after all. If its agent was fetching, the fetch counts as failed.
    pub fn ended(&mut self, agent: &str) {
        self.fetching.remove(&self.hasher.hash_one(agent));
    }

    /// An agent was removed.
    pub fn gone(&mut self, agent: &str) {
        self.ended(agent);
        let agent = self.hasher.hash_one(agent);
        self.have.remove(&agent);
        self.waiting.remove(&agent);
    }

    /// Makes an agent wait for its turn to fetch. Returns how long its offers are to be declined. The time is in whole seconds,
    /// so that the offers of many agents have the same time and are declined in one call. `spread` is a random number from 0 to
    /// 1.
    pub fn wait(&mut self, agent: &str, spread: f64, now: Instant) -> Duration {
        let agent = self.hasher.hash_one(agent);
        let turn = match self.waiting.get(&agent) {
            Some(turn) if *turn > now => *turn,
            _ => self.queue(agent, now),
        };
        let wait = turn.saturating_duration_since(now);
        let wait = if wait > LONGEST { LONGEST.mul_f64(0.5 + spread / 2.0) } else { wait };
        Duration::from_secs(wait.as_secs() + 1)
    }

    /// Queues an agent behind all others. Returns the time of the agent's turn.
    fn queue(&mut self, agent: Agent, now: Instant) -> Instant {
        let last = self.turns.back().map_or(now, |(turn, _)| (*turn).max(now));
        let rate = if self.measured { self.rate } else { ASSUMED };
        let turn = last + Duration::from_secs_f64(1.0 / (EARLY * rate));
        self.waiting.insert(agent, turn);
        self.turns.push_back((turn, agent));
        turn
    }

    /// Adjusts the estimated rate to a measurement by the artifact server.
    pub fn measure(&mut self, fetching: &DownloadStats) {
        let sample = fetching.per_second;
        // While few agents fetch, a low sample does not mean a slow link, so it does not lower the rate.
        let limits = self.outstanding() * 2 >= self.most();
        if !self.grow(sample) && limits {
            self.rate = (self.rate + (sample - self.rate) / 4.0).max(0.01);
            self.measured = true;
        }
    }

    /// Handles a tick. Returns whether to ask for declined offers again, because more of the waiting agents could fetch the
    /// executor now.
    pub fn tick(&mut self, now: Instant) -> bool {
        while let Some((begun, agent)) =
            self.begun.front().copied().filter(|(at, _)| *at + REGISTRATION <= now)
        {
            self.begun.pop_front();
            if self.fetching.get(&agent) == Some(&begun) {
                self.fetching.remove(&agent);
            }
        }
        while let Some((turn, agent)) = self.turns.front().copied().filter(|(at, _)| *at + ABSENT <= now) {
            self.turns.pop_front();
            if self.waiting.get(&agent) == Some(&turn) {
                self.waiting.remove(&agent);
            }
        }
        self.measure_starts(now);
        self.asks(now)
    }

    /// Measures how many agents start a task per second.
    fn measure_starts(&mut self, now: Instant) {
        let Starts { since, agents, took } = self.starts;
        let time = since.map_or(Duration::ZERO, |since| now.duration_since(since));
        if since.is_some() && time < LOOK {
            return;
        }
        self.starts = Starts { since: Some(now), ..Starts::default() };
        if agents == 0 {
            return;
        }
        let sample = f64::from(agents) / (took / agents).max(time).max(LOOK).as_secs_f64();
        self.grow(sample);
    }

    /// Raises the rate if a measurement is higher. Returns whether the measurement is higher.
    fn grow(&mut self, sample: f64) -> bool {
        if sample <= self.rate {
            return false;
        }
        self.rate += (sample - self.rate) / 2.0;
        self.measured = true;
        true
    }

    fn asks(&mut self, now: Instant) -> bool {
        if self.waiting.is_empty() {
            (self.ask_at, self.ask_pause) = (None, ASK_AGAIN.0);
            return false;
        }
        let at = *self.ask_at.get_or_insert(now + self.ask_pause);
        if now < at || self.outstanding() * 4 >= self.most() {
            return false;
        }
        self.ask_pause = (self.ask_pause * 2).min(ASK_AGAIN.1);
        self.ask_at = Some(now + self.ask_pause);
        true
    }

    /// What to tell the user while agents wait to fetch the executor; otherwise `None`.
    pub fn waiting_text(&self) -> Option<String> {
        let waiting = self.waiting.len();
        if waiting == 0 {
            return None;
        }
        let rate = if self.measured { format!(" at {:.1} a second", self.rate) } else { String::new() };
        Some(format!(
            "agents fetch the executor from this scheduler{rate}: {waiting} wait for their turn; to avoid this, \
             install it on them (--executor-path), or let them fetch it from a mirror (--executor-uri)"
        ))
    }
}

#[cfg(test)]
mod tests;
