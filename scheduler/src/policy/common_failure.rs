//! A failure that all agents have in common (a user that none has, a wrong path, an ACL) is not tried on every one of
//! them. Until a launch has succeeded, and while launches fail alike, only so many are under way ([`pace`]).
//!
//! A launch has succeeded when its task has run for a while: an executor that crashes right after it said that it runs
//! may do so everywhere.

mod open;
mod pace;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};

use self::open::OpenLaunches;
use self::pace::{Failure, News, Pace};
use super::{Intent, Policy, PolicyEvent, TaskEnd, View, task_notices};
use crate::fleet::Task;
use crate::task_info::Delivery;
use crate::user_notice::UserNotice;

/// A task that ran for so long was launched well.
const WELL: Duration = Duration::from_secs(10);
/// A launch that did not fail in this time is no reason to wait with others: agents give executors a minute to start.
const OPEN: Duration = Duration::from_secs(90);

/// The rule.
#[derive(Debug)]
pub(super) struct CommonFailures {
    pace: Pace,
    open: OpenLaunches,
    /// When the fate of each is looked at, in order: again and again after it was launched, and after it came to run.
    launched: VecDeque<(Instant, String)>,
    running: VecDeque<(Instant, String)>,
}

impl CommonFailures {
    pub fn new(seed: u64) -> Self {
        let (open, launched, running) = Default::default();
        Self { pace: Pace::new(seed), open, launched, running }
    }
}

impl Policy for CommonFailures {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        let was_limited = self.pace.is_limited();
        let news = match event {
            PolicyEvent::Started => News::Nothing,
            PolicyEvent::Launched(task) => self.launched(view, task, now),
            PolicyEvent::ExecutorTerminated { executor, status } => {
                if let Some(open) = self.open.get_mut(executor) {
                    open.status = *status;
                }
                return Vec::new();
            }
            PolicyEvent::Alive { task, state: TaskState::TaskRunning, change }
                if change.before != Some(TaskState::TaskRunning) && self.open.contains(task) =>
            {
                self.running.push_back((now + WELL, task.clone()));
                self.pace.promising();
                News::Nothing
            }
            PolicyEvent::Ended(ended) => self.ended(view, ended, now),
            PolicyEvent::Tick if view.hears_tasks(now) => return self.tick(view, now),
            _ => return Vec::new(),
        };
        self.tell(was_limited, news)
    }
}

impl CommonFailures {
    /// The limit as it is now, if there is or was one, and the news.
    fn tell(&self, was_limited: bool, news: News) -> Vec<Intent> {
        let limit = self.pace.limit(self.open.count_awaited());
        let changed = was_limited || limit.is_some();
        let limit = changed.then_some(Intent::LimitLaunches(limit.map(Box::new)));
        let notice = match news {
            News::Nothing => None,
            News::Common(failure) => Some(UserNotice::CommonFailure(failure)),
            News::Over { launches } => Some(UserNotice::CommonFailureOver(launches)),
        };
        limit.into_iter().chain(notice.map(Intent::Notify)).collect()
    }

    fn launched(&mut self, view: &View<'_>, task: &str, now: Instant) -> News {
        if view.fleet.get(task).is_some_and(|task| !task.is_to_end()) {
            self.open.sent(task, now);
            self.launched.push_back((now + OPEN, task.to_owned()));
        }
        News::Nothing
    }

    fn ended(&mut self, view: &View<'_>, ended: &TaskEnd, now: Instant) -> News {
        let open = self.open.remove(&ended.task);
        let (sent, status) = (open.as_ref().map(|open| open.sent), open.and_then(|open| open.status));
        let Some(task) = view.fleet.get(&ended.task).filter(|task| has_failed(view, task, ended, now)) else {
            return News::Nothing;
        };
        let failure = Failure { state: ended.state, reason: ended.reason, status };
        let why = || {
            let message = ended.message.as_deref().filter(|message| !message.is_empty());
            format!("{}{}", message.map(|text| format!(": {text}")).unwrap_or_default(), advice(view, ended))
        };
        // Failures are counted by agents, however many tasks each has.
        let agents = view.fleet.count_agents();
        let open = self.open.count_awaited().min(agents);
        let running = view.fleet.count_running_workers().min(agents - open);
        self.pace.failed(failure, (task.agent(), sent), why, (open, running), now)
    }

