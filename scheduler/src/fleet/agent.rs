//! What is known about agents, apart from their tasks.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use crate::offers::{DeclineReason, UnusedAgent};

/// After the first failure of a task on an agent, nothing is launched there for this long. Each further failure in a row doubles
/// the pause, up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A task that ran for at least this long before it failed shows that its agent works: earlier failures there no longer count.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// The failures on an agent are forgotten this long after its last pause of launches has ended.
const FORGIVEN: Duration = Duration::from_secs(24 * 3600);
/// The stored reason why an agent is unused is forgotten after this time. The time begins anew whenever the agent is found unused
/// again.
const OUTDATED: Duration = Duration::from_secs(600);

/// The failures on an agent, and the resulting pause of launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How many launches in a row have failed on the agent. Tasks that were launched together count once.
    pub failures: u32,
    /// When the last failure on the agent was counted.
    pub since: Instant,
    /// Until this time nothing is launched on the agent.
    pub until: Instant,
}

/// The time during which an agent's machine is unavailable because of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// When the machine becomes unavailable.
    pub from: Instant,
    /// When the machine returns; `None` if it does not.
    pub until: Option<Instant>,
}

/// What is known about one agent.
#[derive(Debug, Default)]
pub struct Agent {
    /// The failures on the agent, and the resulting pause.
    pub pause: Option<Pause>,
    /// The planned maintenance of the machine, if any.
    pub window: Option<MaintenanceWindow>,
    /// Whether the agent's offers are declined while its workers are being ended, so that one larger worker can use all their
    /// resources.
    pub(super) held: bool,
    unused: Option<(Instant, UnusedAgent)>,
}

impl Pause {
    /// Whether a task was launched before the last counted failure.
    fn covers(&self, launched: Option<Instant>) -> bool {
        launched.is_some_and(|launched| launched <= self.since)
    }
}

/// A task that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    /// When the failed task was launched, if that is known.
    pub launched: Option<Instant>,
    /// How long this run of the scheduler saw the failed task running; `None` if it never did.
    pub ran: Option<Duration>,
    /// The pause takes at least this long, but no longer than `LONGEST_PAUSE`.
    pub least: Duration,
}

impl Agent {
    /// Why the agent is unused, if it is.
    pub fn unused(&self) -> Option<&UnusedAgent> {
        self.unused.as_ref().map(|(_, unused)| unused)
    }

    fn is_blank(&self) -> bool {
        self.pause.is_none() && self.window.is_none() && !self.held && self.unused.is_none()
    }
}

/// A host name, and the reason why agents on this host are unused. `None` stands for planned maintenance
/// ([`DeclineReason::Leaving`]).
type ReasonKey = (String, Option<DeclineReason>);

/// A reason why agents are unused.
#[derive(Debug)]
struct Reason {
    /// The number of agents that are unused for this reason.
    agents: usize,
    /// The agent that was most recently found unused for this reason.
    latest: UnusedAgent,
}

/// All agents about which something is known.
#[derive(Debug, Default)]
pub struct Agents {
    known: BTreeMap<String, Agent>,
    /// The reasons why agents are unused, for the user. Agents on one machine have the same host name, so a reason is shown only
    /// once for all of them.
    reasons: BTreeMap<ReasonKey, Reason>,
}

impl Agents {
    /// What is known about the agent with this id.
    pub fn get(&self, id: &str) -> Option<&Agent> {
        self.known.get(id)
    }

    /// The agents about which something is known, by id. The list begins after the id `after`, which need not be known.
    pub fn known(&self, after: Option<&str>) -> impl Iterator<Item = (&str, &Agent)> {
        let from = after.map_or(Unbounded, Excluded);
        self.known.range::<str, _>((from, Unbounded)).map(|(id, agent)| (id.as_str(), agent))
    }

