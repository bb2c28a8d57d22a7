//! Functions that change tasks. Each of them also updates the fleet's counts and indexes.

use std::time::{Duration, Instant};

use ::task::{Intervals, Live, Totals};
use mesos::v1::TaskState;
use problem::Problem;

use super::agent::{Failed, Pause};
use super::index::IndexKeys;
use super::lifecycle::{Lifecycle, Slot};
use super::task::{Health, Kill, LIVE, Task, TaskProblem};
use super::{Fleet, ServerState};
use crate::journal::TaskRecord;
use crate::offers::PlannedTask;

impl Fleet {
    /// Adds a task. No other task may have the same id.
    pub fn insert(&mut self, task: Task) {
        let keys = IndexKeys::of(&task);
        let key = self.tasks.insert(task);
        if let Some(task) = self.tasks.get(key) {
            let held = task.held_offers().iter().map(|offer| (offer.clone(), key));
            self.index.held_for.extend(held);
            self.index.follow(key, task, None, Some(keys));
        }
    }

    /// Removes a task.
    pub fn remove(&mut self, id: &str) -> Option<Task> {
        let (key, mut task) = self.tasks.remove(id)?;
        self.index.release(task.held_offers());
        self.index.follow(key, &task, Some(IndexKeys::of(&task)), None);
        self.hashrates.remove(key, &mut task);
        self.unaccounted.remove(&mut task);
        self.with_problem.remove(&key);
        self.servers.remove(id);
        Some(task)
    }

    /// Changes a task.
    fn change<R>(&mut self, id: &str, change: impl FnOnce(&mut Task) -> R) -> Option<R> {
        let key = self.tasks.key(id)?;
        let task = self.tasks.get_mut(key)?;
        let before = IndexKeys::of(task);
        let result = change(task);
        let after = IndexKeys::of(task);
        if before != after {
            self.index.follow(key, task, Some(before), Some(after));
            if task.has_ended() {
                self.hashrates.remove(key, task);
                self.unaccounted.remove(task);
            }
        }
        Some(result)
    }

    /// Changes a task whose launch is on disk to a launched task, because the launch is sent now. Returns the planned task,
    /// unless the launch was cancelled.
    pub fn launch_sent(&mut self, id: &str, now: Instant) -> Option<PlannedTask> {
        self.get(id)?.planned_launch()?;
        let launched = Lifecycle::Launched { at: now, unanswered_since: now };
        let before = self.change(id, |task| std::mem::replace(&mut task.lifecycle, launched))?;
        let Lifecycle::Persisting(launch) = before else { return None };
        self.index.release(&launch.planned.offers);
        Some(launch.planned)
    }

    /// Returns the offers that were reserved for a task, and ends their reservation. The caller accepts or declines them.
    pub fn take_offers(&mut self, id: &str) -> Vec<String> {
        let offers = self.change(id, |task| match &mut task.lifecycle {
            Lifecycle::Persisting(launch) => std::mem::take(&mut launch.planned.offers),
            Lifecycle::Cancelled { offers, .. } => std::mem::take(offers),
            _ => Vec::new(),
        });
        let offers = offers.unwrap_or_default();
        self.index.release(&offers);
        offers
    }

    /// Cancels the launch of a task whose offers are void, and the launches of the other tasks on these offers. Returns the
    /// offers.
    pub fn cancel_launch(&mut self, id: &str) -> Vec<String> {
        let offers = self.take_offers(id);
        let with = self.get(id).and_then(Task::launched_with).map(<[String]>::to_vec);
        self.set_cancelled(id, with.clone());
        for id in with.into_iter().flatten() {
            self.set_cancelled(&id, None);
        }
        offers
    }

    fn set_cancelled(&mut self, id: &str, with: Option<Vec<String>>) {
        self.change(id, |task| {
            if task.is_unsent() {
                task.lifecycle = Lifecycle::Cancelled { offers: Vec::new(), with };
            }
        });
    }

    /// Cancels all launches that have not been sent yet.
    pub fn cancel_all_launches(&mut self) {
        let ids: Vec<String> = self.unsent().map(|task| task.id().to_owned()).collect();
        for id in ids {
            self.cancel_launch(&id);
        }
    }

