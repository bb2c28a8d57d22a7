//! How many agents may fetch the executor from this scheduler at once: so many that each has it long before its
//! registration timeout, whatever the network carries. The others wait, and are offered again about when it is their turn.
//!
//! The number follows from what is measured: what leaves the artifact server in a second, and how long agents take that
//! need nothing of it, since they have the file of an earlier task in their cache. It grows as fast as either shows that
//! there is more to be had; it sinks only when so many fetch that it, and not what is wanted, limits what is measured.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::artifact::Fetching;

/// A third of what Mesos' agents allow an executor from its launch until it registers
/// (`--executor_registration_timeout`), a minute by default.
const FETCH_WITHIN: Duration = Duration::from_secs(20);
/// After this time its agent has given up, or its executor registers any moment: it no longer keeps others from fetching.
const REGISTRATION: Duration = Duration::from_secs(60);
/// So many begin before anything is measured: at 100 Mbit/s the last of them has it after 53 s.
const FIRST: f64 = 64.0;
/// So many may always fetch: over a link that is slower still, they are late one by one.
const LEAST: u64 = 2;
/// What is assumed of those who wait before anything is measured, in agents a second: they come too early rather than too
/// late.
const ASSUMED: f64 = 64.0;
/// So much earlier than by what is measured their turn comes, in proportion: else nobody would be there when it grows.
const EARLY: f64 = 2.0;
/// Nobody is refused for longer: by then it may have become faster, or an agent before it may be gone.
const LONGEST: Duration = Duration::from_secs(120);
/// An agent that was not offered again so long after its turn does not wait any more.
const ABSENT: Duration = Duration::from_secs(300);
/// First and longest time between two times that all who wait are asked for, since fewer fetch than could.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// Between two looks at how many have come.
const LOOK: Duration = Duration::from_secs(1);

/// An agent, by a hash of its id: of 50,000 agents two are taken for one with a probability of one to ten billion, and
/// what would come of it is one that does not wait.
type Agent = u64;

