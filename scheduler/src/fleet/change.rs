//! How tasks and agents change.

use std::time::{Duration, Instant};

use ::task::{Intervals, Live};
use mesos::v1::TaskState;

use super::agent::{Failed, Pause, Window};
use super::index::Facets;
use super::kills::Kill;
use super::task::{Health, Lifecycle, Slot, Task};
use super::{Fleet, LaunchLimit, held_offers, launched_with};
use crate::journal::TaskRecord;
use crate::offers::{Accept, UnusedAgent};

impl Fleet {
    /// Takes a task in. One with the same id must not be there.
    pub fn insert(&mut self, task: Task) {
        let facets = Facets::of(&task);
        let key = self.tasks.insert(task);
        if let Some(task) = self.tasks.get(key) {
            let held = held_offers(task).iter().map(|offer| (offer.clone(), key));
            self.index.held_for.extend(held);
            self.index.follow(key, task, None, Some(facets));
        }
    }

    /// Forgets a task.
    pub fn remove(&mut self, id: &str) -> Option<Task> {
        let (key, mut task) = self.tasks.remove(id)?;
        self.index.release(held_offers(&task));
        self.index.follow(key, &task, Some(Facets::of(&task)), None);
        self.rates.remove(key, &mut task);
        self.servers.remove(id);
        Some(task)
    }

    /// The only way in which a task changes.
    fn change<R>(&mut self, id: &str, change: impl FnOnce(&mut Task) -> R) -> Option<R> {
        let key = self.tasks.key(id)?;
        let task = self.tasks.get_mut(key)?;
        let before = Facets::of(task);
        let result = change(task);
        let after = Facets::of(task);
        if before != after {
            self.index.follow(key, task, Some(before), Some(after));
            if task.is_over() {
                self.rates.remove(key, task);
            }
        }
        Some(result)
    }

    /// Its launch is on disk and is sent; what it uses, unless it was called off.
    pub fn launch_sent(&mut self, id: &str, now: Instant) -> Option<Accept> {
        let launch = self.change(id, |task| {
            if !matches!(task.lifecycle, Lifecycle::Writing(_)) {
                return None;
            }
            match std::mem::replace(&mut task.lifecycle, Lifecycle::Launched { at: now }) {
                Lifecycle::Writing(launch) => Some(launch),
                _ => None,
            }
        })??;
        self.index.release(&launch.accept.offers);
        Some(launch.accept)
    }

    /// Takes the offers that are held for a task, to use them or to give them back.
    pub fn take_offers(&mut self, id: &str) -> Vec<String> {
        let offers = self.change(id, |task| match &mut task.lifecycle {
            Lifecycle::Writing(launch) => std::mem::take(&mut launch.accept.offers),
            Lifecycle::CalledOff { offers, .. } => std::mem::take(offers),
            _ => Vec::new(),
        });
        let offers = offers.unwrap_or_default();
        self.index.release(&offers);
        offers
    }

    /// Its launch is not to be sent, since its offers are void, and with it those of the other tasks on these offers.
    /// Returns the offers.
    pub fn call_off(&mut self, id: &str) -> Vec<String> {
        let offers = self.take_offers(id);
        let with = self.get(id).and_then(launched_with).map(<[String]>::to_vec);
        self.set_called_off(id, with.clone());
        for id in with.into_iter().flatten() {
            self.set_called_off(&id, None);
        }
        offers
    }

    fn set_called_off(&mut self, id: &str, with: Option<Vec<String>>) {
        self.change(id, |task| {
            if task.is_unsent() {
                task.lifecycle = Lifecycle::CalledOff { offers: Vec::new(), with };
            }
        });
    }

    /// All offers are void.
    pub fn call_off_all(&mut self) {
        let ids: Vec<String> = self.unsent().map(|task| task.id().to_owned()).collect();
        for id in ids {
            self.call_off(&id);
        }
    }

