//! Workers whose executor cannot do what is wanted of it are replaced, one after the other.
//!
//! That a later version of the wire form exists is no reason: every version since
//! [`OLDEST_VERSION`](::task::OLDEST_VERSION) is read, and a task that does its work goes on. But where workers are to
//! outlive their server, one that cannot be told of the next server would be lost with this one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::redirect::REDIRECTED_SINCE;
use super::{Happening, Intent, Policy, View};
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// Time between two replacements.
const APART: Duration = Duration::from_secs(60);
/// The next one is not replaced before the last one's successor mines, unless that takes too long.
const PATIENCE: Duration = Duration::from_secs(600);

/// The last replacement, and how many workers ran then.
#[derive(Clone, Copy, Debug)]
struct Replaced {
    at: Instant,
    running: usize,
}

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    /// Those that cannot do what is wanted.
    outdated: BTreeSet<String>,
    last: Option<Replaced>,
}

impl Policy for Upgrade {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Answered { task } if view.keeps_workers() => {
                if view.fleet.get(task).is_some_and(is_outdated) {
                    self.outdated.insert(task.clone());
                }
                Vec::new()
            }
            Happening::Tick if view.session.connected && !view.session.ending => self.replace(view, now),
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
            .retain(|id| view.fleet.get(id).is_some_and(|task| !task.is_over() && !task.is_to_end()));
        let runs = |id: &&String| view.fleet.get(id).is_some_and(Task::is_running);
        let Some(task) = self.outdated.iter().find(runs).cloned() else { return Vec::new() };
        self.last = Some(Replaced { at: now, running });
        vec![Intent::Notify(UserNotice::Outdated { task: task.clone() }), Intent::End { task }]
    }
}

fn is_outdated(task: &Task) -> bool {
    task.is_worker() && task.version().is_some_and(|version| version < REDIRECTED_SINCE)
}
