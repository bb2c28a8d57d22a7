//! The figures and lists that are shown: an overview of bounded size, and tasks page by page. Nothing is decided by them, and they
//! are made on request only.

use std::collections::BTreeMap;
use std::time::Instant;

use ::task::{Live, Totals};
use command_line::Summary;

use crate::fleet::{Fleet, Task};
use crate::history::{History, TaskFailure};
use crate::journal::{Ledger, LedgerLine};
use crate::run_state::RunState;
use crate::task_id::TaskKind;

/// How many servers, slow workers and failures are in an overview.
const LISTED: usize = 10;
/// How many reasons for unused agents are in an overview.
const REASONS: usize = 20;
/// How many tasks are on a page, at most.
pub const MAX_PAGE: usize = 1000;

/// The framework at one moment. Its size does not depend on the number of tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Whether there is a subscription.
    pub connected: bool,
    /// The framework's id.
    pub framework: Option<String>,
    /// How many tasks are in each state, or ended in it.
    pub states: BTreeMap<String, u64>,
    /// How many tasks that have not ended are in each state, including those without a Mesos state.
    pub live_states: BTreeMap<String, u64>,
    /// Thousandths of a CPU of the tasks that have not ended.
    pub cpus_milli: u64,
    /// How many workers run.
    pub running_workers: u64,
    /// How many workers have sent their hashrate lately.
    pub reporting_workers: u64,
    /// The sum of these hashrates in H/s.
    pub hashrate: f64,
    /// The sums of the ledger.
    pub totals: LedgerLine,
    /// How many blocks were found.
    pub blocks: u64,
    /// The highest number of workers that ran at once.
    pub peak: u64,
    /// Why less is launched than could be, and why agents are unused.
    pub unused: UnusedReasons,
    /// The servers that have not ended, at most 10, in the order of their launch.
    pub servers: Vec<TaskOverview>,
    /// At most 10 workers, the slowest per CPU first. Workers without a recent hashrate come last.
    pub slowest: Vec<TaskOverview>,
    /// At most 10 failures of tasks, the newest first.
    pub failures: Vec<TaskFailure>,
}

/// Why agents are unused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnusedReasons {
    /// Different texts, at most 20.
    pub texts: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

/// One task, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOverview {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: TaskKind,
    /// Its agent's host name.
    pub host: String,
    /// Mesos' name of its state; `writing` or `launched` before it has one.
    pub state: String,
    /// Whether it is healthy, if it reports that.
    pub healthy: Option<bool>,
    /// Thousandths of a CPU.
    pub cpus_milli: u64,
    /// Its live message, if that is recent.
    pub live: Option<Live>,
    /// A worker's own account.
    pub totals: Totals,
}

/// Some of the tasks that have not ended, in the order of their launch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskOverview>,
    /// The id to ask for the next page with; `None` if this is the last one.
    pub next: Option<String>,
}

impl Overview {
    /// How many tasks have ended in each state.
    pub fn ended_states(&self) -> impl Iterator<Item = (&str, u64)> {
        self.states.iter().filter_map(|(state, count)| {
            let ended = count.saturating_sub(self.live_states.get(state).copied().unwrap_or(0));
            (ended > 0).then_some((state.as_str(), ended))
        })
    }
}

impl TaskOverview {
    /// The hashrate of a worker in H/s, if it has a recent live message.
    pub fn hashrate(&self) -> Option<f64> {
        match &self.live {
            Some(Live::Worker(live)) => Some(live.hashrate),
            _ => None,
        }
    }
}

/// The figures of this moment.
pub(super) fn overview(run: &RunState, fleet: &Fleet, history: &History, now: Instant) -> Overview {
    let (totals, blocks) = history.ledger.sum();
    let (hashrate, reporting_workers) = fleet.hashrate();
    let line = |task: &Task| line(task, &history.ledger, now);
    Overview {
        connected: run.connected,
        framework: history.framework.clone(),
        states: states(fleet, history),
        live_states: live_states(fleet),
        cpus_milli: fleet.count(TaskKind::Server).cpus_milli + fleet.count(TaskKind::Worker).cpus_milli,
        running_workers: fleet.count_running_workers() as u64,
        reporting_workers: reporting_workers as u64,
        hashrate,
        totals,
        blocks,
        peak: history.peak_workers,
        unused: unused_reasons(fleet, history),
        servers: fleet.active_servers().take(LISTED).map(line).collect(),
        slowest: slowest(fleet).into_iter().map(line).collect(),
        failures: history.failures.list(now),
    }
}