    /// What is written down of it is this now, its state with it.
    pub fn set_record(&mut self, record: TaskRecord, now: Instant) {
        let Some(key) = self.tasks.key(&record.id) else { return };
        let Some(task) = self.tasks.get_mut(key) else { return };
        let before = Facets::of(task);
        let reassigned = record.assignment != task.record.assignment;
        if reassigned {
            self.index.unassign(key, task);
        }
        // A task that the master was not told of has no state.
        if let Some(state) = record.state.filter(|_| !task.is_unsent()) {
            task.set_state(state, now);
        }
        task.record = record;
        if reassigned && before.is_present() {
            self.index.assign(key, task);
        }
        let after = Facets::of(task);
        self.index.follow(key, task, Some(before), Some(after));
        if task.is_over() {
            self.rates.remove(key, task);
        }
    }

    /// What it says of its health.
    pub fn set_health(&mut self, id: &str, healthy: bool, now: Instant) {
        self.change(id, |task| task.health = Some(Health { healthy, since: now }));
    }

    /// The version of the wire form of its last report.
    pub fn set_version(&mut self, id: &str, version: u32) {
        self.change(id, |task| task.version = Some(version));
    }

    /// An update with this uuid is on its way to the disk, or none is.
    pub fn set_pending(&mut self, id: &str, uuid: Option<Vec<u8>>) {
        self.change(id, |task| task.pending_uuid = uuid);
    }

    /// A live message; whether it is known now for the first time that it sends some.
    pub fn hear(&mut self, id: &str, live: Live, now: Instant) -> Option<bool> {
        let key = self.tasks.key(id)?;
        let task = self.tasks.get_mut(key)?;
        let told = match &live {
            Live::Worker(worker) => worker.intervals,
            Live::Pool(pool) => pool.intervals,
        };
        task.tells_intervals = told.is_some();
        task.intervals = told.or(task.intervals);
        task.live = Some((now, live));
        let first = task.silent_since.replace(now).is_none();
        self.rates.hear(key, task, now);
        Some(first)
    }

    /// The intervals that workers are to use.
    pub fn set_worker_intervals(&mut self, intervals: Intervals) {
        self.worker_intervals = Some(intervals);
    }

    /// What a task's specification says of its intervals.
    pub fn set_intervals(&mut self, id: &str, intervals: Intervals) {
        // No count or index depends on it.
        if let Some(task) = self.tasks.key(id).and_then(|key| self.tasks.get_mut(key)) {
            task.intervals = Some(intervals);
        }
    }

    /// It is one that sends live messages.
    pub fn expect_live(&mut self, id: &str, now: Instant) {
        self.change(id, |task| task.silent_since = Some(now));
    }

    /// Live messages that are too old count no more.
    pub fn expire(&mut self, now: Instant) {
        self.rates.expire(&mut self.tasks, now);
    }

    /// A worker counts against limits and constraints.
    pub fn hold_slot(&mut self, id: &str) {
        self.change(id, |task| task.slot = Slot::Held);
    }

    /// A worker no longer counts.
    pub fn release_slot(&mut self, id: &str) {
        self.change(id, |task| task.slot = Slot::Released);
    }

    /// Marks a task that is to end. A launch that is being written down is called off.
    pub fn want_end(&mut self, id: &str, now: Instant) {
        self.change(id, |task| {
            if let Lifecycle::Writing(launch) = &mut task.lifecycle {
                let (offers, with) = (std::mem::take(&mut launch.accept.offers), launch.with.take());
                task.lifecycle = Lifecycle::CalledOff { offers, with };
            }
            task.kill.get_or_insert(Kill::new(now));
        });
    }

    /// Marks a task that is to end although it returned: its KILLs begin anew.
    pub fn want_end_anew(&mut self, id: &str, now: Instant) {
        self.change(id, |task| task.kill = Some(Kill::new(now)));
    }

    /// Marks a task that is to end and whose executor does not answer: SHUTDOWN follows the next KILL.
    pub fn want_end_of_executor(&mut self, id: &str, now: Instant) {
        self.change(id, |task| task.kill = Some(Kill::last(now)));
    }

