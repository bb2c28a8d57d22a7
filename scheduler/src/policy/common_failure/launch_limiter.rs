//! Limits the number of launches in progress, depending on the outcomes of earlier launches. Has no clock and does no I/O.
//!
//! For each kind of failure, the limiter counts the agents on which it has happened since the last success. When there are more
//! such agents than chance explains, one launch at a time is tried, with growing pauses. Each success doubles the number of
//! launches allowed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::v1::task_status;
use problem::{Problem, ProblemKind};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::fleet::{CommonFailure, LaunchFailure, LaunchLimit};
use crate::policy::jitter;
use crate::user_notice::UserNotice;

/// At the start, until a task has begun to run, at most this many launches are in progress at the same time.
const FIRST_LAUNCHES: u64 = 4;
/// If launches failed in the same way on this many agents, without a success in between, the failure counts as one that agents
/// have in common, and launches are limited.
const AGENTS: usize = 3;
/// Launches whose offers had been rescinded count as a common failure only after this many calls have failed. The number is
/// higher than `AGENTS`, because the master may rescind the offers of several calls at the same time.
const LOST_RACES: usize = 16;
/// Launches in progress and running workers count as good. A failure is not common if there are more than this many good ones for
/// each agent with the failure.
const GOOD_FOR_EACH_BAD: usize = 4;
/// The first and the longest pause between two tries, when launches are tried one at a time because of a common failure. Each
/// failed try doubles the pause.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(180));
/// Each success doubles the number of launches that may be in progress. When it exceeds `NO_LIMIT`, launches are not limited any
/// more.
const NO_LIMIT: u64 = 1024;
/// When a successful launch has been followed by this much time without a failed launch, the limit on launches is lifted.
const CALM: Duration = Duration::from_secs(60);
/// Maximum number of kinds of failure that are counted. The oldest is forgotten first.
const KINDS: usize = 16;
/// Maximum number of sites (usually agents) that are remembered per kind of failure.
const SITES: usize = 16_384;

/// Where a launch failed. Several failures at one site count once. Usually the site is the agent, and the second field is `None`.
/// If an offer was rescinded before the launch arrived, the agent is not at fault. Then the site is the call that sent the
/// launch, identified by the agent and the time of sending.
type FailureSite = (String, Option<Instant>);

/// One kind of failure and its counts.
#[derive(Debug)]
struct FailureKind {
    failure: LaunchFailure,
    /// Where launches have failed in this way since the last success.
    sites: BTreeSet<FailureSite>,
    /// The number of different agents in `sites`.
    agents: u64,
    launches: u64,
    cause: Problem,
    /// Whether the user was told that agents have this failure in common.
    announced: bool,
}

/// The present limit.
#[derive(Debug)]
struct Limit {
    allowed: u64,
    /// The time of the next try, if launches are tried one at a time; otherwise `None`.
    next: Option<Instant>,
    pause: Duration,
    /// The kind of failure that caused the limit on launches, as an index in `kinds`; `None` for the initial limit.
    kind: Option<usize>,
    /// When the limit last became stricter. Failures of launches that had been sent before this time do not make the limit
    /// stricter again.
    since: Option<Instant>,
    succeeded: Option<Instant>,
}

/// The limiter of launches.
#[derive(Debug)]
pub struct LaunchLimiter {
    random: StdRng,
    kinds: Vec<FailureKind>,
    limit: Option<Limit>,
    /// The number of launches that have succeeded in this run of the scheduler.
    succeeded: usize,
}

impl LaunchLimiter {
    /// A limiter before the first launch.
    pub fn new(seed: u64) -> Self {
        let (allowed, pause) = (FIRST_LAUNCHES, PAUSES.0);
        let limit = Limit { allowed, next: None, pause, kind: None, since: None, succeeded: None };
        Self { random: StdRng::seed_from_u64(seed), kinds: Vec::new(), limit: Some(limit), succeeded: 0 }
    }

