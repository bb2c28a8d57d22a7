//! What the framework tells people of itself: figures of a bounded size, and tasks page by page. Nothing is decided by
//! it, and it is made only when somebody asks.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ::task::{Live, Totals};
use program::Summary;

use super::State;
use super::task::{Phase, Task};
use crate::kind::Kind;
use crate::ledger::{Ledger, Line};
use crate::numbers::number;

/// A live message that is older is not shown.
const LIVE: Duration = Duration::from_secs(20);
/// Servers, slowest workers and failures in an overview.
const LISTED: usize = 10;
/// Reasons in an overview why agents are unused.
const REASONS: usize = 20;
/// Tasks on a page.
pub const MAX_PAGE: usize = 1000;

/// The framework at one moment. Its size does not depend on the number of tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Whether there is a subscription.
    pub connected: bool,
    /// The framework's id.
    pub framework: Option<String>,
    /// How many tasks are, or ended, in each state.
    pub states: BTreeMap<String, u64>,
    /// How many tasks that have not ended are in each state, those included that Mesos has not told the state of.
    pub live_states: BTreeMap<String, u64>,
    /// Thousandths of a CPU that these have.
    pub cpus_milli: u64,
    /// Workers that mine, as Mesos knows.
    pub running_workers: u64,
    /// Workers that told their hashrate lately.
    pub reporting_workers: u64,
    /// H/s of all of these.
    pub hashrate: f64,
    /// Both columns of the ledger.
    pub totals: Line,
    /// Blocks found.
    pub blocks: u64,
    /// The most workers that mined at once.
    pub peak: u64,
    /// Why nothing is launched on some agents.
    pub unused: UnusedReasons,
    /// The servers that have not ended, at most 10, in the order of their launch.
    pub servers: Vec<TaskLine>,
    /// At most 10 workers, the slowest per CPU first; those that did not tell their hashrate lately come last.
    pub slowest: Vec<TaskLine>,
    /// At most 10 failures of tasks, the newest first.
    pub failures: Vec<Failure>,
}

/// Why nothing is launched on some agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnusedReasons {
    /// Different texts, at most 20.
    pub texts: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

/// A task that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How long ago.
    pub ago: Duration,
    /// The task's id.
    pub task: String,
    /// Its agent's host name.
    pub host: String,
    /// The state it ended in, or why it was given up.
    pub text: String,
}

/// One task, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskLine {
    /// Its id.
    pub id: String,
    /// Server or worker.
    pub kind: Kind,
    /// Its agent's host name.
    pub host: String,
    /// Mesos' name of its state, or what comes before it has one.
    pub state: String,
    /// Whether it is healthy, if it says so.
    pub healthy: Option<bool>,
    /// Thousandths of a CPU.
    pub cpus_milli: u64,
    /// What it does right now, if it said so lately.
    pub live: Option<Live>,
    /// A worker's own account.
    pub totals: Totals,
}

/// Some of the tasks that have not ended, in the order of their launch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskLine>,
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

impl TaskLine {
    /// H/s of a worker that told.
    pub fn hashrate(&self) -> Option<f64> {
        match &self.live {
            Some(Live::Worker(live)) => Some(live.hashrate),
            _ => None,
        }
    }
}

/// The last failures of tasks.
#[derive(Debug, Default)]
pub(super) struct Failures(VecDeque<(Instant, Failure)>);

impl Failures {
    pub fn push(&mut self, task: &str, host: &str, text: &str, now: Instant) {
        self.0.truncate(LISTED - 1);
        let (task, host, text) = (task.to_owned(), host.to_owned(), text.to_owned());
        self.0.push_front((now, Failure { ago: Duration::ZERO, task, host, text }));
    }

    fn list(&self, now: Instant) -> Vec<Failure> {
        let aged =
            |(at, failure): &(Instant, Failure)| Failure { ago: now.duration_since(*at), ..failure.clone() };
        self.0.iter().map(aged).collect()
    }
}

impl State {
    /// The figures of this moment.
    pub fn overview(&self, now: Instant) -> Overview {
        let (totals, blocks) = self.ledger.sum();
        let live = self.live_in_order();
        let mut overview = Overview {
            connected: self.connected,
            framework: self.framework.clone(),
            states: self.states(),
            totals,
            blocks,
            peak: self.peak,
            unused: self.unused_reasons(),
            failures: self.failures.list(now),
            ..Overview::default()
        };
        for task in &live {
            *overview.live_states.entry(state_name(task).to_owned()).or_default() += 1;
            overview.cpus_milli += task.record.cpus_milli;
            overview.running_workers += u64::from(task.is_worker() && task.is_running());
            if let Some(hashrate) = hashrate(task, now) {
                overview.reporting_workers += 1;
                overview.hashrate += hashrate;
            }
        }
        let line = |task: &&Task| line(task, &self.ledger, now);
        let (mut workers, servers): (Vec<&Task>, Vec<&Task>) =
            live.into_iter().partition(|task| task.is_worker());
        workers.sort_by(|a, b| slower(a, b, now));
        overview.servers = servers.iter().take(LISTED).map(line).collect();
        overview.slowest = workers.iter().take(LISTED).map(line).collect();
        overview
    }

