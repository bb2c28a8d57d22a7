//! Several small workers of one agent become one big one, when that pays.
//!
//! Mesos offers an agent in pieces: what others give back one by one becomes worker after worker, each with memory,
//! executor and connection of its own; and CPU may lie idle beside them because there is no memory for another one.
//! The rule: all workers of the agent are ended, and one launched with all, if
//! - there are several, or CPU is free that cannot be used otherwise;
//! - the one would have at least twice the CPU of the biggest (`--cpus-per-worker` and `--max-cpus` included);
//! - all of them have mined for a while, and the agent's workers were not merged within the last half hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::fleet::{DueQueue, Task};
use crate::offers::{DeclineReason, UnusedAgent};
use crate::user_notice::UserNotice;

/// A worker must have mined so long.
const SETTLED: Duration = Duration::from_secs(60);
/// Least time between two mergers on one agent.
const EVERY: Duration = Duration::from_secs(30 * 60);
/// For the workers to end; their grace period is shorter.
const END: Duration = Duration::from_secs(30);
/// For what they gave back to be offered together.
const GATHER: Duration = Duration::from_secs(3);

/// How far the merging of an agent's workers has come.
#[derive(Debug)]
enum MergeInProgress {
    /// The workers end.
    Ending {
        /// Their ids.
        workers: Vec<String>,
        /// The deadline for their end.
        until: Instant,
    },
    /// The master gathers what they gave back, to offer it as one.
    Gathering {
        /// When it is asked for.
        until: Instant,
    },
}

impl MergeInProgress {
    fn until(&self) -> Instant {
        match self {
            Self::Ending { until, .. } | Self::Gathering { until } => *until,
        }
    }
}

/// The rule. While the workers of an agent end, its offers are declined, since every piece would become a small worker
/// again. When their resources have had time to gather, REVIVE asks for them.
#[derive(Debug, Default)]
pub(super) struct Merge {
    in_progress: BTreeMap<String, MergeInProgress>,
    /// When the workers of an agent were last merged.
    last: BTreeMap<String, Instant>,
    /// Agents on which merging may have begun to pay.
    due: DueQueue<String>,
}

impl Policy for Merge {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Started => {
                let workers = view.fleet.present().filter(|task| task.is_worker());
                let agents: BTreeSet<&str> = workers.map(Task::agent).collect();
                agents.into_iter().for_each(|agent| self.look_at(view, agent, now));
                Vec::new()
            }
            Happening::Alive { task, state: TaskState::TaskRunning, change }
                if change.before != Some(TaskState::TaskRunning) =>
            {
                self.look_at_agent_of(view, task, now)
            }
            Happening::Ended(ended) => self.look_at_agent_of(view, &ended.task, now),
            Happening::Assigned { worker } => self.look_at_agent_of(view, worker, now),
            Happening::Unused(unused) => self.merge_with_rest(view, unused, now),
            Happening::Tick if view.session.connected => {
                let mut intents = self.release(view, now);
                for agent in self.due.take_all(now) {
                    intents.extend(self.merge(view, &agent, 0, now));
                }
                intents
            }
            _ => Vec::new(),
        }
    }
}

impl Merge {
    fn look_at_agent_of(&mut self, view: &View<'_>, task: &str, now: Instant) -> Vec<Intent> {
        if let Some(task) = view.fleet.get(task) {
            self.look_at(view, task.agent(), now);
        }
        Vec::new()
    }

    /// Looks at an agent with several workers when the last of them has settled.
    fn look_at(&mut self, view: &View<'_>, agent: &str, now: Instant) {
        let workers: Vec<&Task> = view.fleet.on_agent(agent).filter(|task| task.is_worker()).collect();
        if workers.len() > 1 {
            let last = workers.iter().filter_map(|task| task.running_since()).max();
            self.due.add(last.map_or(now, |last| last + SETTLED).max(now), agent.to_owned());
        }
    }

    /// CPU is free on an agent, but not enough for a worker, or nothing else is.
    fn merge_with_rest(&mut self, view: &View<'_>, unused: &UnusedAgent, now: Instant) -> Vec<Intent> {
        match unused.reason {
            DeclineReason::NoWorker { cpus_milli, reserved, .. } if cpus_milli > reserved => {
                self.merge(view, &unused.agent, cpus_milli - reserved, now)
            }
            // Without CPU to gain, only workers that are several can be merged, and those are looked at when they settle.
            _ => Vec::new(),
        }
    }

    fn merge(&mut self, view: &View<'_>, agent: &str, free: u64, now: Instant) -> Vec<Intent> {
        if self.in_progress.contains_key(agent) {
            return Vec::new();
        }
        if let Some(last) = self.last.get(agent) {
            self.due.add(*last + EVERY, agent.to_owned());
            return Vec::new();
        }
        let workers: Vec<&Task> = view.fleet.on_agent(agent).filter(|task| task.is_worker()).collect();
        let is_settled = |task: &&Task| {
            let mined = task.running_since().is_some_and(|since| now.duration_since(since) >= SETTLED);
            mined && task.is_running() && !task.is_to_end() && view.belongs(task)
        };
        let cpus = |task: &&Task| task.record().cpus_milli();
        let Some(biggest) = workers.iter().map(cpus).max() else { return Vec::new() };
        if !workers.iter().all(is_settled) {
            // Who does not settle may end, or be forgotten before it began.
            if workers.len() > 1 {
                self.due.add(now + SETTLED, agent.to_owned());
            }
            return Vec::new();
        }
        let limits = &view.settings.placement.limits;
        let free = free.min(view.room().map_or(0, |(cpus, _)| cpus));
        let sum = workers.iter().map(cpus).sum::<u64>() + free;
        let merged = sum.min(limits.worker_cpus_milli.unwrap_or(u64::MAX));
        if merged < biggest.saturating_mul(2) {
            return Vec::new();
        }
        self.begin(agent, &workers, merged, now)
    }

    fn begin(&mut self, agent: &str, workers: &[&Task], merged: u64, now: Instant) -> Vec<Intent> {
        let Some(host) = workers.first().map(|task| task.host().to_owned()) else { return Vec::new() };
        let workers: Vec<String> = workers.iter().map(|task| task.id().to_owned()).collect();
        let notice = UserNotice::Merging { host, workers: workers.len(), cpus_milli: merged };
        let ends = workers.iter().map(|task| Intent::End { task: task.clone() });
        let hold = Intent::HoldOffers { agent: agent.to_owned(), held: true };
        let intents = [Intent::Notify(notice), hold].into_iter().chain(ends).collect();
        self.last.insert(agent.to_owned(), now);
        let merge = MergeInProgress::Ending { workers, until: now + END };
        self.in_progress.insert(agent.to_owned(), merge);
        intents
    }

    /// When all have ended, waits a little for what they gave back, and then has it offered.
    fn release(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.last.retain(|_, last| now.duration_since(*last) < EVERY);
        let is_over = |id: &String| view.fleet.get(id).is_none_or(Task::is_over);
        for merge in self.in_progress.values_mut() {
            if matches!(merge, MergeInProgress::Ending { workers, .. } if workers.iter().all(is_over)) {
                *merge = MergeInProgress::Gathering { until: now + GATHER };
            }
        }
        let mut intents = Vec::new();
        self.in_progress.retain(|agent, merge| {
            if merge.until() <= now {
                intents.push(Intent::HoldOffers { agent: agent.clone(), held: false });
            }
            merge.until() > now
        });
        if !intents.is_empty() {
            intents.push(Intent::WantOffers);
        }
        intents
    }
}
