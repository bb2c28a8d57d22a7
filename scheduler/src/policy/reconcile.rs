//! Asks the master for the states of tasks until there is an answer for each task.
//!
//! See "Reconciliation" in Mesos' documentation. A master does not answer for a task whose agent may still return, so the request
//! is repeated with growing pauses. Implicit reconciliation covers all tasks, so it also finds tasks without a record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::backoff::Backoff;
use mesos::v1::TaskState;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Intent, Policy, PolicyEvent, View, jitter};
use crate::event::Call;
use crate::fleet::{DeadlineQueue, Task};

/// The first and the longest pause between two explicit reconciliations: RECONCILE calls with a list of the tasks whose states
/// are in doubt.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The time between two implicit reconciliations: RECONCILE calls without a list of tasks, which ask about all tasks.
const IMPLICIT: Duration = Duration::from_secs(15 * 60);
/// If a task has had no update this long after its launch, RECONCILE asks the master about it.
const LAUNCH_DOUBT: Duration = Duration::from_secs(10);
/// When an executor or an agent is gone, updates of its tasks follow. If a task has had no update after this time, RECONCILE asks
/// about the task.
pub(super) const UPDATE_FOLLOWS: Duration = Duration::from_secs(2);

/// If the master has not answered for all tasks this long after a subscription, the other policies go on without the missing
/// answers. A newly elected master answers for an agent's tasks only after the agent has found this master. That may take most of
/// these two minutes.
const GIVE_UP: Duration = Duration::from_secs(120);

/// The policy.
#[derive(Debug)]
pub(super) struct Reconcile {
    random: StdRng,
    /// The ids of the tasks that RECONCILE asks the master about. An id is removed when an update of its task is received.
    waiting: BTreeSet<String>,
    /// The wait for the master's answers after the last subscription; `None` when it is over.
    first: Option<FirstAnswers>,
    backoff: Backoff,
    /// When RECONCILE asks again about the tasks in `waiting`.
    next: Option<Instant>,
    /// When the next RECONCILE about all tasks is due.
    implicit: Option<Instant>,
    /// Launched tasks, each with the time when RECONCILE asks about it if it has had no update by then.
    due: DeadlineQueue<Arc<str>>,
    /// Tasks whose executor or agent is gone, each with the time when RECONCILE asks about it if it has not ended by then.
    doubts: DeadlineQueue<Arc<str>>,
}

/// The wait for the master's answers to RECONCILE after a subscription.
#[derive(Debug)]
struct FirstAnswers {
    /// The ids of the tasks without an answer.
    missing: BTreeSet<String>,
    /// When the wait for these answers ends.
    until: Instant,
}

impl Reconcile {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            waiting: BTreeSet::new(),
            first: None,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            next: None,
            implicit: None,
            due: DeadlineQueue::default(),
            doubts: DeadlineQueue::default(),
        }
    }
}

impl Policy for Reconcile {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Launched(task) => {
                let task = view.fleet.get(task).map(|task| Arc::clone(task.shared_id()));
                task.into_iter().for_each(|task| self.due.add(now + LAUNCH_DOUBT, task));
            }
            PolicyEvent::ExecutorTerminated(executor) => self.doubt(view.fleet.get(executor), now),
            PolicyEvent::AgentRemoved(agent) => self.doubt(view.fleet.on_agent(agent), now),
            PolicyEvent::UpdateReceived(task) => {
                self.waiting.remove(task);
                if let Some(first) = &mut self.first {
                    first.missing.remove(task);
                }
            }
            PolicyEvent::Subscribed => return self.begin(view, now),
            PolicyEvent::Tick if view.run.connected => {
                let mut intents = self.go_on(view, now);
                intents.extend(self.all_answered(view, now));
                return intents;
            }
            _ => {}
        }
        Vec::new()
    }
}

impl Reconcile {
    /// After a new subscription, asks about all tasks whose states are in doubt.
    fn begin(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.backoff.reset();
        (self.next, self.implicit) = (None, None);
        let doubtful = |task: &&Task| task.may_live() || task.state() == Some(TaskState::TaskLost);
        let ids = view.fleet.all().filter(doubtful).map(|task| task.id().to_owned());
        self.waiting = ids.collect();
        self.first = Some(FirstAnswers { missing: self.waiting.clone(), until: now + GIVE_UP });
        self.go_on(view, now)
    }

    /// Tells the other policies that the wait for the master's answers is over. This happens once after each subscription.
    fn all_answered(&mut self, view: &View<'_>, now: Instant) -> Option<Intent> {
        let first = self.first.as_mut()?;
        first.missing.retain(|id| view.fleet.get(id).is_some());
        if !first.missing.is_empty() && now < first.until {
            return None;
        }
        self.first = None;
        Some(Intent::Reconciled)
    }

    fn go_on(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let all = self.implicit.is_none_or(|at| now >= at);
        let idle = self.waiting.is_empty();
        self.add_silent_launches(view, now);
        self.add_doubtful(view, now);
        if all {
            // RECONCILE without tasks gets no answer for a task that the master has forgotten and whose agent has not
            // returned. So all live tasks are named in an explicit request, too.
            let live = view.fleet.active().filter(|task| task.may_live());
            self.waiting.extend(live.map(|task| task.id().to_owned()));
        }
        let mut intents = self.ask(view, idle, now);
        if all {
            self.implicit = Some(now + jitter(&mut self.random, IMPLICIT));
            intents.push(Intent::Call(Call::Reconcile(Vec::new())));
        }
        intents
    }

    /// Asks about these tasks soon, unless their end is reported before.
    fn doubt<'a>(&mut self, tasks: impl IntoIterator<Item = &'a Task>, now: Instant) {
        let live = tasks.into_iter().filter(|task| task.may_live());
        live.for_each(|task| self.doubts.add(now + UPDATE_FOLLOWS, Arc::clone(task.shared_id())));
    }

    fn add_doubtful(&mut self, view: &View<'_>, now: Instant) {
        // A task with a `pending_uuid` is not in doubt: an update of it was received, and is being written to disk.
        let is_doubtful = |task: &&Task| {
            task.may_live() && task.pending_uuid.is_none() && task.state() != Some(TaskState::TaskUnreachable)
        };
        let doubtful = self.doubts.take_all(now).into_iter().filter_map(|id| view.fleet.get(&id));
        self.waiting.extend(doubtful.filter(is_doubtful).map(|task| task.id().to_owned()));
    }

    fn add_silent_launches(&mut self, view: &View<'_>, now: Instant) {
        let deadline = |id: &Arc<str>| Some(view.fleet.get(id)?.unanswered_since()? + LAUNCH_DOUBT);
        let silent = self.due.take_expired(now, deadline);
        self.waiting.extend(silent.into_iter().map(|id| id.to_string()));
    }

    /// Asks about all tasks in `waiting`, if a request is due.
    fn ask(&mut self, view: &View<'_>, idle: bool, now: Instant) -> Vec<Intent> {
        if self.waiting.is_empty() {
            self.backoff.reset();
            self.next = None;
            return Vec::new();
        }
        if !idle && self.next.is_some_and(|next| now < next) {
            return Vec::new();
        }
        self.waiting.retain(|id| view.fleet.get(id).is_some());
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.next = Some(now + self.backoff.delay_with(&mut self.random));
        let agent = |id: &String| Some((id.clone(), view.fleet.get(id)?.agent().to_owned()));
        let tasks = self.waiting.iter().filter_map(agent).collect();
        vec![Intent::Call(Call::Reconcile(tasks))]
    }
}