    /// Replaces the record of a task, and sets the task's state to the one in the record.
    pub fn set_record(&mut self, record: TaskRecord, now: Instant) {
        let Some(key) = self.tasks.key(&record.id) else { return };
        let Some(task) = self.tasks.get_mut(key) else { return };
        let (before, ran) = (IndexKeys::of(task), task.is_running());
        let reassigned = record.assignment != task.record.assignment;
        if reassigned {
            self.index.unassign(key, task);
        }
        // A task whose launch has not been sent has no state.
        if let Some(state) = record.state.filter(|_| !task.is_unsent()) {
            task.set_state(state, now);
        }
        task.record = record;
        let has_begun = task.is_running() && !ran;
        if has_begun {
            task.problem = None;
        }
        if has_begun || task.has_ended() {
            self.with_problem.remove(&key);
        }
        if reassigned && before.is_active() {
            self.index.assign(key, task);
        }
        let after = IndexKeys::of(task);
        self.index.follow(key, task, Some(before), Some(after));
        if task.has_ended() {
            self.hashrates.remove(key, task);
            self.unaccounted.remove(task);
        }
    }

    /// Sets the health that a task reports.
    pub fn set_health(&mut self, id: &str, healthy: bool, now: Instant) {
        self.change(id, |task| task.health = Some(Health { healthy, since: now }));
    }

    /// Records that the end of a task is known, although no update on disk reports it yet.
    pub fn set_ending(&mut self, id: &str) {
        // The indexes need not be updated, because none depends on this field.
        if let Some(task) = self.tasks.key(id).and_then(|key| self.tasks.get_mut(key)) {
            task.is_ending = true;
        }
    }

    /// Records that the executor of a task has terminated, so that the end of the task is known. An update will report it.
    pub fn set_executor_terminated(&mut self, id: &str, status: Option<i32>) {
        // As above, no index depends on these fields.
        if let Some(task) = self.tasks.key(id).and_then(|key| self.tasks.get_mut(key)) {
            task.is_ending = true;
            task.executor_status = status;
        }
    }

    /// Sets the version of the wire format in which a task's last report was written.
    pub fn set_version(&mut self, id: &str, version: u32) {
        self.change(id, |task| task.version = Some(version));
    }

    /// Sets the uuid of the update that is being persisted.
    pub fn set_pending(&mut self, id: &str, uuid: Option<Vec<u8>>) {
        self.change(id, |task| task.pending_uuid = uuid);
    }

    /// Handles a live message. Returns whether it is the task's first one; `None` if there is no such task.
    pub fn on_live_message(&mut self, id: &str, mut live: Live, now: Instant) -> Option<bool> {
        let (intervals, problem) = match &mut live {
            Live::Worker(worker) => (worker.intervals, worker.problem.take()),
            Live::Pool(pool) => (pool.intervals, pool.problem.take()),
        };
        self.set_problem(id, problem, now);
        let key = self.tasks.key(id)?;
        let task = self.tasks.get_mut(key)?;
        task.tells_intervals = intervals.is_some();
        task.intervals = intervals.or(task.intervals);
        task.live = Some((now, live));
        task.first_live_due = None;
        let first = task.silent_since.replace(now).is_none();
        self.hashrates.update(key, task, now);
        Some(first)
    }

    /// Compares the last live message of a task with the totals that the ledger has of the task.
    pub fn set_accounted(&mut self, id: &str, accounted: &Totals) {
        if let Some(task) = self.tasks.key(id).and_then(|key| self.tasks.get_mut(key)) {
            self.unaccounted.update(task, accounted);
        }
    }

    /// Sets what a task says it waits for; `None` if it works.
    pub fn set_problem(&mut self, id: &str, problem: Option<Problem>, now: Instant) {
        let Some(key) = self.tasks.key(id) else { return };
        let Some(task) = self.tasks.get_mut(key) else { return };
        let before = task.problem.take();
        task.problem = problem.map(|problem| {
            let since =
                before.filter(|before| before.problem.kind == problem.kind).map(|before| before.since);
            Box::new(TaskProblem { since: since.unwrap_or(now), at: now, problem })
        });
        if task.problem.is_some() && !task.has_ended() {
            self.with_problem.insert(key);
        } else {
            self.with_problem.remove(&key);
        }
    }

    /// Sets the intervals that a task's specification contains.
    pub fn set_intervals(&mut self, id: &str, intervals: Intervals) {
        // The indexes need not be updated, because none depends on the intervals.
        if let Some(task) = self.tasks.key(id).and_then(|key| self.tasks.get_mut(key)) {
            task.intervals = Some(intervals);
        }
    }

    /// Expects live messages of a task from now on.
    pub fn expect_live(&mut self, id: &str, now: Instant) {
        self.change(id, |task| task.silent_since = Some(now));
    }

    /// Forgets the hashrates of live messages that are no longer recent.
    pub fn expire_hashrates(&mut self, now: Instant) {
        self.hashrates.expire(&mut self.tasks, now);
    }

