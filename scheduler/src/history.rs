//! The part of the framework's state that outlives its tasks: its id and age, its ledger, and what remains of retired tasks.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use problem::{Problem, ProblemKind};

use crate::fleet::{Fleet, Task};
use crate::journal::{
    Account, AvoidedAgent, Controls, Entry, Ledger, Records, RecoveredState, Removal, RetiredTasks,
    TaskRecord,
};
use crate::offers::WorkerLimits;
use crate::task_id::{TaskKind, task_id};

/// Maximum number of failed tasks that are stored for display; the oldest is dropped first.
const FAILURES: usize = 100;
/// At least for this many workers, and at most for twice as many, it is stored when their last block was found.
const BLOCKS: usize = 1000;

/// The part of the framework's state that outlives its tasks.
#[derive(Debug)]
pub struct History {
    /// The framework, if there is one that has not ended.
    pub framework: Option<Framework>,
    /// The ledger.
    pub ledger: Ledger,
    /// What is kept of the tasks that ended long ago.
    pub retired: RetiredTasks,
    /// The highest number of workers that have run at the same time.
    pub peak_workers: u64,
    /// The highest value of `peak_workers` that was given to the store.
    pub persisted_peak: u64,
    /// The tasks that failed most recently, to be shown to the user.
    pub(crate) failures: RecentFailures,
    /// When this run of the scheduler learned of blocks, to be shown to the user.
    pub(crate) block_times: BlockTimes,
    /// The problems that exist now, to be shown to the user. Those of agents are in the fleet.
    pub(crate) problems: BTreeMap<Topic, Problem>,
    /// What holds because operators have said so.
    pub(crate) controls: Controls,
    avoided: BTreeMap<String, AvoidedAgent>,
    next_number: u64,
    /// The framework's age at an earlier instant, and that instant.
    age: (Duration, Instant),
}

impl History {
    /// Continues with the recovered state, except for its tasks. `age` is the framework's age at `now`.
    pub fn new(recovered: RecoveredState, age: Duration, now: Instant) -> Self {
        let avoided = recovered.avoided.into_iter().map(|agent| (agent.agent.clone(), agent));
        Self {
            framework: recovered.framework.map(|it| Framework {
                id: it.id,
                failover_ms: it.failover_ms,
                tearing_down: it.tearing_down,
                removal: it.removal,
            }),
            ledger: recovered.ledger,
            retired: recovered.retired,
            peak_workers: recovered.peak_workers,
            persisted_peak: recovered.peak_workers,
            failures: RecentFailures::default(),
            block_times: BlockTimes::default(),
            problems: BTreeMap::new(),
            controls: recovered.controls,
            avoided: avoided.collect(),
            next_number: recovered.next_number.max(1),
            age: (age, now),
        }
    }

    /// The id for a new task.
    pub fn new_task_id(&mut self, kind: TaskKind) -> String {
        let id = task_id(kind, self.next_number);
        self.next_number += 1;
        id
    }

    /// Sets the problem of a topic, or clears it with `None`.
    pub(crate) fn set_problem(&mut self, topic: Topic, problem: Option<Problem>) {
        match problem {
            Some(problem) => drop(self.problems.insert(topic, problem)),
            None => drop(self.problems.remove(&topic)),
        }
    }

    /// Why nothing is to be launched on an agent; `None` if tasks may be launched there.
    pub fn avoids(&self, agent: &str, host: &str) -> Option<&AvoidedAgent> {
        if self.avoided.is_empty() {
            return None;
        }
        self.avoided.get(agent).or_else(|| self.avoided.get(host))
    }

    /// The agents on which nothing is to be launched, by id or host name.
    pub fn avoided(&self) -> &BTreeMap<String, AvoidedAgent> {
        &self.avoided
    }

    /// The limits that hold now: those of the options, and those that an operator has set within them.
    pub fn limits(&self, options: &WorkerLimits) -> WorkerLimits {
        let Some(scale) = &self.controls.scale else { return *options };
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        WorkerLimits {
            max_workers: least(options.max_workers, scale.limits.max_workers),
            max_cpus_milli: least(options.max_cpus_milli, scale.limits.max_cpus_milli),
            ..*options
        }
    }

    /// The framework's age.
    pub fn age(&self, now: Instant) -> Duration {
        self.age.0 + now.duration_since(self.age.1)
    }
}

