//! The end: KILL workers → their last reports are recorded and acknowledged → KILL servers likewise → TEARDOWN.
//! Each step has a deadline. Without teardown, only what is being written is waited for.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::kind::Kind;
use crate::user_notice::UserNotice;

/// For one kind of task to end. Mesos' own grace period is shorter.
const STEP: Duration = Duration::from_secs(15);
/// For the disk.
const LEAVE: Duration = Duration::from_secs(5);

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Shutdown {
    /// Not begun.
    #[default]
    No,
    /// The tasks go on. Waits for what is being written, until this deadline.
    Leaving(Instant),
    /// Waits for all tasks of this kind to end, until this deadline.
    Ending(Kind, Instant),
    /// Nothing is left to do.
    Done,
}

impl Policy for Shutdown {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Stop => self.begin(view, now),
            Happening::Tick if is_reached(view, now) => self.begin(view, now),
            Happening::Alive { task, .. } => match (*self, view.fleet.get(task)) {
                (Self::Ending(kind, _), Some(task)) if task.record().kind == kind && !task.is_to_end() => {
                    vec![end(task)]
                }
                _ => Vec::new(),
            },
            Happening::Settled => self.go_on(view, now),
            _ => Vec::new(),
        }
    }
}

/// Whether what was to be done is done.
fn is_reached(view: &View<'_>, now: Instant) -> bool {
    let run = now.duration_since(view.session.started);
    let over = view.settings.duration.is_some_and(|duration| run >= duration);
    over || view.settings.blocks.is_some_and(|blocks| view.history.ledger.sum().1 >= blocks)
}

impl Shutdown {
    fn begin(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if *self != Self::No {
            return Vec::new();
        }
        if !view.settings.teardown {
            *self = Self::Leaving(now + LEAVE);
            return vec![Intent::BeginEnd];
        }
        let tasks = view.fleet.count_live();
        let notice = (tasks > 0).then_some(Intent::Notify(UserNotice::Ending { tasks }));
        let ends = self.begin_step(view, Kind::Worker, now);
        [Intent::BeginEnd].into_iter().chain(notice).chain(ends).collect()
    }

    fn begin_step(&mut self, view: &View<'_>, kind: Kind, now: Instant) -> Vec<Intent> {
        *self = Self::Ending(kind, now + STEP);
        let of_kind = view.fleet.present().filter(|task| task.record().kind == kind);
        of_kind.filter(|task| !task.is_to_end()).map(end).collect()
    }

    fn go_on(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        while let Some(next) = self.next(view, now) {
            intents.extend(next);
        }
        intents
    }

    /// The next step, if the present one is over.
    fn next(&mut self, view: &View<'_>, now: Instant) -> Option<Vec<Intent>> {
        match *self {
            Self::No | Self::Done => None,
            Self::Leaving(deadline) if view.unwritten > 0 && now < deadline => None,
            Self::Leaving(_) => Some(self.finish(view)),
            Self::Ending(kind, deadline) => {
                let waits = view.history.framework.is_some() && is_waited_for(view, kind);
                if waits && now < deadline {
                    return None;
                }
                let overdue = waits.then(|| overdue(view, kind)).flatten();
                let next = match kind {
                    Kind::Worker => self.begin_step(view, Kind::Server, now),
                    Kind::Server => self.finish(view),
                };
                Some(overdue.into_iter().chain(next).collect())
            }
        }
    }

    fn finish(&mut self, view: &View<'_>) -> Vec<Intent> {
        *self = Self::Done;
        let teardown = view.settings.teardown && view.history.framework.is_some();
        let teardown = teardown.then_some(Intent::Call(Call::Teardown));
        teardown.into_iter().chain([Intent::Finish]).collect()
    }
}

/// Whether tasks of this kind are still to end, or something is on its way to the disk. Nothing can be done about a task
/// whose agent does not answer: TEARDOWN ends it when it returns.
fn is_waited_for(view: &View<'_>, kind: Kind) -> bool {
    let present = view.fleet.count(kind);
    present.tasks > present.unreachable || view.unwritten > 0
}

fn overdue(view: &View<'_>, kind: Kind) -> Option<Intent> {
    let of_kind = view.fleet.present().filter(|task| task.record().kind == kind);
    let waits = of_kind.filter(|task| task.state() != Some(TaskState::TaskUnreachable));
    let tasks: Vec<String> = waits.map(|task| task.id().to_owned()).collect();
    (!tasks.is_empty()).then_some(Intent::Notify(UserNotice::Overdue { tasks }))
}

fn end(task: &Task) -> Intent {
    Intent::End { task: task.id().to_owned() }
}
