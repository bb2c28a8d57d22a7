//! Limits launches so that a failure that agents have in common (a missing user, a wrong path, an ACL) is not repeated on each
//! agent. Until a launch has succeeded, and while launches fail in the same way, only a few launches are in progress at a time
//! ([`launch_limiter`]).
//!
//! A launch has succeeded only when its task has run for a while: an executor may crash on every agent right after TASK_RUNNING.

mod launch_limiter;
mod open_launches;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};
use problem::{Problem, ProblemKind};

use self::launch_limiter::LaunchLimiter;
use self::open_launches::OpenLaunches;
use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::Task;
use crate::sandbox::StderrOutcome;
use crate::user_notice::UserNotice;

/// A launch counts as successful only when its task has run for this long.
const SUCCESS: Duration = Duration::from_secs(10);
/// While launches are limited, further launches wait for the outcome of each launch in progress, but at most for this long.
/// The time is longer than the minute that agents give an executor to register.
const OUTCOME: Duration = Duration::from_secs(90);

/// The policy.
#[derive(Debug)]
pub(super) struct CommonFailures {
    limiter: LaunchLimiter,
    open: OpenLaunches,
    /// For each launch that was sent: the time to check whether its task has begun to run, and the task's id. Earliest first.
    launched: VecDeque<(Instant, String)>,
    /// For each task that has begun to run: the time to check whether it still runs, and the task's id. Earliest first.
    running: VecDeque<(Instant, String)>,
}

impl CommonFailures {
    pub fn new(seed: u64) -> Self {
        let (open, launched, running) = Default::default();
        Self { limiter: LaunchLimiter::new(seed), open, launched, running }
    }
}

impl Policy for CommonFailures {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        let was_limited = self.limiter.is_limited();
        let notice = match event {
            PolicyEvent::Started => None,
            PolicyEvent::Launched(task) => self.launched(view, task, now),
            PolicyEvent::Alive { task, state: TaskState::TaskRunning, change }
                if change.before != Some(TaskState::TaskRunning) && self.open.contains(task) =>
            {
                self.running.push_back((now + SUCCESS, task.clone()));
                self.limiter.promising();
                None
            }
            PolicyEvent::Ended(ended) => self.ended(view, ended, now),
            PolicyEvent::LaunchGivenUp(given_up) => self.failed(view, given_up, now),
            PolicyEvent::StderrRead(read) => {
                if let StderrOutcome::Read(stderr) = &read.outcome
                    && let Some(explanation) = read.end.explanation(view, Some(stderr))
                {
                    let cause = Problem::new(explanation.fault.kind(), explanation.text());
                    self.limiter.explain(&read.end.failure(), cause);
                }
                None
            }
            PolicyEvent::NodeCredentialsChanged => {
                self.limiter.mended(ProblemKind::NodeCredentials, now);
                None
            }
            PolicyEvent::Tick if view.hears_tasks(now) => return self.tick(view, now),
            _ => return Vec::new(),
        };
        self.set_limit(was_limited, notice)
    }
}

impl CommonFailures {
    /// Updates the limit if there is or was one, and passes the notice to the user.
    fn set_limit(&self, was_limited: bool, notice: Option<UserNotice>) -> Vec<Intent> {
        let limit = self.limiter.limit(self.open.count_awaited());
        let changed = was_limited || limit.is_some();
        let limit = changed.then_some(Intent::LimitLaunches(limit.map(Box::new)));
        limit.into_iter().chain(notice.map(Intent::Notify)).collect()
    }

    fn launched(&mut self, view: &View<'_>, task: &str, now: Instant) -> Option<UserNotice> {
        if view.fleet.get(task).is_some_and(|task| !task.is_to_end()) {
            self.open.sent(task, now);
            self.launched.push_back((now + OUTCOME, task.to_owned()));
        }
        None
    }

    fn ended(&mut self, view: &View<'_>, ended: &TaskEnd, now: Instant) -> Option<UserNotice> {
        if view.fleet.get(&ended.task).is_some_and(|task| has_failed(view, task, ended, now)) {
            return self.failed(view, ended, now);
        }
        self.open.remove(&ended.task);
        None
    }