/// Who has the executor, who fetches it, and who waits.
#[derive(Debug)]
pub(super) struct FetchPacing {
    /// Agents do not fetch from this scheduler otherwise.
    on: bool,
    hasher: RandomState,
    have: HashSet<Agent>,
    /// Since when.
    fetching: HashMap<Agent, Instant>,
    begun: VecDeque<(Instant, Agent)>,
    /// Whose turn comes when.
    waiting: HashMap<Agent, Instant>,
    turns: VecDeque<(Instant, Agent)>,
    /// Agents a second.
    rate: f64,
    measured: bool,
    /// How many came since then, and how long all of them took.
    came: (Option<Instant>, u32, Duration),
    /// When all who wait may be asked for again if there are any, and the time from then to the next.
    ask: (Option<Instant>, Duration),
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
            came: (None, 0, Duration::ZERO),
            ask: (None, ASK_AGAIN.0),
        }
    }

    /// Whether a launch there has to wait for a fetch to have room. One that fetches brings it for all of its tasks.
    pub fn must_fetch(&self, agent: &str) -> bool {
        if !self.on {
            return false;
        }
        let agent = self.hasher.hash_one(agent);
        !self.have.contains(&agent) && !self.fetching.contains_key(&agent)
    }

    /// How many more may fetch.
    pub fn room(&self) -> u64 {
        if self.on { self.most().saturating_sub(self.outstanding()) } else { u64::MAX }
    }

    fn outstanding(&self) -> u64 {
        self.fetching.len() as u64
    }

    fn most(&self) -> u64 {
        ((self.rate * FETCH_WITHIN.as_secs_f64()) as u64).max(LEAST)
    }

    /// Something is launched on an agent.
    pub fn launched(&mut self, agent: &str, now: Instant) {
        if self.must_fetch(agent) {
            let agent = self.hasher.hash_one(agent);
            self.fetching.insert(agent, now);
            self.begun.push_back((now, agent));
            self.waiting.remove(&agent);
        }
    }

    /// A task of ours has started on an agent. What an earlier run of the scheduler has launched says nothing: it was
    /// fetched from another address.
    pub fn started(&mut self, agent: &str, now: Instant) {
        let agent = self.hasher.hash_one(agent);
        if let Some(begun) = self.fetching.remove(&agent) {
            self.have.insert(agent);
            self.came.1 += 1;
            self.came.2 += now.duration_since(begun);
        }
    }

    /// A task has ended before it ran, or was not launched after all: if the agent was fetching, it does not have the
    /// executor.
    pub fn ended(&mut self, agent: &str) {
        self.fetching.remove(&self.hasher.hash_one(agent));
    }

    /// An agent is gone.
    pub fn gone(&mut self, agent: &str) {
        self.ended(agent);
        let agent = self.hasher.hash_one(agent);
        self.have.remove(&agent);
        self.waiting.remove(&agent);
    }

    /// An agent has to wait; for how long it should not be offered. `spread` is a random number from 0 to 1. Whole seconds,
    /// as masters do not offer more often, and one call declines all that wait for as long.
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

    /// The turn behind all others.
    fn queue(&mut self, agent: Agent, now: Instant) -> Instant {
        let last = self.turns.back().map_or(now, |(turn, _)| (*turn).max(now));
        let rate = if self.measured { self.rate } else { ASSUMED };
        let turn = last + Duration::from_secs_f64(1.0 / (EARLY * rate));
        self.waiting.insert(agent, turn);
        self.turns.push_back((turn, agent));
        turn
    }

    /// What the artifact server has sent in the last second.
    pub fn measure(&mut self, fetching: &Fetching) {
        let sample = fetching.per_second;
        // Where few fetch, little is sent however much could be.
        let limits = self.outstanding() * 2 >= self.most();
        if sample > self.rate {
            self.rate += (sample - self.rate) / 2.0;
            self.measured = true;
        } else if limits {
            self.rate = (self.rate + (sample - self.rate) / 4.0).max(0.01);
            self.measured = true;
        }
    }

    /// Time has passed; whether all who wait are to be offered again, since many more could fetch than do.
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
        self.look(now);
        self.asks(now)
    }

    /// How fast agents came that may have had the executor: as if those who came together had begun one after the other.
    fn look(&mut self, now: Instant) {
        let (since, count, took) = self.came;
        let time = now.duration_since(*self.came.0.get_or_insert(now));
        if since.is_some() && time < LOOK {
            return;
        }
        self.came = (Some(now), 0, Duration::ZERO);
        if count == 0 {
            return;
        }
        let sample = f64::from(count) / (took / count).max(time).max(LOOK).as_secs_f64();
        if sample > self.rate {
            self.rate += (sample - self.rate) / 2.0;
            self.measured = true;
        }
    }

    fn asks(&mut self, now: Instant) -> bool {
        if self.waiting.is_empty() {
            self.ask = (None, ASK_AGAIN.0);
            return false;
        }
        let pause = self.ask.1;
        let at = *self.ask.0.get_or_insert(now + pause);
        if now < at || self.outstanding() * 4 >= self.most() {
            return false;
        }
        let next = (pause * 2).min(ASK_AGAIN.1);
        self.ask = (Some(now + next), next);
        true
    }

    /// What the user should know while agents wait.
    pub fn remark(&self) -> Option<String> {
        let waiting = self.waiting.len();
        if waiting == 0 {
            return None;
        }
        let rate = if self.measured { format!(" at {:.1} a second", self.rate) } else { String::new() };
        Some(format!(
            "agents fetch the executor from this scheduler{rate}: {waiting} wait for their turn; install it on them \
             (--executor-path), or have them fetch it from a mirror (--executor-uri)"
        ))
    }
}

#[cfg(test)]
mod tests;
