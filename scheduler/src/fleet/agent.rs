//! What is known of agents, beside the tasks that are there.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::offers::{DeclineReason, UnusedAgent};

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A task that ran for so long makes up for earlier failures.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// Failures are forgotten so long after the last pause.
const FORGIVEN: Duration = Duration::from_secs(24 * 3600);
/// A reason that was not found again for so long no longer holds.
const OUTDATED: Duration = Duration::from_secs(600);

/// Failures on an agent, and how long nothing is launched there for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How many tasks in a row have failed. Those that were launched together count once.
    pub failures: u32,
    /// When the last of them was counted.
    pub since: Instant,
    /// Until when nothing is launched.
    pub until: Instant,
}

/// When an agent's machine goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From when on it is away.
    pub from: Instant,
    /// Until when; `None`: for good.
    pub until: Option<Instant>,
}

/// One agent.
#[derive(Debug, Default)]
pub struct Agent {
    pub(super) pause: Option<Pause>,
    pub(super) window: Option<Window>,
    pub(super) held: bool,
    pub(super) unused: Option<(Instant, UnusedAgent)>,
}

impl Pause {
    /// Whether it says all that the failure of a task says that was launched then: the agent was not tried anew.
    fn covers(&self, launched: Option<Instant>) -> bool {
        launched.is_some_and(|launched| launched <= self.since)
    }
}

/// A task that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    /// When it was launched, if that is known.
    pub launched: Option<Instant>,
    /// For how long it ran.
    pub ran: Option<Duration>,
}

impl Agent {
    /// Its failures.
    pub fn pause(&self) -> Option<Pause> {
        self.pause
    }

    /// When its machine goes away.
    pub fn window(&self) -> Option<Window> {
        self.window
    }

    fn is_blank(&self) -> bool {
        self.pause.is_none() && self.window.is_none() && !self.held && self.unused.is_none()
    }
}

/// Host and reason; `None` for a machine that goes away, whenever that is.
type ReasonKey = (String, Option<DeclineReason>);

/// A reason that agents have in common.
#[derive(Debug)]
struct Reason {
    /// How many they are.
    agents: usize,
    /// The one of which it was found last.
    latest: UnusedAgent,
}

/// All agents of which something is known, by id.
#[derive(Debug, Default)]
pub(super) struct Agents {
    known: HashMap<String, Agent>,
    /// What is said once: agents of one machine have its name in common, and what was said of one of them was said of all.
    reasons: BTreeMap<ReasonKey, Reason>,
}

impl Agents {
    pub fn get(&self, id: &str) -> Option<&Agent> {
        self.known.get(id)
    }

    /// Changes one, and forgets it if nothing is left to know.
    pub fn change<R>(&mut self, id: &str, change: impl FnOnce(&mut Agent) -> R) -> R {
        if let Some(agent) = self.known.get_mut(id) {
            let result = change(agent);
            if agent.is_blank() {
                self.known.remove(id);
            }
            return result;
        }
        let mut agent = Agent::default();
        let result = change(&mut agent);
        if !agent.is_blank() {
            self.known.insert(id.to_owned(), agent);
        }
        result
    }

    /// Counts a failure. Returns the pause that begins, and its length; `None` while one runs that is for this failure, too.
    pub fn fail(&mut self, id: &str, task: Failed, now: Instant) -> Option<(Pause, Duration)> {
        self.change(id, |agent| {
            let before = agent.pause.map_or(0, |pause| pause.failures);
            let failures = if task.ran.is_some_and(|ran| ran >= GOOD_RUN) { 1 } else { before + 1 };
            let runs = agent.pause.is_some_and(|pause| pause.until > now && pause.covers(task.launched));
            // One that makes up for earlier ones shortens it.
            if runs && failures >= before {
                return None;
            }
            let length = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
            let pause = Pause { failures, since: now, until: now + length };
            agent.pause = Some(pause);
            Some((pause, length))
        })
    }

    /// Counts a failure that is not the agent's own.
    pub fn count_failure(&mut self, id: &str, task: Failed, now: Instant) {
        self.change(id, |agent| {
            agent.pause = Some(match agent.pause {
                Some(pause) if pause.covers(task.launched) => Pause { until: now, ..pause },
                Some(Pause { failures, .. }) => Pause { failures: failures + 1, since: now, until: now },
                None => Pause { failures: 1, since: now, until: now },
            });
        });
    }

    /// Remembers why nothing is launched; whether that is news.
    pub fn note_unused(&mut self, unused: &UnusedAgent, now: Instant) -> bool {
        if matches!(unused.reason, DeclineReason::Paused(_)) {
            return false; // said when the pause began
        }
        let before = self.change(&unused.agent, |agent| agent.unused.replace((now, unused.clone())));
        let known = self.reasons.get_mut(&key(unused));
        let news = known.is_none();
        match known {
            Some(reason) => {
                reason.agents += 1;
                reason.latest = unused.clone();
            }
            None => drop(self.reasons.insert(key(unused), Reason { agents: 1, latest: unused.clone() })),
        }
        if let Some((_, before)) = before {
            self.forget_reason(&before);
        }
        news
    }

    /// Something is launched after all.
    pub fn forget_unused(&mut self, id: &str) {
        let before = self.known.get_mut(id).and_then(|agent| agent.unused.take());
        if let Some((_, before)) = before {
            self.forget_reason(&before);
            self.change(id, |_| ());
        }
    }