    /// Changes an agent, and forgets the agent if nothing is known about it any more.
    fn change<R>(&mut self, id: &str, change: impl FnOnce(&mut Agent) -> R) -> R {
        let known = self.known.remove_entry(id);
        let (id, mut agent) = known.unwrap_or_else(|| (id.to_owned(), Agent::default()));
        let result = change(&mut agent);
        if !agent.is_blank() {
            self.known.insert(id, agent);
        }
        result
    }

    /// Sets or clears an agent's maintenance window.
    pub fn set_window(&mut self, id: &str, window: Option<MaintenanceWindow>) {
        self.change(id, |agent| agent.window = window);
    }

    /// Sets whether an agent's workers are being replaced by one larger worker. Meanwhile the agent's offers are declined.
    pub fn hold_offers(&mut self, id: &str, held: bool) {
        self.change(id, |agent| agent.held = held);
    }

    /// Counts a failure. Returns the new pause and how long it lasts; `None` if the agent's current pause is not changed.
    pub(super) fn fail(&mut self, id: &str, task: Failed, now: Instant) -> Option<(Pause, Duration)> {
        self.change(id, |agent| {
            let before = agent.pause.map_or(0, |pause| pause.failures);
            let failures = if task.ran.is_some_and(|ran| ran >= GOOD_RUN) { 1 } else { before + 1 };
            let runs = agent.pause.is_some_and(|pause| pause.until > now && pause.covers(task.launched));
            // The current pause is long enough for this failure, too. But if the task ran long enough to reset the count, a
            // shorter pause replaces the current one.
            if runs && failures >= before {
                return None;
            }
            let length =
                FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).max(task.least).min(LONGEST_PAUSE);
            let pause = Pause { failures, since: now, until: now + length };
            agent.pause = Some(pause);
            Some((pause, length))
        })
    }

    /// Counts a failure that several agents have in common. Ends the agent's pause, if any, because the agent is probably not to
    /// blame.
    pub(super) fn count_failure(&mut self, id: &str, task: Failed, now: Instant) {
        self.change(id, |agent| {
            agent.pause = Some(match agent.pause {
                Some(pause) if pause.covers(task.launched) => Pause { until: now, ..pause },
                Some(Pause { failures, .. }) => Pause { failures: failures + 1, since: now, until: now },
                None => Pause { failures: 1, since: now, until: now },
            });
        });
    }

    /// Stores why an agent is unused. Returns whether to notify the user.
    pub fn note_unused(&mut self, unused: &UnusedAgent, now: Instant) -> bool {
        let before = self.change(&unused.agent, |agent| agent.unused.replace((now, unused.clone())));
        let new = || Reason { agents: 0, latest: unused.clone() };
        let reason = self.reasons.entry(key(unused)).or_insert_with(new);
        let news = reason.agents == 0;
        reason.agents += 1;
        reason.latest = unused.clone();
        if let Some((_, before)) = before {
            self.forget_reason(&before);
        }
        // The user was notified of a pause when it began.
        news && !matches!(unused.reason, DeclineReason::Paused(_))
    }

    /// Forgets why an agent was unused, because a task is launched on it.
    pub fn forget_unused(&mut self, id: &str) {
        let before = self.known.get_mut(id).and_then(|agent| agent.unused.take());
        if let Some((_, before)) = before {
            self.forget_reason(&before);
            self.change(id, |_| ());
        }
    }

    /// Forgets that an agent, given by its id or host name, is unused because it is avoided.
    pub fn forget_avoided(&mut self, agent: &str) {
        let is_it = |unused: &UnusedAgent| {
            unused.reason == DeclineReason::Avoided && (unused.agent == agent || unused.host == agent)
        };
        let known = self.known.values().filter_map(|agent| agent.unused.as_ref());
        let ids: Vec<String> =
            known.filter(|(_, unused)| is_it(unused)).map(|(_, unused)| unused.agent.clone()).collect();
        ids.iter().for_each(|id| self.forget_unused(id));
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

    /// The reasons why agents are unused, without duplicates.
    pub fn reasons(&self) -> impl ExactSizeIterator<Item = &UnusedAgent> {
        self.reasons.values().map(|reason| &reason.latest)
    }

    /// The agents that are unused, each with the reason.
    pub fn unused(&self) -> impl Iterator<Item = &UnusedAgent> {
        self.known.values().filter_map(|agent| agent.unused.as_ref().map(|(_, unused)| unused))
    }

    /// Forgets old failures and reasons, which may belong to agents that have left the cluster.
    pub fn expire(&mut self, now: Instant) {
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

    /// Forgets all maintenance windows.
    pub fn forget_windows(&mut self) {
        self.known.values_mut().for_each(|agent| agent.window = None);
        self.known.retain(|_, agent| !agent.is_blank());
    }
}

/// The key of a reason why an agent is unused. The user is notified once per key, so a change of the time at which maintenance
/// begins, or a pause ends, causes no new notice.
fn key(unused: &UnusedAgent) -> ReasonKey {
    let reason = match &unused.reason {
        DeclineReason::Leaving(_) => None,
        DeclineReason::Paused(_) => Some(DeclineReason::Paused(Duration::ZERO)),
        reason => Some(reason.clone()),
    };
    (unused.host.clone(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offers::Demand;

    #[test]
    fn pauses_grow_up_to_a_bound_and_a_good_run_makes_up() {
        let mut agents = Agents::default();
        let now = Instant::now();
        let mut fail = |ran| agents.fail("a", Failed { ran, ..Failed::default() }, now).unwrap();
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
        let old = Failed { launched, ..Failed::default() };
        now += Duration::from_secs(60);
        let begun = |result: Option<(Pause, Duration)>| result.map(|(_, length)| length.as_secs());
        let begins: Vec<_> = (0..9).map(|_| begun(agents.fail("a", old, now))).collect();
        assert_eq!((begins[0], begins.iter().flatten().count()), (Some(1), 1));
        let new = Failed { launched: Some(now + FIRST_PAUSE), ..Failed::default() };
        now += FIRST_PAUSE * 2;
        assert_eq!(begun(agents.fail("a", new, now)), Some(2), "it was tried anew");
        assert_eq!(begun(agents.fail("a", old, now)), None);
        let good = Failed { launched, ran: Some(GOOD_RUN), ..Failed::default() };
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
            agents.count_failure("a", Failed { launched, ..Failed::default() }, at);
            let pause = agents.get("a").unwrap().pause.unwrap();
            assert_eq!((pause.failures, pause.until), (failures, at));
        }
    }

    #[test]
    fn agents_that_are_no_more_are_forgotten() {
        let mut agents = Agents::default();
        let now = Instant::now();
        let reason = DeclineReason::Constraint(Demand::Workers, "c".into());
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
        let paused = |seconds| UnusedAgent {
            agent: "p".into(),
            host: "p".into(),
            reason: DeclineReason::Paused(Duration::from_secs(seconds)),
        };
        assert!(!agents.note_unused(&paused(2), now) && !agents.note_unused(&paused(1), now), "it is known");
        assert_eq!(agents.reasons().len(), 3);
        agents.forget_unused("p");
        agents.forget_unused("b");
        agents.forget_unused("c");
        assert_eq!(agents.reasons().len(), 1);
        agents.fail("a", Failed::default(), now);
        agents.fail("d", Failed::default(), now);
        agents.expire(now + OUTDATED);
        assert_eq!((agents.known.len(), agents.reasons().len()), (2, 1));
        agents.expire(now + OUTDATED + Duration::from_secs(60));
        assert_eq!((agents.known.len(), agents.reasons().len()), (2, 0));
        agents.expire(now + FORGIVEN + LONGEST_PAUSE);
        assert_eq!(agents.known.len(), 0);
    }
}
