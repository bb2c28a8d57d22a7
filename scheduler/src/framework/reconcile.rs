//! Asking the master what has become of our tasks, until each has answered.
//!
//! See "Reconciliation" in Mesos' documentation. A master gives no answer for a task whose agent may yet come
//! back, so it must be asked again, with growing pauses. An implicit request (for all tasks) finds what we don't
//! know of.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::backoff::Backoff;
use mesos::v1::TaskState;

use super::task::{Phase, Task};
use super::{Call, State};

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
const IMPLICIT: Duration = Duration::from_secs(15 * 60);
/// A launch without any update is asked about after this time.
const LAUNCH_DOUBT: Duration = Duration::from_secs(10);

/// What was asked and not answered.
#[derive(Debug)]
pub(super) struct Reconciler {
    waiting: BTreeSet<String>,
    backoff: Backoff,
    next: Option<Instant>,
    implicit: Option<Instant>,
}

impl Default for Reconciler {
    fn default() -> Reconciler {
        let backoff = Backoff::new(FIRST, LONGEST);
        Reconciler { waiting: BTreeSet::new(), backoff, next: None, implicit: None }
    }
}

impl Reconciler {
    /// An update of this task came.
    pub fn answered(&mut self, task: &str) {
        self.waiting.remove(task);
    }
}

impl State {
    /// Whether all that was asked is answered.
    #[cfg(test)]
    pub(super) fn reconciler_is_idle(&self) -> bool {
        self.reconciler.waiting.is_empty()
    }

    /// After each subscription: much may have happened.
    pub(super) fn start_reconciling(&mut self, now: Instant) {
        self.reconciler = Reconciler::default();
        let doubtful = |task: &&Task| task.may_live() || task.state == Some(TaskState::TaskLost);
        self.reconciler.waiting =
            self.tasks.values().filter(doubtful).map(|task| task.record.id.clone()).collect();
        for task in self.tasks.values_mut() {
            // Time without a subscription does not count.
            if let (Phase::Sent(sent), None) = (&mut task.phase, task.state) {
                *sent = now;
            }
        }
        self.reconcile_what_is_due(now);
    }

    pub(super) fn reconcile_what_is_due(&mut self, now: Instant) {
        let silent = |task: &&Task| match task.phase {
            Phase::Sent(sent) => task.state.is_none() && now.duration_since(sent) >= LAUNCH_DOUBT,
            Phase::Writing(_) => false,
        };
        let all = self.reconciler.implicit.is_none_or(|at| now >= at);
        // Of what the master does not know it tells only those who ask for it: some day it forgets agents that stay
        // away, and their tasks.
        let live = |task: &&Task| all && task.may_live();
        let doubtful = self.tasks.values().filter(|task| silent(task) || live(task));
        let doubtful: Vec<String> = doubtful.map(|task| task.record.id.clone()).collect();
        self.ask_for(doubtful, now);
        if all {
            self.reconciler.implicit = Some(now + self.jitter(IMPLICIT));
            self.call(Call::Reconcile(Vec::new()));
        }
    }

    /// Asks for these and for those that have not answered, if it is time.
    fn ask_for(&mut self, doubtful: Vec<String>, now: Instant) {
        let reconciler = &mut self.reconciler;
        let idle = reconciler.waiting.is_empty();
        reconciler.waiting.extend(doubtful);
        if reconciler.waiting.is_empty() {
            reconciler.backoff.reset();
            reconciler.next = None;
        } else if idle || reconciler.next.is_none_or(|next| now >= next) {
            reconciler.next = Some(now + reconciler.backoff.delay_with(&mut self.random));
            let agent = |id: &String| self.tasks.get(id).map(|task| (id.clone(), task.record.agent.clone()));
            let tasks = reconciler.waiting.iter().filter_map(agent).collect();
            self.call(Call::Reconcile(tasks));
        }
    }
}
