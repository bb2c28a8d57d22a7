//! The figures and lists for users: an overview of bounded size, and pages of tasks. They are computed only on request, and no
//! decision depends on them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ::task::{Live, Totals};
use command_line::Summary;

use crate::attributes::Attributes;
use crate::control::Steering;
use crate::fleet::{Fleet, Task};
use crate::history::{History, TaskFailure};
use crate::journal::{Ledger, LedgerLine, ScaleLimits};
use crate::ranked_problems::Problems;
use crate::run_state::RunState;
use crate::settings::Settings;
use crate::task_id::TaskKind;

/// Maximum number of servers in an overview. The same limit applies to slow workers and to failures.
const LISTED: usize = 10;
/// Maximum number of tasks on one page of the list of tasks.
pub const MAX_PAGE: usize = 1000;

/// The framework at one moment. Its size does not depend on the number of tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Whether the scheduler is subscribed to a master.
    pub connected: bool,
    /// The framework's id.
    pub framework: Option<String>,
    /// Mesos' name of a state → the number of tasks in this state, including tasks that ended in it.
    pub states: BTreeMap<String, u64>,
    /// The number of tasks in each state, counting only tasks that have not ended. A task without a Mesos state counts as
    /// `writing` or `launched`.
    pub live_states: BTreeMap<String, u64>,
    /// The CPU of all tasks that have not ended, in thousandths of a CPU.
    pub cpus_milli: u64,
    /// The number of running workers.
    pub running_workers: u64,
    /// The number of workers that have stated their hashrate in a recent live message.
    pub reporting_workers: u64,
    /// The sum of the hashrates that workers state in recent live messages, in H/s.
    pub hashrate: f64,
    /// The sums of all accounts in the ledger: what all workers together have done, as counted by the workers, and as counted by
    /// the pool servers.
    pub totals: LedgerLine,
    /// What workers have done according to their live messages, and `totals` does not have yet: hashes and shares.
    pub unaccounted: Totals,
    /// The number of blocks found.
    pub blocks: u64,
    /// The highest number of workers that ran at the same time.
    pub peak: u64,
    /// What is wrong, and why agents are unused.
    pub problems: Problems,
    /// What operators have said, and what holds because of it.
    pub steering: Steering,
    /// The servers that have not ended, at most 10, in the order of their launch.
    pub servers: Vec<TaskOverview>,
    /// At most 10 workers, the slowest per CPU first. Workers without a recent hashrate come last.
    pub slowest: Vec<TaskOverview>,
    /// At most 10 failures of tasks, the newest first.
    pub failures: Vec<TaskFailure>,
}

/// One task, for display.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOverview {
    /// The task's id.
    pub id: String,
    /// The task's kind.
    pub kind: TaskKind,
    /// The id of the task's agent.
    pub agent: String,
    /// The host name of the task's agent.
    pub host: String,
    /// The attributes of the task's agent.
    pub attributes: Attributes,
    /// Mesos' name of the task's state; `writing` or `launched` before Mesos has reported a state.
    pub state: &'static str,
    /// How long ago the launch was sent, as far as it is known.
    pub launched: Option<Duration>,
    /// Whether the task is healthy, if it reports its health.
    pub healthy: Option<bool>,
    /// The CPU of executor and task together, in thousandths of a CPU.
    pub cpus_milli: u64,
    /// The task's last live message, if it is recent.
    pub live: Option<Live>,
    /// The totals that a worker itself has reported; those that its server counts may differ.
    pub totals: Totals,
}

/// Some of the tasks that have not ended, in the order of their launch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskOverview>,
    /// The id of the last task on this page, after which the next page begins; `None` if this page is the last one.
    pub next: Option<String>,
    /// The number of all tasks that have not ended.
    pub total: usize,
}

impl Overview {
    /// Whether workers mine: some of them run, and those that tell their hashrate do not all tell zero.
    pub fn mines(&self) -> bool {
        let silent = self.reporting_workers == 0;
        self.running_workers > 0 && (silent || self.hashrate > 0.0)
    }

    /// Whether there are servers, but all of them say that they have no work for miners.
    pub fn lacks_work(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(|server| server.healthy == Some(false))
    }

    /// The number of tasks that ended in each state.
    pub fn ended_states(&self) -> impl Iterator<Item = (&str, u64)> {
        self.states.iter().filter_map(|(state, count)| {
            let ended = count.saturating_sub(self.live_states.get(state).copied().unwrap_or(0));
            (ended > 0).then_some((state.as_str(), ended))
        })
    }
}