    /// Looks at the launches that are due. Says nothing if nothing has changed.
    fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let was_limited = self.pace.is_limited();
        let (mut news, mut changed) = (News::Nothing, false);
        while let Some(id) = take_due(&mut self.running, now) {
            if self.open.remove(&id).is_some() {
                changed = true;
                let task = view.fleet.get(&id).filter(|task| task.is_running() && !task.is_to_end());
                news = latest(news, task.map(|_| self.pace.succeeded(now)).unwrap_or(News::Nothing));
            }
        }
        while let Some(id) = take_due(&mut self.launched, now) {
            changed |= self.look_at_start(view, id, now);
        }
        if self.open.is_empty() {
            // A burst leaves nothing behind.
            self.open.shrink();
            self.running.shrink_to_fit();
            self.launched.shrink_to_fit();
        }
        if self.open.count_awaited() == 0 {
            news = latest(news, self.pace.calm(now));
        }
        if changed || news != News::Nothing { self.tell(was_limited, news) } else { Vec::new() }
    }

    /// A launch that does not run yet keeps others waiting no longer. It may still run, if agents are that slow, so it is
    /// forgotten only when it is over. Whether this changes anything.
    fn look_at_start(&mut self, view: &View<'_>, id: String, now: Instant) -> bool {
        if !self.open.contains(&id) {
            return false;
        }
        match view.fleet.get(&id).filter(|task| !task.has_ended() && !task.is_to_end()) {
            // It is looked at when it has run for a while.
            Some(task) if task.is_running() => false,
            Some(_) => {
                self.launched.push_back((now + OPEN, id.clone()));
                let changed = self.open.set_late(&id);
                if changed {
                    self.pace.promising();
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

fn latest(before: News, news: News) -> News {
    if news == News::Nothing { before } else { news }
}

/// Whether the launch failed for a reason that other agents may have, too: not because its agent or its resources went
/// away, or because the task was to end.
fn has_failed(view: &View<'_>, task: &Task, ended: &TaskEnd, now: Instant) -> bool {
    use TaskState::*;
    use task_status::Reason::*;
    let ran = task.running_since.map(|since| now.duration_since(since));
    if task.is_to_end() || ran.is_some_and(|ran| ran >= WELL) || view.run.ending {
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
        // What made all its updates is to be renewed, however short they lasted.
        TaskFinished => !gone && (ran.is_none() || !ours),
        TaskFailed | TaskError | TaskDropped | TaskKilled => !gone,
        TaskLost => ended.reason == Some(InvalidOffers),
        _ => false,
    }
}

/// What to look at.
fn advice(view: &View<'_>, ended: &TaskEnd) -> String {
    use task_status::Reason;
    let says = |word: &str| ended.message.as_ref().is_some_and(|message| message.contains(word));
    let known = task_notices::advice(view, ended);
    if !known.is_empty() {
        return known;
    }
    let advice = match ended.reason {
        Some(Reason::InvalidOffers) => {
            "offers are taken back before they are used; is the master's --offer_timeout too short?"
        }
        Some(Reason::TaskUnauthorized | Reason::TaskGroupUnauthorized) => {
            "do the master's ACLs let this principal, user and role launch tasks? (--principal, --user, --role)"
        }
        _ if says("chown") || says("No such user") || says("user '") => "do agents have this user? (--user)",
        Some(Reason::ExecutorRegistrationTimeout) => {
            "do agents get the executor in time (--executor-uri, --executor-path), and can it reach them?"
        }
        Some(Reason::ExecutorTerminated | Reason::ContainerLaunchFailed | Reason::CommandExecutorFailed) => {
            return executor_advice(&view.settings.template.delivery);
        }
        _ => return String::new(),
    };
    format!("; {advice}")
}

fn executor_advice(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Path(path) => format!("; is {path} on the agents, and can they run it? (--executor-path)"),
        Delivery::Fetch { uri, .. } => {
            format!("; can agents run what they fetch from {uri}? (--executor-uri)")
        }
        Delivery::Image { image, .. } => format!("; can agents run the image {image}?"),
    }
}