/// A framework that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framework {
    /// The framework's id.
    pub id: String,
    /// The failover timeout that the master knows, in milliseconds; `None` if it is not recorded.
    pub failover_ms: Option<u64>,
    /// Whether this run of the scheduler, or an earlier run, has decided to send TEARDOWN.
    pub tearing_down: bool,
    /// The record of the framework's removal by the master; `None` if the master has not removed it.
    pub removal: Option<Removal>,
}

/// Who sets a problem: each topic has at most one problem at a time, and one owner that sets and clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The records on disk. Set by the driver.
    Store,
    /// The subscription. Set by the driver, and cleared when the master has accepted a subscription.
    Subscription,
    /// An executor could not run on an agent.
    Executor,
    /// The master makes no offers.
    Offers,
    /// The launch of the server takes unusually long.
    ServerLaunch,
    /// The server has as many workers as it admits.
    Admission,
    /// An operator has paused mining.
    MiningPause,
    /// Agents wait for their turn to fetch the executor.
    Fetching,
    /// A server is to be replaced because it does not match the present options, but there is no room for the new server yet.
    ReplacingServer,
    /// Workers that do not match the present options are being replaced, or their replacement is paused.
    Replacing,
    /// Launches of workers take unusually long.
    WorkerLaunches,
    /// Tasks that say they wait for something of this kind, or have failed because of it.
    Tasks(ProblemKind),
}

/// The last failures of tasks.
#[derive(Debug, Default)]
pub(crate) struct RecentFailures {
    /// The failures, and when each happened; the newest is first.
    failures: VecDeque<(Instant, TaskFailure)>,
    /// How many failures there were.
    count: u64,
}

impl RecentFailures {
    pub fn push(&mut self, task: &str, host: &str, text: &str, now: Instant) {
        self.failures.truncate(FAILURES - 1);
        self.count += 1;
        let (task, host, text) = (task.to_owned(), host.to_owned(), text.to_owned());
        let (ago, stderr, sandbox) = Default::default();
        let failure = TaskFailure { number: self.count, ago, task, host, text, stderr, sandbox };
        self.failures.push_front((now, failure));
    }

    /// Adds what was read of a task's sandbox to its last failure, whose text then says more.
    pub fn add_stderr(&mut self, task: &str, text: String, stderr: Option<String>, sandbox: Option<String>) {
        if let Some((_, failure)) = self.failures.iter_mut().find(|(_, failure)| failure.task == task) {
            (failure.text, failure.stderr, failure.sandbox) = (text, stderr, sandbox);
        }
    }

    /// The text of the last failure on a host.
    pub fn last_on(&self, host: &str) -> Option<&str> {
        let (_, failure) = self.failures.iter().find(|(_, failure)| failure.host == host)?;
        Some(&failure.text)
    }

    /// At most `limit` failures, the newest first.
    pub fn list(&self, limit: usize, now: Instant) -> Vec<TaskFailure> {
        let aged = |(at, failure): &(Instant, TaskFailure)| TaskFailure {
            ago: now.duration_since(*at),
            ..failure.clone()
        };
        self.failures.iter().take(limit).map(aged).collect()
    }
}

/// When blocks were found: a worker's name → when this run of the scheduler learned of the worker's last block.
#[derive(Debug, Default)]
pub(crate) struct BlockTimes(HashMap<String, Instant>);

impl BlockTimes {
    fn note(&mut self, worker: &str, now: Instant) {
        self.0.insert(worker.to_owned(), now);
        // Half of them go at once, so that a report of many blocks costs little for each.
        if self.0.len() >= 2 * BLOCKS {
            let mut all: Vec<(String, Instant)> = self.0.drain().collect();
            all.select_nth_unstable_by_key(BLOCKS, |(_, at)| Reverse(*at));
            all.truncate(BLOCKS);
            self.0.extend(all);
        }
    }

    /// When this run of the scheduler learned of the worker's last block.
    pub fn last(&self, worker: &str) -> Option<Instant> {
        self.0.get(worker).copied()
    }
}

/// A task that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// The number of the failure in this run of the scheduler; the first is 1.
    pub number: u64,
    /// How long ago the task failed.
    pub ago: Duration,
    /// The task's id.
    pub task: String,
    /// The host name of the task's agent.
    pub host: String,
    /// The state in which the task ended, or why the scheduler gave up on it.
    pub text: String,
    /// The end of the executor's standard error, if it was read for this failure.
    pub stderr: Option<String>,
    /// The address of the executor's sandbox for a browser, if it is known.
    pub sandbox: Option<String>,
}

