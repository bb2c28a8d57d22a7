//! How many launches may be in progress, depending on the outcome of earlier ones. Pure.
//!
//! Each kind of failure is counted by the agents on which it happened since the last success. When there are more of them than
//! chance explains, one launch at a time is tried, with growing pauses. Each success doubles the number of launches allowed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::v1::task_status;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::fleet::{CommonFailure, LaunchFailure, LaunchLimit};
use crate::policy::jitter;
use crate::user_notice::UserNotice;

/// How many launches may be in progress until the first one succeeds.
const FIRST_LAUNCHES: u64 = 4;
/// Agents have a failure in common if it happened on so many of them in a row.
const AGENTS: usize = 3;
/// Likewise for calls whose offers had been rescinded. The number is higher, since one race makes several such failures.
const LOST_RACES: usize = 16;
/// A failure that happens on fewer than one in so many agents is not common.
const GOOD_FOR_EACH_BAD: usize = 4;
/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(180));
/// Above this number of allowed launches there is no limit.
const NO_LIMIT: u64 = 1024;
/// After this time without a failure there is no limit either, since there may be no more agents to try.
const CALM: Duration = Duration::from_secs(60);
/// How many kinds of failure are counted, and how many sites of each.
const KINDS: usize = 16;
const SITES: usize = 16_384;

/// Where a launch failed: on an agent. A lost race for an offer is not the agent's, so there each call counts, by the time when
/// it was sent.
type FailureSite = (String, Option<Instant>);

/// One kind of failure, counted since the last time without a limit.
#[derive(Debug)]
struct FailureKind {
    failure: LaunchFailure,
    /// Where it happened since the last success.
    sites: BTreeSet<FailureSite>,
    /// On how many agents these are.
    agents: u64,
    launches: u64,
    why: String,
    /// Whether the user was told.
    announced: bool,
}

/// The present limit.
#[derive(Debug)]
struct Limit {
    allowed: u64,
    /// While one launch at a time is tried: when the next one may begin.
    next: Option<Instant>,
    pause: Duration,
    /// The index in `kinds` of the failure that the limit is for; `None` until the first launch succeeds.
    kind: Option<usize>,
    /// When the limit became stricter. Launches that were sent before say nothing new.
    since: Option<Instant>,
    succeeded: Option<Instant>,
}

/// The limiter of launches.
#[derive(Debug)]
pub struct LaunchLimiter {
    random: StdRng,
    kinds: Vec<FailureKind>,
    limit: Option<Limit>,
    /// How many launches have succeeded in this run of the scheduler.
    succeeded: usize,
}

impl LaunchLimiter {
    /// Before the first launch.
    pub fn new(seed: u64) -> Self {
        let (allowed, pause) = (FIRST_LAUNCHES, PAUSES.0);
        let limit = Limit { allowed, next: None, pause, kind: None, since: None, succeeded: None };
        Self { random: StdRng::seed_from_u64(seed), kinds: Vec::new(), limit: Some(limit), succeeded: 0 }
    }

    /// Whether launches are limited.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// The present limit, with so many launches in progress.
    pub fn limit(&self, open: usize) -> Option<LaunchLimit> {
        let limit = self.limit.as_ref()?;
        let failure = limit.kind.map(|kind| self.kinds[kind].common());
        Some(LaunchLimit { allowed: limit.allowed, sent: open as u64, not_before: limit.next, failure })
    }

    /// A task has begun to run, or had no update for long. If no launch has failed, others may be launched.
    pub fn promising(&mut self) {
        if self.limit.as_ref().is_some_and(|limit| limit.kind.is_none()) {
            self.limit = None;
        }
    }

    /// A launch succeeded.
    pub fn succeeded(&mut self, now: Instant) -> Option<UserNotice> {
        self.succeeded += 1;
        self.kinds.iter_mut().for_each(FailureKind::succeeded);
        let Some(limit) = &mut self.limit else {
            self.kinds.clear();
            return None;
        };
        limit.allowed = limit.allowed.saturating_mul(2);
        (limit.next, limit.pause, limit.succeeded) = (None, PAUSES.0, Some(now));
        if limit.allowed > NO_LIMIT || limit.kind.is_none() { self.lift() } else { None }
    }

