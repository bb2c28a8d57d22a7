//! Tasks that run by Mesos' account but have stopped sending live messages are replaced, and so are workers that do not get
//! beyond TASK_STARTING. A stuck executor would keep its resources for ever, and a stuck server all its workers too. Mesos
//! itself does not supervise executors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::{DeadlineQueue, INTERVALS_WAITED, Task};

/// A worker of ours that gets no work ends by itself after a minute. If it has not after this time, it is stuck.
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

/// When a task is given up unless it sends a message, and why; `None` for a task that need not send any.
fn deadline(view: &View<'_>, task: &Task) -> Option<(Instant, &'static str)> {
    if task.is_to_end() {
        return None;
    }
    match task.state()? {
        TaskState::TaskRunning => {
            let since = task.silent_since?.max(task.since()?);
            Some((since + patience(view, task), "it says nothing any more"))
        }
        // A user's own image may take any time to start.
        TaskState::TaskStarting
            if task.is_worker() && view.settings.template.programs.is_ours(task.record.kind) =>
        {
            Some((task.launched()?.max(task.since()?) + WORKER_START, "it does not come up"))
        }
        _ => None,
    }
}

/// How long a task may be silent: some of its intervals. A worker that was sent longer intervals may use them before its next
/// message says so. A worker without any message may have been sent them by an earlier run of the scheduler.
fn patience(view: &View<'_>, task: &Task) -> Duration {
    let may_use_others = task.is_worker() && (task.tells_intervals || task.live.is_none());
    let others = view.fleet.worker_intervals.filter(|_| may_use_others);
    let longest = task.intervals.into_iter().chain(others).map(|intervals| intervals.live()).max();
    view.settings.options.silence_timeout.max(INTERVALS_WAITED * longest.unwrap_or_default())
}