/// The records in memory: tasks are in the fleet, all else is in the history.
#[derive(Debug)]
pub(crate) struct InMemoryRecords<'a> {
    pub fleet: &'a mut Fleet,
    pub history: &'a mut History,
    pub now: Instant,
}

impl Records for InMemoryRecords<'_> {
    type Error = Infallible;

    fn framework(&self) -> Result<Option<Cow<'_, str>>, Infallible> {
        Ok(self.history.framework.as_ref().map(|framework| Cow::Borrowed(framework.id.as_str())))
    }

    fn begin_framework(&mut self, id: &str, _now_ms: u64) -> Result<(), Infallible> {
        self.history.framework =
            Some(Framework { id: id.to_owned(), failover_ms: None, tearing_down: false, removal: None });
        Ok(())
    }

    fn end_framework(&mut self, _now_ms: u64) -> Result<(), Infallible> {
        self.fleet.forget_tasks();
        let recovered = RecoveredState {
            next_number: self.history.next_number,
            avoided: std::mem::take(&mut self.history.avoided).into_values().collect(),
            controls: std::mem::take(&mut self.history.controls),
            ..RecoveredState::default()
        };
        *self.history = History::new(recovered, Duration::ZERO, self.now);
        Ok(())
    }

    fn set_failover_timeout(&mut self, ms: u64) -> Result<(), Infallible> {
        if let Some(framework) = &mut self.history.framework {
            framework.failover_ms = Some(ms);
        }
        Ok(())
    }

    fn set_tearing_down(&mut self, tearing_down: bool) -> Result<(), Infallible> {
        if let Some(framework) = &mut self.history.framework {
            framework.tearing_down = tearing_down;
        }
        Ok(())
    }

    fn mark_removed(&mut self, removal: Removal) -> Result<(), Infallible> {
        if let Some(framework) = &mut self.history.framework {
            framework.removal = Some(removal);
        }
        Ok(())
    }

    fn task(&self, id: &str) -> Result<Option<Cow<'_, TaskRecord>>, Infallible> {
        Ok(self.fleet.get(id).map(|task| Cow::Borrowed(&task.record)))
    }

    fn put_task(&mut self, task: TaskRecord) -> Result<(), Infallible> {
        match self.fleet.get(&task.id) {
            Some(_) => self.fleet.set_record(task, self.now),
            None => self.fleet.insert(Task::recovered(task, self.now)),
        }
        Ok(())
    }

    fn remove_task(&mut self, id: &str) -> Result<(), Infallible> {
        self.fleet.remove(id);
        Ok(())
    }

    fn has_retired(&self, id: &str) -> Result<bool, Infallible> {
        Ok(self.history.retired.contains(id))
    }

    fn retire_task(&mut self, task: TaskRecord) -> Result<(), Infallible> {
        self.fleet.remove(&task.id);
        self.history.retired.insert(&task);
        Ok(())
    }

    fn account(&self, reporter: &str, worker: &str) -> Result<Option<Entry>, Infallible> {
        Ok(self.history.ledger.entry(reporter, worker).copied())
    }

    fn put_account(&mut self, account: Account<'_>) -> Result<(), Infallible> {
        let blocks = self.history.ledger.blocks();
        self.history.ledger.put(account);
        if self.history.ledger.blocks() > blocks {
            self.history.block_times.note(account.worker, self.now);
        }
        Ok(())
    }

    fn aggregate_accounts(&mut self, retired: &[String]) -> Result<(), Infallible> {
        self.history.ledger.aggregate(retired, |task| self.fleet.get(task).is_some());
        Ok(())
    }

    fn raise_next_number(&mut self, at_least: u64) -> Result<(), Infallible> {
        self.history.next_number = self.history.next_number.max(at_least);
        Ok(())
    }

    fn raise_peak_workers(&mut self, at_least: u64) -> Result<(), Infallible> {
        self.history.peak_workers = self.history.peak_workers.max(at_least);
        Ok(())
    }

    fn avoid_agent(&mut self, agent: &AvoidedAgent) -> Result<(), Infallible> {
        self.history.avoided.insert(agent.agent.clone(), agent.clone());
        Ok(())
    }

    fn allow_agent(&mut self, agent: &str) -> Result<(), Infallible> {
        self.history.avoided.remove(agent);
        Ok(())
    }

    fn controls(&self) -> Result<Cow<'_, Controls>, Infallible> {
        Ok(Cow::Borrowed(&self.history.controls))
    }

    fn set_controls(&mut self, controls: Controls) -> Result<(), Infallible> {
        self.history.controls = controls;
        Ok(())
    }
}
