//! Executors of an earlier version are replaced, one after the other.
//!
//! They are worked with as they are: the wire form of every version since [`OLDEST_VERSION`](::task::OLDEST_VERSION)
//! is read. But what is new only a new executor can do.

use std::time::{Duration, Instant};

use ::task::VERSION;

use super::ending::Ending;
use super::task::Task;
use super::{State, UserNotice};

/// Time between two replacements.
const APART: Duration = Duration::from_secs(60);
/// The next one is not replaced before the last one's successor mines, unless that takes too long.
const PATIENCE: Duration = Duration::from_secs(600);

/// The last replacement, and how many workers mined then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    at: Instant,
    mining: usize,
}

impl State {
    /// Ends one task of an earlier version, if there is one and it is time: workers first. A server on whose life that
    /// of its workers depends is left alone until it ends.
    pub(super) fn replace_outdated(&mut self, now: Instant) {
        if !self.connected || self.ending != Ending::No {
            return;
        }
        let mining = self.tasks.values().filter(|task| task.is_worker() && task.is_running()).count();
        if let Some(last) = self.replaced {
            let age = now.duration_since(last.at);
            if age < APART || mining < last.mining && age < PATIENCE {
                return;
            }
        }
        let outdated = |task: &&Task| {
            let old = task.version.is_some_and(|version| version < VERSION);
            old && task.is_running() && task.kill.is_none()
        };
        let mut found =
            self.tasks.values().filter(outdated).filter(|task| task.is_worker() || self.repoints());
        let Some(task) = found.clone().find(|task| task.is_worker()).or_else(|| found.next()) else { return };
        let id = task.record.id.clone();
        self.replaced = Some(Replaced { at: now, mining });
        self.publish(UserNotice::Outdated { task: id.clone() });
        self.want_kill(&id, now);
    }
}