    /// At most `limit` tasks, and at most [`MAX_PAGE`], that were launched after a task. That one may be gone: the number
    /// in its id says where to go on.
    pub fn tasks(&self, after: Option<&str>, limit: usize, now: Instant) -> TaskPage {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut left = self.live_in_order();
        if let Some(after) = after {
            let after = launch_order(after);
            left.retain(|task| launch_order(&task.record.id) > after);
        }
        let more = left.len() > limit;
        let tasks: Vec<TaskLine> =
            left.into_iter().take(limit).map(|task| line(task, &self.ledger, now)).collect();
        let next = tasks.last().filter(|_| more).map(|task| task.id.clone());
        TaskPage { tasks, next }
    }

    /// The figures of the framework so far.
    pub fn summary(&self, now: Instant) -> Summary {
        let age = self.age_at_birth + now.duration_since(self.born);
        let (sum, blocks) = self.ledger.sum();
        let totals = Totals { blocks, ..sum.worker };
        Summary::new(totals, age.as_secs_f64(), self.peak, self.states())
    }

    /// How many tasks there are that may still be running.
    pub fn live_tasks(&self) -> usize {
        self.tasks.values().filter(|task| task.may_live()).count()
    }

    fn live_in_order(&self) -> Vec<&Task> {
        let mut live: Vec<&Task> = self.tasks.values().filter(|task| !task.is_over()).collect();
        live.sort_by_key(|task| launch_order(&task.record.id));
        live
    }

    /// Agents of one machine have its name in common, so many reasons read the same.
    fn unused_reasons(&self) -> UnusedReasons {
        let texts: BTreeSet<String> = self.agents.remarks().map(ToString::to_string).collect();
        let more = texts.len().saturating_sub(REASONS) as u64;
        UnusedReasons { texts: texts.into_iter().take(REASONS).collect(), more }
    }

    fn states(&self) -> BTreeMap<String, u64> {
        let mut states = BTreeMap::new();
        for task in self.tasks.values() {
            if let Some(state) = task.state {
                *states.entry(state.as_str_name().to_owned()).or_default() += 1;
            }
        }
        for (state, count) in self.past.states() {
            *states.entry(state.as_str_name().to_owned()).or_default() += count;
        }
        states
    }
}

/// Ids are numbered in the order of launches. Names that are not of our making have no number, and come last.
fn launch_order(id: &str) -> (u64, &str) {
    (number(id).unwrap_or(u64::MAX), id)
}

/// The one with less hashrate per CPU comes first; whoever told none comes last.
fn slower(a: &Task, b: &Task, now: Instant) -> Ordering {
    let per_cpu = |task: &Task| {
        hashrate(task, now).map_or(f64::INFINITY, |hashrate| hashrate / task.record.cpus_milli.max(1) as f64)
    };
    let order = |task: &Task| number(&task.record.id).unwrap_or(u64::MAX);
    per_cpu(a).total_cmp(&per_cpu(b)).then_with(|| order(a).cmp(&order(b)))
}

fn live(task: &Task, now: Instant) -> Option<&Live> {
    let (at, live) = task.live.as_ref()?;
    (now.duration_since(*at) < LIVE).then_some(live)
}

fn hashrate(task: &Task, now: Instant) -> Option<f64> {
    match live(task, now) {
        Some(Live::Worker(live)) => Some(live.hashrate),
        _ => None,
    }
}

fn state_name(task: &Task) -> &'static str {
    match (task.state, &task.phase) {
        (Some(state), _) => state.as_str_name(),
        (None, Phase::Writing(_)) => "writing",
        (None, Phase::Sent(_)) => "launched",
    }
}

fn line(task: &Task, ledger: &Ledger, now: Instant) -> TaskLine {
    let id = &task.record.id;
    TaskLine {
        id: id.clone(),
        kind: task.record.kind,
        host: task.record.host.clone(),
        state: state_name(task).to_owned(),
        healthy: task.health.map(|(healthy, _)| healthy),
        cpus_milli: task.record.cpus_milli,
        live: live(task, now).cloned(),
        totals: ledger.entry(id, id).map(|entry| entry.totals).unwrap_or_default(),
    }
}
