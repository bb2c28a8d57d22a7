//! Replaces tasks that are in TASK_RUNNING but have stopped sending live messages. A stuck executor would keep its resources
//! forever, and a stuck server would keep those of its workers, too. Mesos itself does not supervise executors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::{DeadlineQueue, INTERVALS_WAITED, Task};

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Silence {
    due: DeadlineQueue<Arc<str>>,
}

impl Policy for Silence {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => view.fleet.active().for_each(|task| self.expect(view, task)),
            PolicyEvent::Alive { change, state, .. } if change.before == Some(*state) => {}
            PolicyEvent::Alive { task, .. } | PolicyEvent::LiveMessage { task, first: true } => {
                if let Some(task) = view.fleet.get(task) {
                    self.expect(view, task);
                }
            }
            PolicyEvent::Tick if view.hears_tasks(now) => return self.give_up(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl Silence {
    fn expect(&mut self, view: &View<'_>, task: &Task) {
        if let Some(at) = deadline(view, task) {
            self.due.add(at, Arc::clone(task.shared_id()));
        }
    }

    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let deadline = |id: &Arc<str>| view.fleet.get(id).and_then(|task| deadline(view, task));
        let mut stuck = self.due.take_expired(now, deadline);
        stuck.sort_unstable();
        stuck.into_iter().flat_map(|task| end(view, task.to_string())).collect()
    }
}

fn end(view: &View<'_>, task: String) -> Vec<Intent> {
    let why = "it has stopped sending messages";
    let mut intents = vec![
        Intent::notify_given_up(&task, why),
        Intent::PauseAgent { task: task.clone(), why: why.to_owned(), common: false, least: Duration::ZERO },
    ];
    if view.fleet.servers.contains_key(&task) {
        intents.push(Intent::GiveUpServer(task.clone()));
    }
    intents.push(Intent::EndExecutor(task));
    intents
}

/// The time at which a task is given up unless it sends a message before; `None` for a task that need not send messages.
fn deadline(view: &View<'_>, task: &Task) -> Option<Instant> {
    if task.is_to_end() {
        return None;
    }
    let since = task.since_in(TaskState::TaskRunning)?.max(task.silent_since?);
    Some(since + patience(view, task))
}

/// How long a task may be silent: the silence timeout, or several of the task's live intervals if these are longer. A worker
/// that was sent longer intervals may use them before its next message confirms them. If a worker has not sent any message
/// yet, an earlier run of the scheduler may have sent it longer intervals.
fn patience(view: &View<'_>, task: &Task) -> Duration {
    let may_use_others = task.is_worker() && (task.tells_intervals || task.live.is_none());
    let others = view.fleet.worker_intervals.filter(|_| may_use_others);
    let longest = task.intervals.into_iter().chain(others).map(|intervals| intervals.live()).max();
    view.settings.options.silence_timeout.max(INTERVALS_WAITED * longest.unwrap_or_default())
}
