//! Retires tasks that ended long ago. A retired task is no longer in the fleet. Only the number in its id stays in memory. Totals
//! still include the task: it counts among the tasks that ended in its state, and its work is part of the ledger's sum. The
//! task's record stays on disk, unless the launch failed.

use std::time::{Duration, Instant};

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::task_id::task_number;

/// An ended task retires after this time if the final update from the task's agent is on disk. The time is short, because the
/// agent sends nothing new about the task after this update.
const KEEP_FINAL: Duration = Duration::from_secs(600);
/// An ended task retires after this time if the final update from the task's agent is missing. The time is long, because the task
/// may still run on an agent that the master cannot reach. If the agent returns, it sends updates of the task. Updates of a
/// retired task are only persisted, and the task is killed if it is alive.
const KEEP_LOST: Duration = Duration::from_secs(30 * 24 * 3600);
/// The time between two checks for ended tasks that may retire.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Maximum number of tasks in one [`Intent::Retire`].
const AT_ONCE: usize = 500;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Retire {
    checked: Option<Instant>,
}

impl Policy for Retire {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                retire(view.fleet.ended(true).filter(|task| may_retire(view, task)).collect())
            }
            PolicyEvent::Tick if self.checked.is_none_or(|at| now.duration_since(at) >= CHECK_EVERY) => {
                self.checked = Some(now);
                let ended = |is_final, keep| {
                    let old = move |task: &&Task| task.since().is_some_and(|since| since + keep <= now);
                    view.fleet.ended(is_final).take_while(old).filter(|task| may_retire(view, task))
                };
                let mut intents = retire(ended(true, KEEP_FINAL).chain(ended(false, KEEP_LOST)).collect());
                intents.push(Intent::ExpireAgents);
                intents
            }
            _ => Vec::new(),
        }
    }
}

/// Whether a task is no longer needed. Of a retired task, only the number in its id is remembered. So a task whose id has no
/// number never retires.
///
/// A server is needed as long as workers refer to it, because its record says whether they are kept.
fn may_retire(view: &View<'_>, task: &Task) -> bool {
    let has_workers = view.fleet.workers_of(task.id()).any(|worker| !worker.is_to_end());
    let needed = task.pending_uuid.is_some() || view.fleet.servers.contains_key(task.id()) || has_workers;
    task_number(task.id()).is_some() && !needed
}

fn retire(tasks: Vec<&Task>) -> Vec<Intent> {
    let ids = |tasks: &[&Task]| tasks.iter().map(|task| task.id().to_owned()).collect();
    tasks.chunks(AT_ONCE).map(|tasks| Intent::Retire(ids(tasks))).collect()
}
