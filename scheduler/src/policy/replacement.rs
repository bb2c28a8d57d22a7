//! After a restart of the scheduler with changed options, replaces the tasks that do not comply with them.
//!
//! - The server is replaced first and once, see [`server`].
//! - Then workers are replaced, the oldest first, at a [`Pace`]: those with other options or at another pool, those that the constraints or limits
//!   of today do not allow, and those whose executor cannot be redirected. Workers that return later, from an unreachable agent
//!   or after they were lost, are looked at when they return.
//!
//! With a change from a server to an external pool, the server goes on until its last worker has been replaced. With a change from
//! an external pool to a server, the server is launched first.
//!
//! An old wire format alone is no reason to replace an executor: the scheduler reads each version since
//! [`OLDEST_VERSION`](::task::OLDEST_VERSION). But with `--on-server-loss=repoint`, workers are to outlive their server. For
//! that, their executors must be redirected to the next server. Workers whose executors are too old for that are replaced.

mod no_room;
mod pace;
mod probation;
mod server;
mod server_place;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use command_line::pluralize;
use mesos::v1::TaskState;
use problem::{Problem, ProblemKind};

use self::no_room::NoRoom;
use self::pace::{PATIENCE, Pace, Running};
use self::probation::Probation;
use self::server::ServerReplacement;
use super::redirect::REDIRECTED_SINCE;
use super::{Intent, Policy, PolicyEvent, View};
use crate::constraints::allowed_in_turn;
use crate::fleet::{INTERVALS_WAITED, StateChange, Task};
use crate::history::Topic;
use crate::task_id::task_number;
use crate::user_notice::UserNotice;

/// If it is too early to replace another worker, the next check follows after this time.
const LOOK: Duration = Duration::from_secs(1);
/// If no worker in the list of workers to replace is running, the list is checked again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a worker is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    /// The worker mines at another pool, or at a server although an external pool is wanted.
    Pool,
    /// The worker was launched with other options.
    Options,
    /// The worker has more CPU than `--cpus-per-worker` allows.
    TooLarge,
    /// The worker has less CPU than `--min-worker-cpus` demands.
    TooSmall,
    /// The constraints do not allow the worker on its agent.
    Constraints,
    /// The worker's executor cannot be redirected to another server.
    Executor,
}

impl Reason {
    /// The reason as a phrase about one worker.
    fn text(self) -> &'static str {
        match self {
            Reason::Pool => "mines at another pool than with the options of today",
            Reason::Options => "launched with other options",
            Reason::TooLarge => "larger than --cpus-per-worker",
            Reason::TooSmall => "smaller than --min-worker-cpus",
            Reason::Constraints => "the constraints do not allow it there",
            Reason::Executor => "runs an earlier version",
        }
    }

    /// Whether another worker is expected to run instead. If the worker is too small, or the constraints forbid it, there may be
    /// no place for another one.
    fn has_successor(self) -> bool {
        !matches!(self, Reason::TooSmall | Reason::Constraints)
    }
}

/// The position of a worker in the order of launches: its number, and its id.
type LaunchPosition = (u64, String);

fn position(id: &str) -> LaunchPosition {
    (task_number(id).unwrap_or(u64::MAX), id.to_owned())
}

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Replacement {
    /// The workers to replace, the oldest first.
    pending: BTreeMap<LaunchPosition, Reason>,
    pace: Pace,
    /// Those workers of the last batch whose agents may have no room for a successor.
    no_room: NoRoom,
    /// The ids of the agents that had no room for a successor. The next workers are replaced on these agents first: their
    /// successors may have room now, and show whether the present options work.
    without_successor: BTreeSet<String>,
    /// New workers that have not shown yet that they mine. They do not count as running workers.
    probation: Probation,
    servers: ServerReplacement,
    /// Whether the master has said which tasks are there. No task is replaced before this is true.
    reconciled: bool,
    /// The earliest time for the next check of `pending`. It is set when no worker in `pending` could be replaced.
    look_again: Option<Instant>,
    /// Whether the last notice to the user about replacements said that they are paused.
    told_paused: bool,
}

