//! The shutdown: KILL the workers → persist and acknowledge their last reports → do the same with the servers → persist that
//! TEARDOWN follows → TEARDOWN. Each step has a deadline. Without teardown, the tasks keep running, and the shutdown only waits until all changes are on disk.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// A shutdown ends all workers and then all servers. It waits at most this long for each of the two. This is longer than the
/// 12 s that a server may take after KILL.
const STEP: Duration = Duration::from_secs(15);
/// The last step of a shutdown waits at most this long until all changes are on disk.
const PERSIST: Duration = Duration::from_secs(5);

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Shutdown {
    /// No shutdown has begun.
    #[default]
    No,
    /// The tasks keep running. The shutdown waits until all changes are on disk, or until this deadline.
    Leaving(Instant),
    /// The tasks of this kind were told to end. The shutdown waits for them until this deadline.
    Ending(TaskKind, Instant),
    /// All tasks have ended. Before TEARDOWN is sent, a record of it should be on disk. The shutdown waits for the record at most
    /// until this deadline. If the process dies before the answer to TEARDOWN, the record tells the next scheduler who tore the
    /// framework down.
    Recording(Instant),
    /// Nothing is left to do.
    Done,
}

impl Policy for Shutdown {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Stop => self.begin(view, now),
            PolicyEvent::Tick if is_reached(view, now) => self.begin(view, now),
            PolicyEvent::Alive { task, .. } => match (*self, view.fleet.get(task)) {
                (Self::Ending(kind, _), Some(task)) if task.record.kind == kind && !task.is_to_end() => {
                    vec![Intent::end(task)]
                }
                _ => Vec::new(),
            },
            PolicyEvent::Settled => self.go_on(view, now),
            _ => Vec::new(),
        }
    }
}

/// Whether `--duration` or `--blocks` is reached.
fn is_reached(view: &View<'_>, now: Instant) -> bool {
    let run = now.duration_since(view.run.started);
    let over = view.settings.options.duration.is_some_and(|duration| run >= duration);
    over || view.settings.options.blocks.is_some_and(|blocks| view.history.ledger.sum().1 >= blocks)
}

impl Shutdown {
    fn begin(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if *self != Self::No {
            return Vec::new();
        }
        if !view.settings.options.teardown_on_exit {
            *self = Self::Leaving(now + PERSIST);
            return vec![Intent::BeginShutdown];
        }
        let tasks = view.fleet.count_live();
        let notice = (tasks > 0).then_some(Intent::Notify(UserNotice::Ending(tasks)));
        let ends = self.begin_step(view, TaskKind::Worker, now);
        [Intent::BeginShutdown].into_iter().chain(notice).chain(ends).collect()
    }

    fn begin_step(&mut self, view: &View<'_>, kind: TaskKind, now: Instant) -> Vec<Intent> {
        *self = Self::Ending(kind, now + STEP);
        let of_kind = view.fleet.active().filter(|task| task.record.kind == kind);
        of_kind.filter(|task| !task.is_to_end()).map(Intent::end).collect()
    }

    fn go_on(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        while let Some(next) = self.next(view, now) {
            intents.extend(next);
            if let Self::Recording(_) = self {
                // The intent to record TEARDOWN is carried out later, so `view.unpersisted` does not count the record yet.
                break;
            }
        }
        intents
    }

    /// Begins the next step if the present one is done or overdue.
    fn next(&mut self, view: &View<'_>, now: Instant) -> Option<Vec<Intent>> {
        match *self {
            Self::No | Self::Done => None,
            Self::Leaving(deadline) | Self::Recording(deadline) if view.unpersisted > 0 && now < deadline => {
                None
            }
            Self::Leaving(_) => Some(self.finish()),
            Self::Recording(_) => Some([vec![Intent::Call(Call::Teardown)], self.finish()].concat()),
            Self::Ending(kind, deadline) => {
                let waits = view.history.framework.is_some() && is_waited_for(view, kind);
                if waits && now < deadline {
                    return None;
                }
                let overdue = waits.then(|| overdue(view, kind)).flatten();
                let next = match kind {
                    TaskKind::Worker => self.begin_step(view, TaskKind::Server, now),
                    TaskKind::Server => self.begin_teardown(view, now),
                };
                Some(overdue.into_iter().chain(next).collect())
            }
        }
    }

    /// TEARDOWN cannot be sent without a subscription. Then it is not recorded either: if an operator tore the framework down
    /// later, the record would wrongly say that this scheduler did it.
    fn begin_teardown(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if view.history.framework.is_none() || !view.run.connected {
            return self.finish();
        }
        *self = Self::Recording(now + PERSIST);
        vec![Intent::RecordTeardown]
    }

    fn finish(&mut self) -> Vec<Intent> {
        *self = Self::Done;
        vec![Intent::Finish]
    }
}

/// Whether tasks of this kind have not ended yet, or changes are not on disk yet. The shutdown does not wait for a task on an
/// unreachable agent: TEARDOWN ends that task when the agent returns.
fn is_waited_for(view: &View<'_>, kind: TaskKind) -> bool {
    let active = view.fleet.count(kind);
    active.tasks > active.unreachable || view.unpersisted > 0
}

fn overdue(view: &View<'_>, kind: TaskKind) -> Option<Intent> {
    let of_kind = view.fleet.active().filter(|task| task.record.kind == kind);
    let waits = of_kind.filter(|task| task.state() != Some(TaskState::TaskUnreachable));
    let tasks: Vec<String> = waits.map(|task| task.id().to_owned()).collect();
    (!tasks.is_empty()).then_some(Intent::Notify(UserNotice::Overdue(tasks)))
}