    /// Time passes while no launch is in progress.
    pub fn calm(&mut self, now: Instant) -> Option<UserNotice> {
        let good = self.limit.as_ref().and_then(|limit| limit.succeeded);
        let failed = self.kinds.iter().any(|kind| !kind.sites.is_empty());
        if failed || good.is_none_or(|good| good + CALM > now) {
            return None;
        }
        self.lift()
    }

    fn lift(&mut self) -> Option<UserNotice> {
        let announced = self.kinds.iter().filter(|kind| kind.announced);
        let launches: u64 = announced.map(|kind| kind.launches).sum();
        self.kinds.clear();
        self.limit = None;
        (launches > 0).then_some(UserNotice::CommonFailureOver(launches))
    }

    /// A launch failed on an agent. `sent` is when it was sent, if that is known. `open` launches in progress and `running` workers
    /// could have failed, too.
    pub fn failed(
        &mut self,
        failure: LaunchFailure,
        (agent, sent): (&str, Option<Instant>),
        why: impl FnOnce() -> String,
        (open, running): (usize, usize),
        now: Instant,
    ) -> Option<UserNotice> {
        let site = (agent.to_owned(), sent.filter(|_| is_lost_race(&failure)));
        let index = self.count(failure, site, why);
        let kind = &mut self.kinds[index];
        let others = open + running.min(self.succeeded);
        if kind.sites.len() < sites_needed(&kind.failure).max(others / GOOD_FOR_EACH_BAD) {
            return None;
        }
        let pause = match &self.limit {
            // A launch of unknown time was sent before, too, since the times of the tries are known.
            Some(Limit { next: Some(_), since, .. }) if sent < *since => return None,
            Some(limit) if limit.next.is_some() => (limit.pause * 2).min(PAUSES.1),
            _ => PAUSES.0,
        };
        let next = Some(now + jitter(&mut self.random, pause));
        let since = Some(now);
        self.limit = Some(Limit { allowed: 1, next, pause, kind: Some(index), since, succeeded: None });
        let is_news = !std::mem::replace(&mut kind.announced, true);
        is_news.then(|| UserNotice::CommonFailure(kind.common()))
    }

    /// Counts a failure. Returns the index of its kind.
    fn count(&mut self, failure: LaunchFailure, site: FailureSite, why: impl FnOnce() -> String) -> usize {
        let known = self.kinds.iter().position(|kind| kind.failure.is_like(&failure));
        let index = known.unwrap_or_else(|| {
            self.make_room();
            let (sites, why) = (BTreeSet::new(), why());
            self.kinds.push(FailureKind { failure, sites, agents: 0, launches: 0, why, announced: false });
            self.kinds.len() - 1
        });
        self.kinds[index].failed_at(site);
        index
    }

    /// Forgets the oldest kind if there are too many, but not the kind that the limit is for.
    fn make_room(&mut self) {
        if self.kinds.len() < KINDS {
            return;
        }
        let needed = self.limit.as_ref().and_then(|limit| limit.kind);
        let oldest = usize::from(needed == Some(0));
        self.kinds.remove(oldest);
        if let Some(Limit { kind: Some(kind), .. }) = &mut self.limit {
            *kind -= usize::from(*kind > oldest);
        }
    }
}

impl FailureKind {
    fn failed_at(&mut self, site: FailureSite) {
        self.launches += 1;
        if self.sites.len() >= SITES {
            return;
        }
        let first = (site.0.clone(), None);
        let known = self.sites.range(first..).next().is_some_and(|(agent, _)| *agent == site.0);
        self.agents += u64::from(!known);
        self.sites.insert(site);
    }

    fn succeeded(&mut self) {
        self.sites.clear();
        self.agents = 0;
    }

    fn common(&self) -> CommonFailure {
        let FailureKind { launches, agents, .. } = *self;
        CommonFailure { failure: self.failure.clone(), launches, agents, why: self.why.clone() }
    }
}

/// Whether the offers of a launch had been rescinded before it arrived.
fn is_lost_race(failure: &LaunchFailure) -> bool {
    failure.reason == Some(task_status::Reason::InvalidOffers)
}

fn sites_needed(failure: &LaunchFailure) -> usize {
    if is_lost_race(failure) { LOST_RACES } else { AGENTS }
}

#[cfg(test)]
mod tests;
