//! Tells the user again why nothing mines, as long as no worker works, so that the end of the log always names the cause. The policy
//! that sets a problem has told the user of it for the first time.

use std::time::{Duration, Instant};

use problem::{Problem, ProblemKind};

use super::tell_again::TellAgain;
use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::ranked_problems::Problems;
use crate::user_notice::UserNotice;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct LastingProblem {
    again: TellAgain,
}

impl Policy for LastingProblem {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        if !matches!(event, PolicyEvent::Tick) {
            return Vec::new();
        }
        if view.run.ending || view.mining_pause().is_some() || mines(view, now) {
            self.again.end();
            return Vec::new();
        }
        // While there is no subscription, the driver tells the user.
        if self.again.waits(now) || !view.hears_tasks(now) {
            return Vec::new();
        }
        let Some(problem) = Problems::of(view.fleet, view.history).first.into_iter().next() else {
            return Vec::new();
        };
        let is_new = self.again.tell(now);
        if is_new || tells_itself(problem.kind) {
            return Vec::new();
        }
        vec![Intent::Notify(UserNotice::Problem(Problem::new(problem.kind, problem.with_remedy())))]
    }
}

/// Whether a worker runs and has not said that it waits.
fn mines(view: &View<'_>, now: Instant) -> bool {
    let waits =
        |task: &&Task| task.is_worker() && task.is_running() && task.problem(Duration::ZERO, now).is_some();
    view.fleet.count_running_workers() > view.fleet.with_problem().filter(waits).count()
}

/// Whether the policy that sets problems of this kind tells the user again itself.
fn tells_itself(kind: ProblemKind) -> bool {
    matches!(kind, ProblemKind::ServerLaunchSlow | ProblemKind::WorkerLaunchesSlow)
}
