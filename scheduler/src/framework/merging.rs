//! Several small workers of one agent become one big one, when that pays.
//!
//! Mesos offers an agent in pieces: what others give back one by one becomes worker after worker, each with memory,
//! executor and connection of its own; and CPU may lie idle beside them because there is no memory for another one.
//! The rule: all workers of the agent are ended, and one launched with all, if
//! - there are several, or CPU is free that can't be used otherwise;
//! - the one would have at least twice the CPU of the biggest (`--cpus-per-worker` and `--max-cpus` included);
//! - all of them have mined for a while, and the agent's workers were not merged within the last half hour.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos::v1::Offer;

use super::task::Task;
use super::{Call, State, UserNotice};
use crate::offers::{Cause, Remark};

/// A worker must have mined so long.
const SETTLED: Duration = Duration::from_secs(60);
/// Least time between two mergers on one agent.
const EVERY: Duration = Duration::from_secs(30 * 60);
/// For the workers to end; their grace period is shorter.
const END: Duration = Duration::from_secs(30);
/// For what they gave back to be offered together.
const GATHER: Duration = Duration::from_secs(3);
/// Offers of the agent are given back for so long meanwhile.
const REFUSE: Duration = Duration::from_secs(1);

/// Agents whose workers are being merged.
#[derive(Debug, Default)]
pub(super) struct Merging {
    held: BTreeMap<String, Held>,
    /// When that was last done.
    last: BTreeMap<String, Instant>,
}

#[derive(Debug)]
struct Held {
    workers: Vec<String>,
    until: Instant,
    gathering: bool,
}

impl State {
    /// Gives the offers of agents back whose workers are being merged, until all can be offered together.
    pub(super) fn hold_back_for_merging<'a>(&mut self, offers: &'a [Offer]) -> Cow<'a, [Offer]> {
        if self.merging.held.is_empty() {
            return Cow::Borrowed(offers);
        }
        let is_held = |offer: &Offer| self.merging.held.contains_key(&offer.agent_id.value);
        let (held, others): (Vec<Offer>, Vec<Offer>) = offers.iter().cloned().partition(is_held);
        if !held.is_empty() {
            let offers = held.into_iter().map(|offer| offer.id.value).collect();
            self.call(Call::Decline { offers, refuse: REFUSE });
        }
        Cow::Owned(others)
    }

    /// CPU is free on an agent, but not enough for a worker, or nothing else is.
    pub(super) fn merge_with_rest(&mut self, remark: &Remark, now: Instant) {
        if let Cause::NoWorker { cpus_milli, reserved, .. } = remark.cause {
            self.merge(&remark.agent, cpus_milli.saturating_sub(reserved), now);
        }
    }

    /// Looks for agents with several workers, and goes on where some are being merged.
    pub(super) fn look_for_mergers(&mut self, now: Instant) {
        self.release(now);
        self.merging.last.retain(|_, last| now.duration_since(*last) < EVERY);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for task in self.tasks.values().filter(|task| task.is_worker() && task.is_running()) {
            *counts.entry(&task.record.agent).or_default() += 1;
        }
        let several = counts.into_iter().filter(|(_, count)| *count > 1).map(|(agent, _)| agent.to_owned());
        for agent in several.collect::<Vec<_>>() {
            self.merge(&agent, 0, now);
        }
    }

    fn merge(&mut self, agent: &str, free: u64, now: Instant) {
        if self.merging.held.contains_key(agent) || self.merging.last.contains_key(agent) {
            return;
        }
        let here = |task: &&Task| task.is_worker() && task.record.agent == agent && !task.is_over();
        let workers: Vec<&Task> = self.tasks.values().filter(here).collect();
        let is_settled = |task: &&Task| {
            let mined = task.running_since.is_some_and(|since| now.duration_since(since) >= SETTLED);
            mined && task.is_running() && task.kill.is_none() && self.belongs(task)
        };
        let Some(biggest) = workers.iter().map(|task| task.record.cpus_milli).max() else { return };
        if !workers.iter().all(is_settled) {
            return;
        }
        let limits = &self.settings.placement.limits;
        let free = free.min(self.room().map_or(0, |(cpus, _)| cpus));
        let sum = workers.iter().map(|task| task.record.cpus_milli).sum::<u64>() + free;
        let merged = sum.min(limits.worker_cpus_milli.unwrap_or(u64::MAX));
        if merged < biggest.saturating_mul(2) {
            return;
        }
        let host = workers[0].record.host.clone();
        let workers: Vec<String> = workers.iter().map(|task| task.record.id.clone()).collect();
        self.publish(UserNotice::Merging { host, workers: workers.len(), cpus_milli: merged });
        for id in &workers {
            self.want_kill(id, now);
        }
        self.merging.last.insert(agent.to_owned(), now);
        self.merging.held.insert(agent.to_owned(), Held { workers, until: now + END, gathering: false });
    }

    /// When all have ended, waits a little for what they gave back, and then has it offered.
    fn release(&mut self, now: Instant) {
        let tasks = &self.tasks;
        for held in self.merging.held.values_mut().filter(|held| !held.gathering) {
            let is_over = |id: &String| tasks.get(id).is_none_or(Task::is_over);
            if held.workers.iter().all(is_over) {
                (held.until, held.gathering) = (now + GATHER, true);
            }
        }
        let before = self.merging.held.len();
        self.merging.held.retain(|_, held| held.until > now);
        self.offer_again |= self.merging.held.len() < before;
    }
}