    fn forget_reason(&mut self, unused: &UnusedAgent) {
        let key = key(unused);
        if let Some(reason) = self.reasons.get_mut(&key) {
            reason.agents -= 1;
            if reason.agents == 0 {
                self.reasons.remove(&key);
            }
        }
    }

    /// All reasons why nothing is launched somewhere, each once.
    pub fn reasons(&self) -> impl ExactSizeIterator<Item = &UnusedAgent> {
        self.reasons.values().map(|reason| &reason.latest)
    }

    /// Agents come and go: what is old says nothing any more.
    pub fn forget_old(&mut self, now: Instant) {
        let mut outdated = Vec::new();
        for agent in self.known.values_mut() {
            agent.pause = agent.pause.filter(|pause| pause.until + FORGIVEN > now);
            if agent.unused.as_ref().is_some_and(|(at, _)| *at + OUTDATED <= now) {
                outdated.extend(agent.unused.take().map(|(_, unused)| unused));
            }
        }
        outdated.iter().for_each(|unused| self.forget_reason(unused));
        self.known.retain(|_, agent| !agent.is_blank());
    }

    /// What masters said of machines that go away is void.
    pub fn forget_windows(&mut self) {
        self.known.values_mut().for_each(|agent| agent.window = None);
        self.known.retain(|_, agent| !agent.is_blank());
    }
}

/// What is said of an agent once. When exactly its machine goes away is no news.
fn key(unused: &UnusedAgent) -> ReasonKey {
    let reason = match &unused.reason {
        DeclineReason::Leaving(_) => None,
        reason => Some(reason.clone()),
    };
    (unused.host.clone(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offers::Wanted;

    #[test]
    fn pauses_grow_up_to_a_bound_and_a_good_run_makes_up() {
        let mut agents = Agents::default();
        let now = Instant::now();
        let mut fail = |ran| agents.fail("a", Failed { launched: None, ran }, now).unwrap();
        let pauses: Vec<u64> = (0..12).map(|_| fail(None).1.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(fail(None).0.until, now + LONGEST_PAUSE);
        let (pause, length) = fail(Some(GOOD_RUN));
        assert_eq!((pause.failures, length), (1, FIRST_PAUSE));
    }

    #[test]
    fn tasks_that_were_launched_together_and_fail_together_make_one_pause() {
        let mut agents = Agents::default();
        let mut now = Instant::now();
        let launched = Some(now);
        let old = Failed { launched, ran: None };
        now += Duration::from_secs(60);
        let begun = |result: Option<(Pause, Duration)>| result.map(|(_, length)| length.as_secs());
        let begins: Vec<_> = (0..9).map(|_| begun(agents.fail("a", old, now))).collect();
        assert_eq!((begins[0], begins.iter().flatten().count()), (Some(1), 1));
        let new = Failed { launched: Some(now + FIRST_PAUSE), ran: None };
        now += FIRST_PAUSE * 2;
        assert_eq!(begun(agents.fail("a", new, now)), Some(2), "it was tried anew");
        assert_eq!(begun(agents.fail("a", old, now)), None);
        let good = Failed { launched, ran: Some(GOOD_RUN) };
        assert_eq!(begun(agents.fail("a", good, now)), Some(1), "it makes up for the others");
        assert_eq!(begun(agents.fail("a", good, now)), None);
        now += FIRST_PAUSE;
        assert_eq!(begun(agents.fail("a", old, now)), Some(2), "no pause runs");
    }

    #[test]
    fn failures_that_are_not_the_agents_own_count_once_for_each_try_and_make_no_pause() {
        let mut agents = Agents::default();
        let now = Instant::now();
        for (seconds, failures) in [(0, 1), (0, 1), (5, 2), (3, 2), (0, 2)] {
            let launched = Some(now + Duration::from_secs(seconds));
            let at = now + Duration::from_secs(4 + seconds);
            agents.count_failure("a", Failed { launched, ran: None }, at);
            let pause = agents.get("a").unwrap().pause.unwrap();
            assert_eq!((pause.failures, pause.until), (failures, at));
        }
    }

    #[test]
    fn agents_that_are_no_more_are_forgotten() {
        let mut agents = Agents::default();
        let now = Instant::now();
        let reason = DeclineReason::Constraint(Wanted::Workers, "c".into());
        let unused = UnusedAgent { agent: "a".into(), host: "h".into(), reason };
        assert!(agents.note_unused(&unused, now));
        assert!(!agents.note_unused(&unused, now + Duration::from_secs(60)));
        let at = |agent: &str, host: &str| UnusedAgent {
            agent: agent.into(),
            host: host.into(),
            ..unused.clone()
        };
        assert!(!agents.note_unused(&at("b", "h"), now), "the same of another agent of the same machine");
        assert!(agents.note_unused(&at("c", "other"), now));
        agents.forget_unused("b");
        agents.forget_unused("c");
        assert_eq!(agents.reasons().len(), 1);
        agents.fail("a", Failed::default(), now);
        agents.fail("d", Failed::default(), now);
        agents.forget_old(now + OUTDATED);
        assert_eq!((agents.known.len(), agents.reasons().len()), (2, 1));
        agents.forget_old(now + OUTDATED + Duration::from_secs(60));
        assert_eq!((agents.known.len(), agents.reasons().len()), (2, 0));
        agents.forget_old(now + FORGIVEN + LONGEST_PAUSE);
        assert_eq!(agents.known.len(), 0);
    }
}
