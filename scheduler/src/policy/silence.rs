//! Replaces tasks that are in TASK_RUNNING but have stopped sending live messages, and workers that stay in TASK_STARTING. A
//! stuck executor would keep its resources forever, and a stuck server would keep those of its workers, too. Mesos itself does
//! not supervise executors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::{DeadlineQueue, INTERVALS_WAITED, Task};

/// A worker that is still in TASK_STARTING after this time is stuck, and is given up. Our own worker ends by itself sooner: when
/// it has got no work for a minute.
const WORKER_START: Duration = Duration::from_secs(120);

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
        if let Some((at, _)) = deadline(view, task) {
            self.due.add(at, Arc::clone(task.shared_id()));
        }
    }

    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let deadline = |id: &Arc<str>| view.fleet.get(id).and_then(|task| deadline(view, task));
        let mut stuck = self.due.take_expired(now, |id| deadline(id).map(|(at, _)| at));
        stuck.sort_unstable();
        let stuck = stuck.into_iter().filter_map(|id| Some((deadline(&id)?.1, id)));
        stuck.flat_map(|(why, task)| end(view, task.to_string(), why)).collect()
    }
}

fn end(view: &View<'_>, task: String, why: &'static str) -> Vec<Intent> {
    let mut intents = vec![
        Intent::notify_given_up(&task, why),
        Intent::PauseAgent { task: task.clone(), why: why.to_owned(), common: false },
    ];
    if view.fleet.servers.contains_key(&task) {
        intents.push(Intent::GiveUpServer(task.clone()));
    }
    intents.push(Intent::EndExecutor(task));
    intents
}

/// The time at which a task is given up unless it sends a message before, and the reason; `None` for a task that need not send
/// messages.
fn deadline(view: &View<'_>, task: &Task) -> Option<(Instant, &'static str)> {
    if task.is_to_end() {
        return None;
    }
    match task.state()? {
        TaskState::TaskRunning => {
            let since = task.silent_since?.max(task.since()?);
            Some((since + patience(view, task), "it has stopped sending messages"))
        }
        // Only our own program has this time limit: a user's image may take any time to start.
        TaskState::TaskStarting
            if task.is_worker() && view.settings.template.programs.is_ours(task.record.kind) =>
        {
            Some((task.launched()?.max(task.since()?) + WORKER_START, "it did not start in time"))
        }
        _ => None,
    }
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