    /// Counts a launch that has failed.
    fn failed(&mut self, view: &View<'_>, ended: &TaskEnd, now: Instant) -> Option<UserNotice> {
        let sent = self.open.remove(&ended.task).map(|open| open.sent);
        let task = view.fleet.get(&ended.task)?;
        let cause = || match (ended.permanent_problem(), ended.explanation(view, None)) {
            // The message says what to do about the problem.
            (Some(problem), _) => Problem::new(problem.kind, ended.message()),
            (None, Some(explanation)) => Problem::new(explanation.fault.kind(), explanation.text()),
            (None, None) => {
                Problem::new(ProblemKind::LaunchesFail, format!("{}{}", ended.message(), advice(ended)))
            }
        };
        // Count agents, not tasks: an agent may have several tasks.
        let agents = view.fleet.count_agents();
        let open = self.open.count_awaited().min(agents);
        let running = view.fleet.count_running_workers().min(agents - open);
        self.limiter.failed(ended.failure(), (task.agent(), sent), cause, (open, running), now)
    }

    /// Checks the launches that are due. Returns no intents if nothing has changed.
    fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let was_limited = self.limiter.is_limited();
        let (mut notice, mut changed) = (None, false);
        while let Some(id) = take_due(&mut self.running, now) {
            if self.open.remove(&id).is_some() {
                changed = true;
                let task = view.fleet.get(&id).filter(|task| task.is_running() && !task.is_to_end());
                notice = task.and_then(|_| self.limiter.succeeded(now)).or(notice);
            }
        }
        while let Some(id) = take_due(&mut self.launched, now) {
            changed |= self.check_start(view, id, now);
        }
        if self.open.is_empty() {
            // Frees the memory that a burst of launches used.
            self.open.shrink();
            self.running.shrink_to_fit();
            self.launched.shrink_to_fit();
        }
        if self.open.count_awaited() == 0 {
            notice = self.limiter.calm(now).or(notice);
        }
        if changed || notice.is_some() { self.set_limit(was_limited, notice) } else { Vec::new() }
    }

    /// Checks a launch that was sent `OUTCOME` ago. If its task does not run yet, other launches stop waiting for the launch.
    /// The launch itself stays open, because a slow agent may still start the task. Returns whether anything has changed.
    fn check_start(&mut self, view: &View<'_>, id: String, now: Instant) -> bool {
        if !self.open.contains(&id) {
            return false;
        }
        match view.fleet.get(&id).filter(|task| !task.has_ended() && !task.is_to_end()) {
            // The task is also in the queue `running`, which says when to check whether it still runs.
            Some(task) if task.is_running() => false,
            Some(_) => {
                self.launched.push_back((now + OUTCOME, id.clone()));
                let changed = self.open.set_late(&id);
                if changed {
                    self.limiter.promising();
                }
                changed
            }
            None => self.open.remove(&id).is_some(),
        }
    }
}

fn take_due(queue: &mut VecDeque<(Instant, String)>, now: Instant) -> Option<String> {
    if queue.front().is_none_or(|(at, _)| *at > now) {
        return None;
    }
    queue.pop_front().map(|(_, id)| id)
}

/// Whether a launch failed for a reason that other agents may have in common. A launch does not count if its agent or its
/// resources were lost, or if the task was to end.
fn has_failed(view: &View<'_>, task: &Task, ended: &TaskEnd, now: Instant) -> bool {
    use TaskState::*;
    use task_status::Reason::*;
    let ran = task.running_since.map(|since| now.duration_since(since));
    if task.is_to_end() || ran.is_some_and(|ran| ran >= SUCCESS) || view.run.ending {
        return false;
    }
    let ours = view.settings.template.programs.is_ours(task.record.kind);
    let gone = matches!(
        ended.reason,
        Some(
            ContainerPreempted
                | AgentDraining
                | AgentDisconnected
                | AgentRemoved
                | AgentRemovedByOperator
                | AgentReregistered
                | AgentRestarted
                | AgentUnknown
                | MasterDisconnected
                | FrameworkRemoved
                | Reconciliation
        )
    );
    match ended.state {
        // Our own program ends in TASK_FINISHED when it has sent its maximum number of updates. That is not a failure, however
        // soon it happens.
        TaskFinished => !gone && (ran.is_none() || !ours),
        TaskFailed | TaskError | TaskDropped | TaskKilled => !gone,
        TaskLost => ended.reason == Some(InvalidOffers),
        _ => false,
    }
}

/// A hint at the likely cause of a failure that is not the executor's.
fn advice(ended: &TaskEnd) -> &'static str {
    use task_status::Reason;
    match ended.reason {
        Some(Reason::InvalidOffers) => {
            "; offers are rescinded before they are used; is the master's --offer_timeout too short?"
        }
        Some(Reason::TaskUnauthorized | Reason::TaskGroupUnauthorized) => {
            "; do the master's ACLs let this principal, user and role launch tasks? (--principal, --user, --role)"
        }
        _ => "",
    }
}
