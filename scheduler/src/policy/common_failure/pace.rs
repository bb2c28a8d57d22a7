//! How many launches may be under way, by what became of those before. Pure.
//!
//! A kind of failure counts by the agents on which it happened in a row, with no success in between. When they are more
//! than chance explains, one launch at a time is tried, with a pause that grows. Each success doubles what is allowed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::fleet::{CommonFailure, LaunchLimit};
use crate::policy::jitter;

/// So many launches may be under way until the first one succeeds.
const FIRST_LAUNCHES: u64 = 4;
/// A failure on so many different agents in a row is theirs in common.
const AGENTS: usize = 3;
/// So many calls in a row whose offers were gone before they were used are no chance: one race makes several such failures.
const LOST_RACES: usize = 16;
/// One bad agent among so many good ones says nothing of the others.
const GOOD_FOR_EACH_BAD: usize = 4;
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(180));
/// From here on there is no limit.
const NO_LIMIT: u64 = 1024;
/// After so much time without a failure there is none either: there may be no more agents to try.
const CALM: Duration = Duration::from_secs(60);
/// So many kinds of failure are kept apart, and so many places of each.
const KINDS: usize = 16;
const PLACES_KEPT: usize = 16_384;

/// How a launch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Mesos' state.
    pub state: TaskState,
    /// Mesos' reason.
    pub reason: Option<task_status::Reason>,
    /// The executor's end as wait(2) gives it, if it is known.
    pub status: Option<i32>,
}

impl Failure {
    /// The executor's end may be told too late: what is not known differs from nothing.
    fn is_like(&self, other: &Failure) -> bool {
        let same_status = self.status == other.status || self.status.is_none() || other.status.is_none();
        (self.state, self.reason) == (other.state, other.reason) && same_status
    }

    fn is_lost_race(&self) -> bool {
        self.reason == Some(task_status::Reason::InvalidOffers)
    }

    fn places_needed(&self) -> usize {
        if self.is_lost_race() { LOST_RACES } else { AGENTS }
    }
}

/// Where a launch failed: the agent. Of a race with the master no agent knows, so there each call counts: it launches what
/// is launched on one agent at one time.
type Place = (String, Option<Instant>);

/// What is known of one kind of failure since launches succeeded without a limit.
#[derive(Debug)]
struct Seen {
    failure: Failure,
    /// Where it happened since the last success.
    places: BTreeSet<Place>,
    /// How many agents these are.
    agents: u64,
    launches: u64,
    why: String,
    told: bool,
}

/// What limits launches now.
#[derive(Debug)]
struct Limit {
    allowed: u64,
    /// `Some` while tries are made one at a time; the next one not before that time.
    next: Option<Instant>,
    pause: Duration,
    /// Which of `seen` it is for; `None` until the first launch succeeds.
    kind: Option<usize>,
    /// When it was last made stricter: launches of before say nothing new.
    since: Option<Instant>,
    succeeded: Option<Instant>,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Nothing,
    /// A failure that agents have in common.
    Common(CommonFailure),
    /// Launches succeed again; how many failed meanwhile.
    Over {
        /// How many.
        launches: u64,
    },
}

/// The state of it all.
#[derive(Debug)]
pub struct Pace {
    random: StdRng,
    seen: Vec<Seen>,
    limit: Option<Limit>,
    /// Launches that succeeded in this run of the scheduler.
    succeeded: usize,
}

impl Pace {
    /// No launch has succeeded yet.
    pub fn new(seed: u64) -> Self {
        let (allowed, pause) = (FIRST_LAUNCHES, PAUSES.0);
        let limit = Limit { allowed, next: None, pause, kind: None, since: None, succeeded: None };
        Self { random: StdRng::seed_from_u64(seed), seen: Vec::new(), limit: Some(limit), succeeded: 0 }
    }

    /// Whether launches are limited.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// The limit, with so many launches sent whose fate is open.
    pub fn limit(&self, open: usize) -> Option<LaunchLimit> {
        let limit = self.limit.as_ref()?;
        let failure = limit.kind.map(|kind| self.seen[kind].told());
        Some(LaunchLimit { allowed: limit.allowed, sent: open as u64, not_before: limit.next, failure })
    }

    /// A launch came as far as to run, or nothing was heard of it for long. As long as none has failed, that is reason
    /// enough to launch others.
    pub fn promising(&mut self) {
        if self.limit.as_ref().is_some_and(|limit| limit.kind.is_none()) {
            self.limit = None;
        }
    }