impl Policy for Replacement {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => self.find_workers(view),
            PolicyEvent::Reconciled => {
                self.reconciled = true;
                self.pace.start(now);
            }
            PolicyEvent::Subscribed => {
                // If the master has removed the framework, its tasks are no longer in the fleet.
                self.pending.retain(|(_, id), _| view.fleet.get(id).is_some());
            }
            PolicyEvent::UpdateReceived(task)
                if view.keeps_workers() && view.fleet.get(task).is_some_and(is_outdated) =>
            {
                self.pending.entry(position(task)).or_insert(Reason::Executor);
            }
            PolicyEvent::Alive { task, state, change } if change.before != Some(*state) => {
                self.alive(view, task, *state, *change);
            }
            PolicyEvent::Ended(ended) => drop(self.pending.remove(&position(&ended.task))),
            PolicyEvent::Settled if view.run.connected => return self.servers.end_drained(view, now),
            PolicyEvent::Offers(offers) if self.may_begin(view) => {
                for (agent, workers) in self.no_room.look(view, offers) {
                    self.pace.forgo_successors(workers);
                    self.without_successor.insert(agent);
                }
                return self.servers.offers(view, offers, now);
            }
            PolicyEvent::Tick if self.may_begin(view) => {
                let mut intents = self.servers.tick(view, now);
                if intents.is_empty() && !self.pending.is_empty() {
                    intents = self.replace_workers(view, now);
                }
                intents.extend(self.tell(view));
                return intents;
            }
            _ => {}
        }
        Vec::new()
    }
}

impl Replacement {
    fn may_begin(&self, view: &View<'_>) -> bool {
        view.run.connected && !view.run.ending && self.reconciled && view.mining_pause().is_none()
    }

    /// Finds the workers that an earlier run of the scheduler launched and that have to be replaced now.
    fn find_workers(&mut self, view: &View<'_>) {
        let placement = &view.settings.placement;
        let kept = |task: &&Task| {
            let away = task.state() == Some(TaskState::TaskUnreachable);
            task.is_worker() && !task.is_to_end() && !away
        };
        let workers: Vec<&Task> = view.fleet.in_launch_order(None).filter(kept).collect();
        let allowed = allowed_in_turn(&placement.workers, workers.iter().map(|task| task.place()));
        for (task, allowed) in workers.into_iter().zip(allowed) {
            let reason = if allowed { why_worker_replaced(view, task) } else { Some(Reason::Constraints) };
            if let Some(reason) = reason {
                self.pending.insert(position(task.id()), reason);
            }
        }
    }

    /// Handles a worker's change of state. A worker that was unreachable may have been launched with other options. It must then
    /// be replaced. A worker that begins to run must show that it mines. Whether the constraints allow a worker that returns is
    /// checked by the policy `surplus`.
    fn alive(&mut self, view: &View<'_>, id: &str, state: TaskState, change: StateChange) {
        let Some(task) = view.fleet.get(id).filter(|task| task.is_worker() && !task.is_to_end()) else {
            return;
        };
        if state == TaskState::TaskUnreachable {
            return;
        }
        if let Some(reason) = why_worker_replaced(view, task) {
            self.pending.entry(position(id)).or_insert(reason);
        }
        let is_new = matches!(change.before, None | Some(TaskState::TaskStaging | TaskState::TaskStarting));
        if is_new && state == TaskState::TaskRunning && !self.pending.is_empty() {
            self.probation.begin(task);
        }
    }

    fn replace_workers(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let serves = view.external_pool().is_some() || view.fleet.open_servers().next().is_some();
        let is_early = self.look_again.is_some_and(|at| now < at);
        if !serves || is_early || view.admission_is_unknown() || view.fleet.common_failure().is_some() {
            return Vec::new();
        }
        self.probation.look(view, now);
        let running = self.running(view);
        let allowed = self.pace.allowed(running, patience(view), now);
        if allowed == 0 {
            self.look_again = Some(now + LOOK);
            return Vec::new();
        }
        let is_replaceable = |(position, _): &(&LaunchPosition, &Reason)| {
            view.fleet.get(&position.1).is_some_and(|task| task.is_running() && !task.is_to_end())
        };
        let mut chosen: Vec<_> = self.pending.iter().filter(is_replaceable).collect();
        let is_later =
            |id: &str| view.fleet.get(id).is_some_and(|task| !self.without_successor.contains(task.agent()));
        if !self.without_successor.is_empty() {
            chosen.sort_by_key(|((_, id), _)| is_later(id));
        }
        chosen.truncate(allowed);
        let with_successor = chosen.iter().filter(|(_, reason)| reason.has_successor());
        self.no_room.begin(with_successor.filter_map(|((_, id), _)| view.fleet.get(id)));
        let mut by_reason: BTreeMap<Reason, Vec<String>> = BTreeMap::new();
        for ((_, id), reason) in chosen {
            by_reason.entry(*reason).or_default().push(id.clone());
        }
        if by_reason.is_empty() {
            self.look_again = Some(now + LOOK_AGAIN);
            return Vec::new();
        }
        let counts = by_reason.iter().map(|(reason, workers)| (reason.has_successor(), workers.len()));
        let (with, without): (Vec<_>, Vec<_>) = counts.partition(|(has_successor, _)| *has_successor);
        let sum = |counts: Vec<(bool, usize)>| counts.into_iter().map(|(_, count)| count).sum();
        self.pace.begin(running, sum(with), sum(without), now);
        let mut intents = Vec::new();
        for (reason, workers) in by_reason {
            let notice = UserNotice::Replacing { workers: workers.clone(), why: reason.text() };
            intents.push(Intent::Notify(notice));
            for id in workers {
                self.pending.remove(&position(&id));
                intents.push(Intent::End(id));
            }
        }
        intents
    }

