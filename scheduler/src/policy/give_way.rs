//! Workers that stay when their server is gone may take all the room there is: one of them has to go if a server finds
//! none.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View, launch, maintenance, redirect};
use crate::constraints::{Occupancy, Trial, all_allow};
use crate::fleet::{Marks, Task};
use crate::offers::Agents;
use crate::user_notice::UserNotice;

/// If nothing on offer fits a new server for so long, a worker gives way.
const GIVE_WAY: Duration = Duration::from_secs(10);

/// The rule.
#[derive(Debug, Default)]
pub(super) struct GiveWay {
    /// Since when there are workers that wait for a server.
    waiting_since: Option<Instant>,
}

impl Policy for GiveWay {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        if !matches!(happening, Happening::Tick) || !view.session.connected {
            return Vec::new();
        }
        let lacks_server = view.keeps_workers() && launch::lacks_server(view);
        if !lacks_server || view.session.ending || redirect::waiting(view).next().is_none() {
            self.waiting_since = None;
            return Vec::new();
        }
        let since = *self.waiting_since.get_or_insert(now);
        if now.duration_since(since) < GIVE_WAY {
            return Vec::new();
        }
        // Another worker goes later if the room of this one is not enough.
        self.waiting_since = Some(now);
        let Some(task) = most_dispensable(view, now) else { return Vec::new() };
        vec![Intent::Notify(UserNotice::GivesWay { task: task.clone() }), Intent::End { task }]
    }
}

/// The smallest worker whose room is enough for the server, where a server may run.
fn most_dispensable(view: &View<'_>, now: Instant) -> Option<String> {
    let (placement, needed) = (&view.settings.placement, view.settings.server_cpus_milli);
    let marks = Marks { fleet: view.fleet, notice: maintenance::NO_SERVER, now };
    let nobody = Occupancy::default();
    let nobody = Trial::of(&nobody);
    let helps = |task: &&Task| {
        let marks = marks.marks(task.agent());
        task.state() != Some(TaskState::TaskUnreachable)
            && marks.paused.is_none()
            && marks.leaving.is_none()
            && all_allow(&placement.server, &task.place(), &nobody)
    };
    // Revocable CPU is nothing for a server.
    let candidates = redirect::waiting(view).filter(|_| !placement.revocable).filter(helps);
    // One that is too small may be enough with what its agent has left.
    let cost = |task: &&Task| {
        let cpus = task.record().cpus_milli();
        (cpus < needed, if cpus < needed { u64::MAX - cpus } else { cpus })
    };
    candidates.min_by_key(cost).map(|task| task.id().to_owned())
}