/// At most `limit` tasks, and at most [`MAX_PAGE`], that were launched after the task `after`, which may be gone.
pub(super) fn tasks(
    fleet: &Fleet,
    ledger: &Ledger,
    after: Option<&str>,
    limit: usize,
    now: Instant,
) -> TaskPage {
    let limit = limit.clamp(1, MAX_PAGE);
    let tasks = fleet.in_launch_order(after).take(limit + 1);
    let mut tasks: Vec<TaskOverview> = tasks.map(|task| line(task, ledger, now)).collect();
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    let next = tasks.last().filter(|_| more).map(|task| task.id.clone());
    TaskPage { tasks, next }
}

/// The figures of the framework so far.
pub(super) fn summary(fleet: &Fleet, history: &History, now: Instant) -> Summary {
    let (sum, blocks) = history.ledger.sum();
    let totals = Totals { blocks, ..sum.worker };
    Summary::new(totals, history.age(now).as_secs_f64(), history.peak_workers, states(fleet, history))
}

fn states(fleet: &Fleet, history: &History) -> BTreeMap<String, u64> {
    let mut states = BTreeMap::new();
    for (state, count) in fleet.states().iter().chain(&history.retired.states) {
        *states.entry(state.as_str_name().to_owned()).or_default() += *count;
    }
    states
}

fn live_states(fleet: &Fleet) -> BTreeMap<String, u64> {
    let unsent = fleet.count_unsent() as u64;
    let mut states = BTreeMap::new();
    for (state, count) in fleet.active_states() {
        match state {
            Some(state) => states.extend([(state.as_str_name().to_owned(), *count)]),
            None => states.extend([("writing".to_owned(), unsent), ("launched".to_owned(), count - unsent)]),
        }
    }
    states.retain(|_, count| *count > 0);
    states
}

/// Each reason once: agents on one machine share its host name, so many of their reasons are the same.
fn unused_reasons(fleet: &Fleet, history: &History) -> UnusedReasons {
    let reasons = fleet.agents.reasons();
    let common = fleet.common_failure().map(|failure| {
        format!(
            "trying one agent at a time, since {} launches failed in the same way: {failure}",
            failure.launches
        )
    });
    let first = usize::from(common.is_some()) + history.remarks.len();
    let more = (first + reasons.len()).saturating_sub(REASONS) as u64;
    let remarks = history.remarks.values().cloned();
    let texts = common.into_iter().chain(remarks).chain(reasons.map(ToString::to_string)).take(REASONS);
    UnusedReasons { texts: texts.collect(), more }
}

/// The slowest workers, then workers without a recent hashrate in the order of their launch.
fn slowest(fleet: &Fleet) -> Vec<&Task> {
    let mut told: Vec<&Task> = fleet.slowest().take(LISTED).collect();
    told.sort_by(|a, b| a.hashrate_per_cpu().total_cmp(&b.hashrate_per_cpu()));
    let silent = fleet.active().filter(|task| task.is_worker() && !task.tells_hashrate());
    let silent: Vec<&Task> = silent.take(LISTED - told.len()).collect();
    told.into_iter().chain(silent).collect()
}

fn line(task: &Task, ledger: &Ledger, now: Instant) -> TaskOverview {
    let id = task.id();
    let state = match task.state() {
        Some(state) => state.as_str_name(),
        None if task.is_unsent() => "writing",
        None => "launched",
    };
    let live = task.live.as_ref().filter(|(at, _)| now.duration_since(*at) < task.freshness());
    TaskOverview {
        id: id.to_owned(),
        kind: task.record.kind,
        host: task.host().to_owned(),
        state: state.to_owned(),
        healthy: task.health.map(|health| health.healthy),
        cpus_milli: task.record.cpus_milli(),
        live: live.map(|(_, live)| live.clone()),
        totals: ledger.entry(id, id).map(|entry| entry.totals).unwrap_or_default(),
    }
}
