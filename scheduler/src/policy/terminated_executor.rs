//! When an executor has terminated, an update usually says at once that its task has ended. If there is no such update, it was
//! lost, or the agent has dropped the launch without a word. Then this policy gives the task up after a while. Meanwhile, the
//! policy `reconcile` asks the master about the task.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};

use super::reconcile::UPDATE_FOLLOWS;
use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::{DeadlineQueue, Task};

/// A task whose executor has terminated can never run. If the master still reports this task as starting after this time, the
/// task is given up. The time is long enough for several answers of the master.
const GIVE_UP: Duration = Duration::from_secs(30);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct TerminatedExecutors {
    /// Tasks whose executor has terminated, each with a deadline. If no update has reported a server's end by the deadline, the
    /// server is taken out of service.
    servers: DeadlineQueue<Arc<str>>,
    /// Tasks whose executor has terminated, each with the time when it is given up if it has not ended.
    tasks: DeadlineQueue<Arc<str>>,
}

impl Policy for TerminatedExecutors {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::ExecutorTerminated(executor) => {
                let task = view.fleet.get(executor).filter(|task| may_run(task));
                if let Some(task) = task {
                    self.servers.add(now + UPDATE_FOLLOWS, Arc::clone(task.shared_id()));
                    self.tasks.add(now + GIVE_UP, Arc::clone(task.shared_id()));
                }
                Vec::new()
            }
            PolicyEvent::Tick if view.hears_tasks(now) => self.tick(view, now),
            _ => Vec::new(),
        }
    }
}

impl TerminatedExecutors {
    fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let known = |id: Arc<str>| view.fleet.get(&id).filter(|task| task.is_ending && may_run(task));
        let servers = self.servers.take_all(now).into_iter().filter_map(known);
        // These servers cannot run any more. The next server is launched without waiting for an update that says so.
        let mut intents: Vec<Intent> = servers
            .filter(|server| view.fleet.servers.contains_key(server.id()))
            .map(|server| Intent::GiveUpServer(server.id().to_owned()))
            .collect();
        let overdue: BTreeSet<Arc<str>> = self.tasks.take_all(now).into_iter().collect();
        intents.extend(overdue.into_iter().filter_map(known).flat_map(give_up));
        intents
    }
}

/// Whether Mesos regards the task as running or starting, and the scheduler has not yet decided to end it.
fn may_run(task: &Task) -> bool {
    task.may_live() && !task.is_to_end() && task.state() != Some(TaskState::TaskUnreachable)
}

/// Gives up a task that is starting, or a server. A worker that the master reports as running is left to the policy `silence`,
/// which ends workers that send no messages.
fn give_up(task: &Task) -> Vec<Intent> {
    let why = "its executor has terminated, but Mesos reports no end of the task";
    if task.is_starting() {
        return vec![Intent::GiveUpLaunch(TaskEnd {
            reason: Some(task_status::Reason::ExecutorTerminated),
            status: task.executor_status,
            message: Some(why.to_owned()),
            ..TaskEnd::of_starting(task)
        })];
    }
    if task.is_worker() {
        return Vec::new();
    }
    let id = task.id().to_owned();
    let pause =
        Intent::PauseAgent { task: id.clone(), why: why.to_owned(), common: false, least: Duration::ZERO };
    vec![Intent::notify_given_up(&id, why), pause, Intent::EndExecutor(id)]
}