impl TaskOverview {
    /// The hashrate of a worker in H/s, if it has a recent live message and is not paused.
    pub fn hashrate(&self) -> Option<f64> {
        match &self.live {
            Some(Live::Worker(live)) if live.paused != Some(true) => Some(live.hashrate),
            _ => None,
        }
    }

    /// The hashrate per CPU of a worker in H/s, if it has a recent live message.
    pub fn hashrate_per_cpu(&self) -> Option<f64> {
        let cpus = self.cpus_milli.max(1) as f64 / 1000.0;
        self.hashrate().map(|hashrate| hashrate / cpus)
    }

    /// The name of a worker's CPU, if the worker has told it lately.
    pub fn cpu_model(&self) -> Option<&str> {
        match &self.live {
            Some(Live::Worker(live)) if !live.cpu_model.is_empty() => Some(&live.cpu_model),
            _ => None,
        }
    }

    /// Whether the task is a worker.
    pub fn is_worker(&self) -> bool {
        self.kind == TaskKind::Worker
    }
}

/// The current figures.
pub(super) fn overview(
    settings: &Settings,
    run: &RunState,
    fleet: &Fleet,
    history: &History,
    now: Instant,
) -> Overview {
    let (totals, blocks) = history.ledger.sum();
    let (hashrate, reporting_workers) = fleet.hashrate();
    let line = |task: &Task| line(task, &history.ledger, now);
    Overview {
        connected: run.connected,
        framework: history.framework.as_ref().map(|framework| framework.id.clone()),
        states: states(fleet, history),
        live_states: live_states(fleet),
        cpus_milli: fleet.count(TaskKind::Server).cpus_milli + fleet.count(TaskKind::Worker).cpus_milli,
        running_workers: fleet.count_running_workers() as u64,
        reporting_workers: reporting_workers as u64,
        hashrate,
        totals,
        unaccounted: fleet.unaccounted(),
        blocks,
        peak: history.peak_workers,
        problems: Problems::of(fleet, history),
        steering: steering(settings, history),
        servers: fleet.active_servers().take(LISTED).map(line).collect(),
        slowest: slowest(fleet).into_iter().map(line).collect(),
        failures: history.failures.list(LISTED, now),
    }
}

fn steering(settings: &Settings, history: &History) -> Steering {
    let limits = history.limits(&settings.placement.limits);
    let controls = &history.controls;
    Steering {
        pause: controls.pause.clone(),
        scale: controls.scale.clone(),
        limits: ScaleLimits { max_workers: limits.max_workers, max_cpus_milli: limits.max_cpus_milli },
        avoided: history.avoided().len() as u64,
        teardown: controls.teardown.clone(),
    }
}

/// At most `limit` tasks, and at most [`MAX_PAGE`], that were launched after the task `after`. The task `after` need not exist
/// any more.
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
    TaskPage { tasks, next, total: fleet.count_active() }
}

/// The figures of the framework so far.
pub(super) fn summary(fleet: &Fleet, history: &History, now: Instant) -> Summary {
    let (sum, blocks) = history.ledger.sum();
    let totals = Totals { blocks, candidates: sum.candidates(), orphaned: sum.pool.orphaned, ..sum.worker };
    let summary =
        Summary::new(totals, history.age(now).as_secs_f64(), history.peak_workers, states(fleet, history));
    summary.with_live(fleet.unaccounted())
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

/// The slowest workers, then workers without a recent hashrate in the order of their launch.
fn slowest(fleet: &Fleet) -> Vec<&Task> {
    let mut told: Vec<&Task> = fleet.slowest().take(LISTED).collect();
    told.sort_by(|a, b| a.hashrate_per_cpu().total_cmp(&b.hashrate_per_cpu()));
    let silent = fleet.active().filter(|task| task.is_worker() && !task.tells_hashrate());
    let silent: Vec<&Task> = silent.take(LISTED - told.len()).collect();
    told.into_iter().chain(silent).collect()
}

pub(super) fn line(task: &Task, ledger: &Ledger, now: Instant) -> TaskOverview {
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
        agent: task.agent().to_owned(),
        host: task.host().to_owned(),
        attributes: task.record.attributes.clone(),
        state,
        launched: task.launched().map(|launched| now.saturating_duration_since(launched)),
        healthy: task.health.map(|health| health.healthy),
        cpus_milli: task.record.cpus_milli(),
        live: live.map(|(_, live)| live.clone()),
        totals: ledger.entry(id, id).map(|entry| entry.totals).unwrap_or_default(),
    }
}
