//! Replaces workers whose executor cannot be redirected, one at a time.
//!
//! An old wire format alone is no reason to replace an executor: the scheduler reads each version since
//! [`OLDEST_VERSION`](::task::OLDEST_VERSION). But with `--on-server-loss=repoint`, workers are to outlive their server. A
//! worker can do so only if its executor can be redirected to the next server, so the other workers are replaced.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::redirect::REDIRECTED_SINCE;
use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// Minimum time between two replacements of workers whose executors cannot be redirected.
const APART: Duration = Duration::from_secs(60);
/// After a worker was told to end, the next one is replaced only when as many workers run as before, or when this time is
/// over.
const PATIENCE: Duration = Duration::from_secs(600);

/// The last replacement.
#[derive(Clone, Copy, Debug)]
struct Replacement {
    at: Instant,
    /// The number of workers that ran just before the replaced worker was told to end.
    running: usize,
}

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    /// The ids of the workers to replace, because their executors cannot be redirected to another server.
    outdated: BTreeSet<String>,
    last: Option<Replacement>,
}

impl Policy for Upgrade {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::UpdateReceived(task) if view.keeps_workers() => {
                if view.fleet.get(task).is_some_and(is_outdated) {
                    self.outdated.insert(task.clone());
                }
                Vec::new()
            }
            PolicyEvent::Tick if view.run.connected && !view.run.ending => self.replace(view, now),
            _ => Vec::new(),
        }
    }
}

impl Upgrade {
    fn replace(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if self.outdated.is_empty() {
            return Vec::new();
        }
        let running = view.fleet.count_running_workers();
        if let Some(last) = self.last {
            let age = now.duration_since(last.at);
            if age < APART || running < last.running && age < PATIENCE {
                return Vec::new();
            }
        }
        self.outdated
            .retain(|id| view.fleet.get(id).is_some_and(|task| !task.has_ended() && !task.is_to_end()));
        let runs = |id: &&String| view.fleet.get(id).is_some_and(Task::is_running);
        let Some(task) = self.outdated.iter().find(runs).cloned() else { return Vec::new() };
        self.last = Some(Replacement { at: now, running });
        vec![Intent::Notify(UserNotice::Outdated(task.clone())), Intent::End(task)]
    }
}

fn is_outdated(task: &Task) -> bool {
    task.is_worker() && task.version.is_some_and(|version| version < REDIRECTED_SINCE)
}