    /// Stops waiting for servers' first live messages that are overdue: a server that runs the user's own image, for example,
    /// sends none.
    pub fn expire_first_live(&mut self, now: Instant) {
        for server in self.servers.keys() {
            if let Some(task) = self.tasks.key(server).and_then(|key| self.tasks.get_mut(key)) {
                // The indexes need not be updated, because none depends on this time.
                task.first_live_due = task.first_live_due.filter(|due| *due > now);
            }
        }
    }

    /// Sets whether a worker counts against limits and constraints.
    pub fn set_slot(&mut self, id: &str, slot: Slot) {
        self.change(id, |task| task.slot = slot);
    }

    /// Begins to end a task: a KILL is due now. If the task is already to end, its next KILL keeps its time. If its launch has
    /// not been sent yet, the launch is cancelled.
    pub fn want_end(&mut self, id: &str, now: Instant) {
        self.change(id, |task| {
            if let Lifecycle::Persisting(launch) = &mut task.lifecycle {
                let (offers, with) = (std::mem::take(&mut launch.planned.offers), launch.with.take());
                task.lifecycle = Lifecycle::Cancelled { offers, with };
            }
            task.kill.get_or_insert(Kill::new(now));
        });
    }

    /// Begins to end a task that has reappeared. Its sequence of KILLs starts again.
    pub fn want_end_of_returned(&mut self, id: &str, now: Instant) {
        self.change(id, |task| task.kill = Some(Kill::new(now)));
    }

    /// Begins to end a task whose executor does not respond: SHUTDOWN follows the next KILL.
    pub fn want_end_of_executor(&mut self, id: &str, now: Instant) {
        self.change(id, |task| task.kill = Some(Kill::last(now)));
    }

    /// For each task that must be ended, makes the next KILL due now.
    pub fn make_all_kills_due(&mut self, now: Instant) {
        let keys = self.index.kills.iter().map(|(_, key)| *key);
        let ids = keys.filter_map(|key| self.tasks.get(key)).map(|task| task.id().to_owned());
        for id in ids.collect::<Vec<_>>() {
            self.change(&id, |task| task.kill = task.kill.map(|kill| kill.due_at(now)));
        }
    }

    /// Counts a KILL that was sent.
    pub fn kill_sent(&mut self, id: &str, now: Instant) {
        self.change(id, |task| {
            if let Some(kill) = &mut task.kill {
                kill.count(now);
            }
        });
    }

    /// Restarts the timeouts after which the scheduler gives up on silent tasks. It is called when the scheduler itself could
    /// not receive messages for some time. If `all` is false, the timeouts of unreachable and unhealthy tasks continue.
    pub fn restart_timers(&mut self, all: bool, now: Instant) {
        self.tasks.for_each_mut(|task| {
            task.silent_since = task.silent_since.map(|_| now);
            task.first_live_due = task.first_live_due.map(|_| now + LIVE);
            match &mut task.lifecycle {
                Lifecycle::Launched { unanswered_since, .. } => *unanswered_since = now,
                Lifecycle::Reported { state: TaskState::TaskUnreachable, since, .. } if all => *since = now,
                _ => {}
            }
            if all && let Some(health) = &mut task.health {
                health.since = now;
            }
        });
    }

    /// Removes all tasks and servers, since the framework has ended. The launch limit and what is known about agents are kept.
    pub fn forget_tasks(&mut self) {
        let agents = std::mem::take(&mut self.agents);
        let index = self.index.empty();
        let launch_limit = self.launch_limit.take();
        *self = Self { agents, index, launch_limit, ..Self::default() };
    }

    /// Marks a server as draining: no more workers are assigned to it.
    pub fn drain_server(&mut self, id: &str) {
        if let Some(state) = self.servers.get_mut(id) {
            *state = ServerState::Draining;
        }
    }

    /// Counts a failure of a task on its agent. A failure that several agents have in common causes no pause. If a pause
    /// begins, it lasts at least `least`, and is returned together with its length.
    pub fn count_failure(
        &mut self,
        task: &str,
        common: bool,
        least: Duration,
        now: Instant,
    ) -> Option<(Pause, Duration)> {
        let task = self.get(task)?;
        let ran = task.running_since.map(|since| now.duration_since(since));
        let failed = Failed { launched: task.was_launched(), ran, least };
        let agent = task.agent().to_owned();
        if common {
            self.agents.count_failure(&agent, failed, now);
            return None;
        }
        self.agents.fail(&agent, failed, now)
    }
}