    /// A launch succeeded.
    pub fn succeeded(&mut self, now: Instant) -> News {
        self.succeeded += 1;
        self.seen.iter_mut().for_each(Seen::succeeded);
        let Some(limit) = &mut self.limit else {
            self.seen.clear();
            return News::Nothing;
        };
        limit.allowed = limit.allowed.saturating_mul(2);
        (limit.next, limit.pause, limit.succeeded) = (None, PAUSES.0, Some(now));
        if limit.allowed > NO_LIMIT || limit.kind.is_none() { self.lift() } else { News::Nothing }
    }

    /// Time passes, while the fate of no launch is open.
    pub fn calm(&mut self, now: Instant) -> News {
        let good = self.limit.as_ref().and_then(|limit| limit.succeeded);
        let failed = self.seen.iter().any(|seen| !seen.places.is_empty());
        if failed || good.is_none_or(|good| good + CALM > now) {
            return News::Nothing;
        }
        self.lift()
    }

    fn lift(&mut self) -> News {
        let told = self.seen.iter().filter(|seen| seen.told);
        let launches = told.map(|seen| seen.launches).sum();
        self.seen.clear();
        self.limit = None;
        if launches > 0 { News::Over { launches } } else { News::Nothing }
    }

    /// A launch failed on an agent; it was sent then, if that is known. `others` are the launches of which as much can be expected: those whose fate is open,
    /// and `running` workers.
    pub fn failed(
        &mut self,
        failure: Failure,
        (agent, sent): (&str, Option<Instant>),
        why: impl FnOnce() -> String,
        (open, running): (usize, usize),
        now: Instant,
    ) -> News {
        let place = (agent.to_owned(), sent.filter(|_| failure.is_lost_race()));
        let kind = self.note(failure, place, why);
        let seen = &mut self.seen[kind];
        let others = open + running.min(self.succeeded);
        if seen.places.len() < seen.failure.places_needed().max(others / GOOD_FOR_EACH_BAD) {
            return News::Nothing;
        }
        let pause = match &self.limit {
            // So does one of which it is not known when it was sent: the tries are known.
            Some(Limit { next: Some(_), since, .. }) if sent < *since => return News::Nothing,
            Some(limit) if limit.next.is_some() => (limit.pause * 2).min(PAUSES.1),
            _ => PAUSES.0,
        };
        let next = Some(now + jitter(&mut self.random, pause));
        let (kind, since) = (Some(kind), Some(now));
        self.limit = Some(Limit { allowed: 1, next, pause, kind, since, succeeded: None });
        if std::mem::replace(&mut seen.told, true) { News::Nothing } else { News::Common(seen.told()) }
    }

    /// Counts a failure; where it is in `seen`.
    fn note(&mut self, failure: Failure, place: Place, why: impl FnOnce() -> String) -> usize {
        let known = self.seen.iter().position(|seen| seen.failure.is_like(&failure));
        let kind = known.unwrap_or_else(|| {
            let seen =
                Seen { failure, places: BTreeSet::new(), agents: 0, launches: 0, why: why(), told: false };
            self.make_room();
            self.seen.push(seen);
            self.seen.len() - 1
        });
        self.seen[kind].failed_at(place);
        kind
    }

    /// Forgets a kind, if they are too many, but not the one that launches are limited for.
    fn make_room(&mut self) {
        if self.seen.len() < KINDS {
            return;
        }
        let needed = self.limit.as_ref().and_then(|limit| limit.kind);
        let oldest = usize::from(needed == Some(0));
        self.seen.remove(oldest);
        if let Some(Limit { kind: Some(kind), .. }) = &mut self.limit {
            *kind -= usize::from(*kind > oldest);
        }
    }
}

impl Seen {
    fn failed_at(&mut self, place: Place) {
        self.launches += 1;
        if self.places.len() >= PLACES_KEPT {
            return;
        }
        let first = (place.0.clone(), None);
        let known = self.places.range(first..).next().is_some_and(|(agent, _)| *agent == place.0);
        self.agents += u64::from(!known);
        self.places.insert(place);
    }

    fn succeeded(&mut self) {
        self.places.clear();
        self.agents = 0;
    }

    fn told(&self) -> CommonFailure {
        let Failure { state, reason, status } = self.failure;
        let (launches, agents) = (self.launches, self.agents);
        CommonFailure { state, reason, status, launches, agents, why: self.why.clone() }
    }
}

#[cfg(test)]
mod tests;