    /// Counts the running workers. Workers that are to end are not counted, nor are workers that have not shown yet that they
    /// mine.
    fn running(&self, view: &View<'_>) -> Running {
        let ending = view.fleet.ending().filter(|task| task.is_worker() && task.is_running()).count();
        let not_counted = ending + self.probation.count_running(view);
        let all = view.fleet.count_running_workers().saturating_sub(not_counted);
        let pending = self.pending.keys().filter_map(|(_, id)| view.fleet.get(id));
        let pending = pending.filter(|task| task.is_running() && !task.is_to_end()).count();
        Running { all, current: all.saturating_sub(pending) }
    }

    /// Updates the problem about replacements. The user is notified when replacements are paused, and when they go on.
    fn tell(&mut self, view: &View<'_>) -> Vec<Intent> {
        let left = self.pending.len();
        let paused = left > 0 && self.pace.is_paused();
        let workers = pluralize(left, "worker");
        let text = match left {
            0 => None,
            _ if paused => Some(format!(
                "replacing workers is paused, since the successors of the last ones do not mine; {workers} with other \
                 options are left"
            )),
            _ if view.fleet.common_failure().is_some() => {
                Some(format!("replacing {workers} waits until launches succeed again"))
            }
            _ => Some(format!("replacing {workers} that the options of today would launch otherwise")),
        };
        let kind = if paused { ProblemKind::ReplacementPaused } else { ProblemKind::Replacing };
        let problem = text.clone().map(|text| Problem::new(kind, text));
        let Some(set) = view.set_problem(Topic::Replacing, problem) else { return Vec::new() };
        let mut intents = vec![set];
        if paused != self.told_paused {
            self.told_paused = paused;
            let text = text.unwrap_or_else(|| "all workers have the options of today".to_owned());
            intents.push(Intent::Notify(UserNotice::Remark(text)));
        }
        intents
    }
}

/// Why a worker has to be replaced; `None` if it complies with the present options. Placement constraints are not checked here.
fn why_worker_replaced(view: &View<'_>, worker: &Task) -> Option<Reason> {
    let (limits, cpus) = (&view.settings.placement.limits, worker.record.cpus_milli());
    let reasons = [
        (cpus < limits.min_worker_cpus_milli, Reason::TooSmall),
        (limits.worker_cpus_milli.is_some_and(|most| cpus > most), Reason::TooLarge),
        // A worker of an earlier version has no fingerprint, but its record names the pool.
        (!view.mines_where_wanted(worker), Reason::Pool),
        (view.fingerprints.differ_from(&worker.record), Reason::Options),
    ];
    reasons.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
}

/// How long to wait until new workers show that they mine: [`PATIENCE`], or [`INTERVALS_WAITED`] intervals between a worker's
/// periodic live messages if that is longer.
fn patience(view: &View<'_>) -> Duration {
    let intervals = view.fleet.worker_intervals.unwrap_or(view.settings.template.intervals());
    PATIENCE.max(INTERVALS_WAITED * intervals.live())
}

fn is_outdated(task: &Task) -> bool {
    task.is_worker()
        && !task.has_ended()
        && !task.is_to_end()
        && task.version.is_some_and(|version| version < REDIRECTED_SINCE)
}
