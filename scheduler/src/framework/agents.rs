//! Agents on which tasks fail again and again get a growing pause.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{State, UserNotice};
use crate::offers::{Cause, Remark};

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A task that ran for so long makes up for earlier failures.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// Failures are forgotten so long after the last pause.
const FORGIVEN: Duration = Duration::from_secs(24 * 3600);
/// A reason that was not found again for so long no longer holds.
const OUTDATED: Duration = Duration::from_secs(600);

/// What is remembered of agents, by id.
#[derive(Debug, Default)]
pub(super) struct Agents {
    failures: BTreeMap<String, (u32, Instant)>,
    /// The last reason why nothing was launched there, and when that was last so.
    remarks: BTreeMap<String, (Instant, Remark)>,
}

impl Agents {
    /// Which agents are to be left alone, and for how long.
    pub fn paused(&self, now: Instant) -> BTreeMap<String, Duration> {
        let rest = |(agent, (_, until)): (&String, &(u32, Instant))| {
            (*until > now).then(|| (agent.clone(), *until - now))
        };
        self.failures.iter().filter_map(rest).collect()
    }

    /// How many tasks in a row have failed on each of them.
    pub fn failures(&self) -> BTreeMap<String, u32> {
        self.failures.iter().map(|(agent, (failures, _))| (agent.clone(), *failures)).collect()
    }

    /// Counts a failure; the number in a row, and the pause.
    fn failed(&mut self, agent: &str, ran: Option<Duration>, now: Instant) -> (u32, Duration) {
        let (failures, until) = self.failures.entry(agent.to_owned()).or_insert((0, now));
        if ran.is_some_and(|ran| ran >= GOOD_RUN) {
            *failures = 0;
        }
        *failures += 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures - 1).min(16)).min(LONGEST_PAUSE);
        *until = now + pause;
        (*failures, pause)
    }

    /// Remembers why nothing is launched; whether that is news.
    pub fn remark(&mut self, remark: &Remark, now: Instant) -> bool {
        if matches!(remark.cause, Cause::Paused(_)) {
            return false; // said when the pause began
        }
        // Agents of one machine have its name in common: what was said of one of them was said of all.
        let alike = |before: &Remark| match (&before.cause, &remark.cause) {
            _ if before.host != remark.host => false,
            (Cause::Leaving(_), Cause::Leaving(_)) => true,
            (before, now) => before == now,
        };
        let said = self.remarks.values().any(|(_, before)| alike(before));
        self.remarks.insert(remark.agent.clone(), (now, remark.clone()));
        !said
    }

    /// Something is launched after all.
    pub fn forget_remark(&mut self, agent: &str) {
        self.remarks.remove(agent);
    }

    /// All reasons why nothing is launched somewhere.
    pub fn remarks(&self) -> impl Iterator<Item = &Remark> {
        self.remarks.values().map(|(_, remark)| remark)
    }

    /// Agents come and go: what is old says nothing any more.
    pub fn forget_old(&mut self, now: Instant) {
        self.failures.retain(|_, (_, until)| *until + FORGIVEN > now);
        self.remarks.retain(|_, (at, _)| *at + OUTDATED > now);
    }
}

impl State {
    pub(super) fn failure(&mut self, agent: Option<String>, executor: Option<String>, status: Option<i32>) {
        let text = match (executor, agent) {
            (Some(executor), _) => {
                if self.tasks.get(&executor).is_none_or(|task| task.kill.is_some() || status == Some(0)) {
                    return;
                }
                format!("the executor of {executor} ended{}", status.map(wait_status).unwrap_or_default())
            }
            (None, Some(agent)) => match self.host_of(&agent) {
                Some(host) => format!("the agent on {host} is gone ({agent})"),
                None => format!("agent {agent} is gone"),
            },
            (None, None) => return,
        };
        self.publish(UserNotice::Failure(text));
    }

    /// The host of an agent that has tasks of ours.
    fn host_of(&self, agent: &str) -> Option<&str> {
        let task = self.tasks.values().find(|task| task.record.agent == agent)?;
        Some(&task.record.host)
    }

    /// A task ended on its agent although nobody wanted it to.
    pub(super) fn agent_failed(&mut self, task: &str, why: &str, now: Instant) {
        let Some(task) = self.tasks.get(task) else { return };
        let ran = task.running_since.map(|since| now.duration_since(since));
        let host = task.record.host.clone();
        let (failures, pause) = self.agents.failed(&task.record.agent, ran, now);
        self.failures.push(&task.record.id, &host, why, now);
        let why = why.to_owned();
        self.publish(UserNotice::Paused { host, pause, failures, why });
    }
}

/// A wait(2) status in words.
fn wait_status(status: i32) -> String {
    // An exit status has eight bits; what Mesos puts above them means nothing.
    match (status & 0x7f, status >> 8 & 0xff) {
        (0, code) => format!(" with exit status {code}"),
        (signal, _) => format!(" by signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offers::Wanted;

    #[test]
    fn pauses_grow_up_to_a_bound_and_a_good_run_makes_up() {
        let mut agents = Agents::default();
        let now = Instant::now();
        let pauses: Vec<u64> = (0..12).map(|_| agents.failed("a", None, now).1.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(agents.paused(now)["a"], LONGEST_PAUSE);
        assert!(agents.paused(now + LONGEST_PAUSE).is_empty());
        assert_eq!(agents.failed("a", Some(GOOD_RUN), now), (1, FIRST_PAUSE));
    }

    #[test]
    fn agents_that_are_no_more_are_forgotten() {
        let mut agents = Agents::default();
        let now = Instant::now();
        let remark = Remark {
            agent: "a".into(),
            host: "h".into(),
            cause: Cause::Constraint(Wanted::Workers, "c".into()),
        };
        assert!(agents.remark(&remark, now));
        assert!(!agents.remark(&remark, now + Duration::from_secs(60)));
        let at =
            |agent: &str, host: &str| Remark { agent: agent.into(), host: host.into(), ..remark.clone() };
        assert!(!agents.remark(&at("b", "h"), now), "the same of another agent of the same machine");
        assert!(agents.remark(&at("c", "other"), now));
        agents.forget_remark("b");
        agents.forget_remark("c");
        agents.failed("a", None, now);
        agents.forget_old(now + OUTDATED);
        assert_eq!((agents.failures.len(), agents.remarks.len()), (1, 1));
        agents.forget_old(now + FORGIVEN + LONGEST_PAUSE);
        assert_eq!((agents.failures.len(), agents.remarks.len()), (0, 0));
    }
}
