//! Tasks that Mesos calls running but that say nothing any more are replaced, and workers that never say more than that
//! they begin: an executor that is stuck keeps its resources for ever otherwise, and a server all its workers. Mesos itself
//! does not look after executors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::fleet::{DueQueue, INTERVALS_WAITED, Task};
use crate::user_notice::UserNotice;

/// A worker of ours ends by itself when it has had no work for a minute. One that does not is stuck.
const WORKER_START: Duration = Duration::from_secs(120);

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Silence {
    due: DueQueue<Arc<str>>,
}

impl Policy for Silence {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Started => {
                let tasks = view.fleet.present();
                let due =
                    tasks.filter_map(|task| Some((deadline(view, task)?.0, Arc::clone(task.shared_id()))));
                due.for_each(|(at, id)| self.due.add(at, id));
            }
            Happening::Alive { change, state, .. } if change.before == Some(*state) => {}
            Happening::Alive { task, .. } | Happening::Spoke { task, first: true } => {
                let Some(task) = view.fleet.get(task) else { return Vec::new() };
                if let Some((at, _)) = deadline(view, task) {
                    self.due.add(at, Arc::clone(task.shared_id()));
                }
            }
            Happening::Tick if view.hears_tasks(now) => return self.give_up(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl Silence {
    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut stuck: Vec<(Arc<str>, &'static str)> = Vec::new();
        for id in self.due.take_all(now) {
            match view.fleet.get(&id).and_then(|task| deadline(view, task)) {
                Some((at, _)) if at > now => self.due.add(at, id),
                Some((_, why)) => stuck.push((id, why)),
                None => {}
            }
        }
        stuck.sort_unstable();
        stuck.dedup();
        stuck.into_iter().flat_map(|(task, why)| end(view, task.to_string(), why)).collect()
    }
}

fn end(view: &View<'_>, task: String, why: &'static str) -> Vec<Intent> {
    let mut intents = vec![
        Intent::Notify(UserNotice::GivenUp { task: task.clone(), why }),
        Intent::PauseAgent { task: task.clone(), why: why.to_owned(), common: false },
    ];
    if view.fleet.service(&task).is_some() {
        intents.push(Intent::GiveUpServer { server: task.clone() });
    }
    intents.push(Intent::EndExecutor { task });
    intents
}

/// When a task is given up unless it says something, and why then; `None` for one of which nothing is expected.
fn deadline(view: &View<'_>, task: &Task) -> Option<(Instant, &'static str)> {
    if task.is_to_end() {
        return None;
    }
    match task.state()? {
        TaskState::TaskRunning => {
            let heard = task.silent_since()?.max(task.since()?);
            Some((heard + patience(view, task), "it says nothing any more"))
        }
        // What others' images do until they run, nobody knows.
        TaskState::TaskStarting
            if task.is_worker() && view.settings.template.programs.is_ours(task.record().kind) =>
        {
            Some((task.launched()?.max(task.since()?) + WORKER_START, "it does not come up"))
        }
        _ => None,
    }
}

/// How long a task may say nothing: some of its intervals. One that was told others may use these before it is heard to say
/// so, and one that was not heard yet may have been told them by an earlier run of the scheduler.
fn patience(view: &View<'_>, task: &Task) -> Duration {
    let may_be_told = task.is_worker() && (task.tells_intervals() || task.live().is_none());
    let told = view.fleet.worker_intervals().filter(|_| may_be_told);
    let longest = task.intervals().into_iter().chain(told).map(|intervals| intervals.live()).max();
    view.settings.silence_timeout.max(INTERVALS_WAITED * longest.unwrap_or_default())
}
