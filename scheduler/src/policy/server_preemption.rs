//! Makes room for a server. Workers may occupy all resources: they wait for the next server, or they mine at an external pool and
//! a server is wanted instead. If no offer is large enough for the server, one of these workers is ended.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View, launch, maintenance, redirect};
use crate::constraints::{Occupancy, TentativeOccupancy, all_allow};
use crate::fleet::Task;
use crate::journal::Assignment;
use crate::user_notice::UserNotice;

/// A worker is ended to make room when workers have waited for this long without an offer that is large enough for a server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct ServerPreemption {
    /// When the wait for room for a server began; `None` if no worker waits for a server. The wait begins anew when a worker has
    /// been ended to make room.
    waiting_since: Option<Instant>,
}

impl Policy for ServerPreemption {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        if !matches!(event, PolicyEvent::Tick) || !view.run.connected {
            return Vec::new();
        }
        // While failures prevent the launch of a server, more room does not help.
        let is_limited = view.fleet.launches_allowed(now) == Some(0);
        let lacks = launch::lacks_server(view) && !view.run.ending && !is_limited;
        if !lacks || occupants(view).next().is_none() {
            self.waiting_since = None;
            return Vec::new();
        }
        let since = *self.waiting_since.get_or_insert(now);
        if now.duration_since(since) < PATIENCE {
            return Vec::new();
        }
        // If there is still no place for a server after the end of this worker, another worker is ended later.
        self.waiting_since = Some(now);
        let Some(task) = most_dispensable(view, now) else { return Vec::new() };
        vec![Intent::Notify(UserNotice::Preempted(task.clone())), Intent::End(task)]
    }
}

/// The workers that wait for a server, and those at an external pool.
fn occupants<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Task> {
    let at_pool = |task: &&Task| {
        let is_elsewhere = matches!(task.record.assignment, Some(Assignment::Pool(_)));
        is_elsewhere && task.may_live() && !task.is_to_end()
    };
    redirect::waiting(view).chain(view.fleet.active().filter(at_pool))
}

/// Among the workers on agents where the server may run: the smallest one that has enough CPU for the server, or else the
/// largest.
fn most_dispensable(view: &View<'_>, now: Instant) -> Option<String> {
    let (placement, needed) = (&view.settings.placement, view.settings.server_cpus_milli());
    let nobody = Occupancy::default();
    let nobody = TentativeOccupancy::of(&nobody);
    let helps = |task: &&Task| {
        let marks = view.marks(task.agent(), task.host(), maintenance::NO_SERVER, now);
        task.state() != Some(TaskState::TaskUnreachable)
            && marks.paused.is_none()
            && marks.leaving.is_none()
            && !marks.avoided
            && all_allow(&placement.server, &task.place(), &nobody)
    };
    // A server cannot use revocable CPU.
    let candidates = occupants(view).filter(|_| !placement.revocable).filter(helps);
    // If no worker has enough CPU for the server, the largest one is chosen: with the free CPU on its agent, it may be enough.
    let cost = |task: &&Task| {
        let cpus = task.record.cpus_milli();
        (cpus < needed, if cpus < needed { u64::MAX - cpus } else { cpus })
    };
    candidates.min_by_key(cost).map(|task| task.id().to_owned())
}
