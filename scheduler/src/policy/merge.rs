//! Replaces several small workers on one agent by one big worker, if that is worthwhile.
//!
//! Mesos offers resources as they become free. So an agent may end up with several workers, each with its own memory, executor
//! and connection, and with idle CPU for which no memory is left. All workers of the agent are ended, and one is launched with
//! all of their resources, if
//! - there are several workers, or there is free CPU that cannot be used otherwise;
//! - the new worker would have at least twice the CPU of the biggest old one, within `--cpus-per-worker` and `--max-cpus`;
//! - all workers have mined for a while, and the agent's workers were not merged within the last half hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::{DeadlineQueue, Task};
use crate::offers::{DeclineReason, UnusedAgent};
use crate::user_notice::UserNotice;

/// Workers on one agent are merged into a larger one only when they have mined for this long.
const SETTLED: Duration = Duration::from_secs(60);
/// Minimum time between two merges on one agent.
const EVERY: Duration = Duration::from_secs(30 * 60);
/// If the workers that are to be merged have not all ended after this time, offers of their agent are used again.
const END: Duration = Duration::from_secs(30);
/// After the workers have ended, the master has this time to gather their resources, before REVIVE asks for them.
const GATHER: Duration = Duration::from_secs(3);

/// The step that a merge has reached. A merge replaces several workers on one agent by one larger worker.
#[derive(Debug)]
enum MergeInProgress {
    /// The workers are being ended.
    Ending {
        /// The ids of the workers that are to be merged.
        workers: Vec<String>,
        /// If the workers have not all ended by this time, the agent's offers are no longer declined.
        until: Instant,
    },
    /// The workers have ended, and the master gathers their resources to offer them together.
    Gathering {
        /// At this time, the agent's offers are no longer declined, and REVIVE asks for new ones.
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

/// The policy. While the workers of an agent end, the agent's offers are declined. Otherwise a small worker would be launched
/// again as soon as the first worker has ended. When the master has had time to gather the resources, REVIVE asks for them.
#[derive(Debug, Default)]
pub(super) struct Merge {
    in_progress: BTreeMap<String, MergeInProgress>,
    /// The ids of the agents whose workers were merged in the last half hour, each with the time when the merge began.
    last: BTreeMap<String, Instant>,
    /// The agents to check for workers that can be merged, each with the time of the check.
    due: DeadlineQueue<String>,
}

impl Policy for Merge {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                let workers = view.fleet.active().filter(|task| task.is_worker());
                let agents: BTreeSet<&str> = workers.map(Task::agent).collect();
                agents.into_iter().for_each(|agent| self.look_at(view, agent, now));
                Vec::new()
            }
            PolicyEvent::Alive { task, state: TaskState::TaskRunning, change }
                if change.before != Some(TaskState::TaskRunning) =>
            {
                self.look_at_agent_of(view, task, now)
            }
            PolicyEvent::Ended(ended) => self.look_at_agent_of(view, &ended.task, now),
            PolicyEvent::Assigned(worker) => self.look_at_agent_of(view, worker, now),
            PolicyEvent::Unused(unused) => self.merge_with_rest(view, unused, now),
            PolicyEvent::Tick if view.run.connected => {
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

    /// Schedules a check of an agent that has several workers. The check is due when the worker that started last has run for
    /// [`SETTLED`].
    fn look_at(&mut self, view: &View<'_>, agent: &str, now: Instant) {
        let workers: Vec<&Task> = view.fleet.on_agent(agent).filter(|task| task.is_worker()).collect();
        if workers.len() > 1 {
            let last = workers.iter().filter_map(|task| task.running_since).max();
            self.due.add(last.map_or(now, |last| last + SETTLED).max(now), agent.to_owned());
        }
    }

    /// Replaces the workers of an agent by one larger worker that also gets the agent's free CPU. This is done if no worker can
    /// be launched on the free CPU alone, because there is too little CPU or memory.
    fn merge_with_rest(&mut self, view: &View<'_>, unused: &UnusedAgent, now: Instant) -> Vec<Intent> {
        match unused.reason {
            DeclineReason::NoWorker { cpus_milli, reserved, .. } if cpus_milli > reserved => {
                self.merge(view, &unused.agent, cpus_milli - reserved, now)
            }
            // There is no free CPU that a larger worker could use. If the agent has several workers, `look_at` has scheduled a
            // check whether they can be merged.
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
        if view.mining_pause().is_some() {
            // Nothing is launched now, so a larger worker would have to wait.
            self.due.add(now + SETTLED, agent.to_owned());
            return Vec::new();
        }
        let workers: Vec<&Task> = view.fleet.on_agent(agent).filter(|task| task.is_worker()).collect();
        let is_settled = |task: &&Task| {
            let mined = task.running_since.is_some_and(|since| now.duration_since(since) >= SETTLED);
            mined
                && task.is_running()
                && !task.is_to_end()
                && view.belongs(task)
                && view.mines_where_wanted(task)
        };
        let cpus = |task: &&Task| task.record.cpus_milli();
        let Some(biggest) = workers.iter().map(cpus).max() else { return Vec::new() };
        if !workers.iter().all(is_settled) {
            // A worker has not mined for long enough yet, so the agent is checked again later.
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
        let ends = workers.iter().cloned().map(Intent::End);
        let hold = Intent::HoldOffers { agent: agent.to_owned(), held: true };
        let intents = [Intent::Notify(notice), hold].into_iter().chain(ends).collect();
        self.last.insert(agent.to_owned(), now);
        let merge = MergeInProgress::Ending { workers, until: now + END };
        self.in_progress.insert(agent.to_owned(), merge);
        intents
    }

    /// When all workers to be merged have ended, waits for the time [`GATHER`], so that the master can put their resources into
    /// one offer. Then asks for offers.
    fn release(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.last.retain(|_, last| now.duration_since(*last) < EVERY);
        let has_ended = |id: &String| view.fleet.get(id).is_none_or(Task::has_ended);
        for merge in self.in_progress.values_mut() {
            if matches!(merge, MergeInProgress::Ending { workers, .. } if workers.iter().all(has_ended)) {
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
            intents.push(Intent::ReviveOffers);
        }
        intents
    }
}