    /// Whether launches are limited.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// The present limit, with `open` launches in progress.
    pub fn limit(&self, open: usize) -> Option<LaunchLimit> {
        let limit = self.limit.as_ref()?;
        let failure = limit.kind.map(|kind| self.kinds[kind].common());
        Some(LaunchLimit { allowed: limit.allowed, sent: open as u64, not_before: limit.next, failure })
    }

    /// Called when a task has begun to run, or when a launch is slow but has not failed. Lifts the initial limit, but not a limit
    /// that a failure caused.
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

    /// Called at ticks while no launch is in progress. Lifts the limit if the last successful launch has been followed by the
    /// time `CALM` without a failed launch.
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

    /// A launch failed on an agent. `sent` is the time when the launch was sent, if known. `open` is the number of launches in
    /// progress, and `running` the number of running workers. Both count as launches that have not failed.
    pub fn failed(
        &mut self,
        failure: LaunchFailure,
        (agent, sent): (&str, Option<Instant>),
        cause: impl FnOnce() -> Problem,
        (open, running): (usize, usize),
        now: Instant,
    ) -> Option<UserNotice> {
        let site = (agent.to_owned(), sent.filter(|_| is_lost_race(&failure)));
        let index = self.count(failure, site, cause);
        let kind = &mut self.kinds[index];
        let others = open + running.min(self.succeeded);
        if kind.sites.len() < sites_needed(&kind.failure).max(others / GOOD_FOR_EACH_BAD) {
            return None;
        }
        let pause = match &self.limit {
            // The launch was sent before the limit became stricter, so its failure brings no news. This includes launches of
            // an earlier run of the scheduler: their time of sending is `None`, which is less than any time.
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
    fn count(&mut self, failure: LaunchFailure, site: FailureSite, cause: impl FnOnce() -> Problem) -> usize {
        let known = self.kinds.iter().position(|kind| kind.failure.is_like(&failure));
        let index = known.unwrap_or_else(|| {
            self.make_room();
            let (sites, cause) = (BTreeSet::new(), Problem::new(ProblemKind::LaunchesFail, ""));
            self.kinds.push(FailureKind { failure, sites, agents: 0, launches: 0, cause, announced: false });
            self.kinds.len() - 1
        });
        if self.kinds[index].sites.is_empty() {
            // A launch has succeeded since the last failure of this kind, so the cause may be another one.
            self.kinds[index].cause = cause();
        }
        self.kinds[index].failed_at(site);
        index
    }

    /// What made launches fail with this problem has probably been mended: the next try is due now, and pauses begin anew.
    pub fn mended(&mut self, problem: ProblemKind, now: Instant) {
        if let Some(limit) = &mut self.limit
            && limit.kind.is_some_and(|kind| self.kinds[kind].failure.problem == Some(problem))
            && limit.next.is_some()
        {
            (limit.next, limit.pause) = (Some(now), PAUSES.0);
        }
    }

    /// The cause of a kind of failure is better known.
    pub fn explain(&mut self, failure: &LaunchFailure, cause: Problem) {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.failure.is_like(failure)) {
            kind.cause = cause;
        }
    }

    /// Forgets the oldest kind of failure if there are too many, but never the kind that caused the current limit.
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
        CommonFailure { failure: self.failure.clone(), launches, agents, cause: self.cause.clone() }
    }
}

/// Whether the offers of a launch had been rescinded before the call arrived.
fn is_lost_race(failure: &LaunchFailure) -> bool {
    failure.reason == Some(task_status::Reason::InvalidOffers)
}

fn sites_needed(failure: &LaunchFailure) -> usize {
    match failure.problem {
        // A task that names such a problem would name it on every agent.
        Some(_) => 1,
        None if is_lost_race(failure) => LOST_RACES,
        None => AGENTS,
    }
}

#[cfg(test)]
mod tests;