    /// The next KILL of all tasks that are to end is due now.
    pub fn kill_all_anew(&mut self, now: Instant) {
        let keys = self.index.kills.iter().map(|(_, key)| *key);
        let ids = keys.filter_map(|key| self.tasks.get(key)).map(|task| task.id().to_owned());
        for id in ids.collect::<Vec<_>>() {
            self.change(&id, |task| task.kill = task.kill.map(|kill| kill.due_at(now)));
        }
    }

    /// A KILL was sent.
    pub fn kill_sent(&mut self, id: &str, now: Instant) {
        self.change(id, |task| {
            if let Some(kill) = &mut task.kill {
                kill.count(now);
            }
        });
    }

    /// Nothing could be heard until now: what was not heard is held against nobody. Times begin anew, those of states only
    /// if `all`, since a subscription that is renewed says what became of them.
    pub fn listen_anew(&mut self, all: bool, now: Instant) {
        self.tasks.for_each_mut(|task| {
            task.silent_since = task.silent_since.map(|_| now);
            match &mut task.lifecycle {
                Lifecycle::Launched { at } => *at = now,
                Lifecycle::Present { state, since, launched } if all => match state {
                    TaskState::TaskStaging | TaskState::TaskStarting => *launched = now,
                    TaskState::TaskUnreachable => *since = now,
                    _ => {}
                },
                _ => {}
            }
            if all && let Some(health) = &mut task.health {
                health.since = now;
            }
        });
    }

    /// The framework is no more, and its tasks with it. What is known of agents still holds.
    pub fn forget_tasks(&mut self) {
        let agents = std::mem::take(&mut self.agents);
        let index = self.index.empty();
        let launch_limit = self.launch_limit.take();
        *self = Self { agents, index, launch_limit, ..Self::default() };
    }

    /// Limits launches, or does not.
    pub fn limit_launches(&mut self, limit: Option<LaunchLimit>) {
        self.launch_limit = limit;
    }

    // Servers.

    /// A server is in service from now on.
    pub fn take_into_service(&mut self, id: &str) {
        self.servers.insert(id);
    }

    /// A server is given up; whether it was in service.
    pub fn take_out_of_service(&mut self, id: &str) -> bool {
        self.servers.remove(id)
    }

    /// A server is to move to another agent: it gets no more workers.
    pub fn set_moving(&mut self, id: &str) {
        self.servers.set_moving(id);
    }

    // Agents.

    /// Counts a failure of a task on its agent; one that other agents have in common makes no pause. Returns the pause that
    /// begins, and its length.
    pub fn fail_agent(&mut self, task: &str, common: bool, now: Instant) -> Option<(Pause, Duration)> {
        let task = self.get(task)?;
        let ran = task.running_since().map(|since| now.duration_since(since));
        let failed = Failed { launched: task.was_launched(), ran };
        let agent = task.agent().to_owned();
        if common {
            self.agents.count_failure(&agent, failed, now);
            return None;
        }
        self.agents.fail(&agent, failed, now)
    }

    /// Remembers why nothing is launched on an agent. Returns whether the reason is new.
    pub fn note_unused(&mut self, unused: &UnusedAgent, now: Instant) -> bool {
        self.agents.note_unused(unused, now)
    }

    /// Something is launched on an agent.
    pub fn forget_unused(&mut self, agent: &str) {
        self.agents.forget_unused(agent);
    }

    /// Sets or clears an agent's maintenance window.
    pub fn set_window(&mut self, agent: &str, window: Option<Window>) {
        self.agents.change(agent, |agent| agent.window = window);
    }

    /// What was said of machines that go away is void.
    pub fn forget_windows(&mut self) {
        self.agents.forget_windows();
    }

    /// Whether an agent's offers are declined until they can come as one.
    pub fn hold_offers(&mut self, agent: &str, held: bool) {
        self.agents.change(agent, |agent| agent.held = held);
    }

    /// What is old says nothing of agents any more.
    pub fn forget_old_of_agents(&mut self, now: Instant) {
        self.agents.forget_old(now);
    }
}
