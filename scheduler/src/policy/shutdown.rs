//! The shutdown: KILL the workers → persist and acknowledge their last reports → do the same with the servers → persist that
//! TEARDOWN follows → TEARDOWN. Each step has a deadline. Without teardown, the tasks keep running, and the shutdown only waits until all changes are on disk.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::journal::Command;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// A shutdown ends all workers and then all servers. It waits at most this long for each of the two. This is longer than the
/// 12 s that a server may take after KILL.
const STEP: Duration = Duration::from_secs(15);
/// The last step of a shutdown waits at most this long until all changes are on disk.
const PERSIST: Duration = Duration::from_secs(5);

/// When the user is first told what a shutdown waits for, and the time between two such notices.
const SAY_AFTER: Duration = Duration::from_secs(2);
const SAY_EVERY: Duration = Duration::from_secs(3);

/// The shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shutdown {
    step: Step,
    /// When the user is told next what the shutdown waits for; `None` if no shutdown has begun.
    say_at: Option<Instant>,
}

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Step {
    /// No shutdown has begun.
    #[default]
    No,
    /// The tasks keep running. The shutdown waits until all changes are on disk, or until this deadline.
    Leaving(Instant),
    /// The tasks of this kind were told to end. The shutdown waits for them until this deadline.
    Ending(TaskKind, Instant),
    /// All tasks have ended. Before TEARDOWN is sent, a record of it should be on disk. The shutdown waits for the record at most
    /// until this deadline. If the process dies before the answer to TEARDOWN, the record tells the next scheduler who tore the
    /// framework down, so it is waited for even while the disk fails.
    Recording(Instant),
    /// Nothing is left to do.
    Done,
}

impl Policy for Shutdown {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Stop => self.begin(view, view.run.teardown, now),
            PolicyEvent::Tick if is_reached(view, now) => self.begin(view, view.run.teardown, now),
            PolicyEvent::Commanded(Command::Teardown) => self.begin(view, true, now),
            // An earlier run of the scheduler has not carried the command out.
            PolicyEvent::Subscribed if view.history.controls.teardown.is_some() => {
                self.begin(view, true, now)
            }
            PolicyEvent::Alive { task, .. } => match (self.step, view.fleet.get(task)) {
                (Step::Ending(kind, _), Some(task)) if task.record.kind == kind && !task.is_to_end() => {
                    vec![Intent::end(task)]
                }
                _ => Vec::new(),
            },
            PolicyEvent::Settled => {
                let intents = self.go_on(view, now);
                intents.into_iter().chain(self.say(view, now)).collect()
            }
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
    fn begin(&mut self, view: &View<'_>, teardown: bool, now: Instant) -> Vec<Intent> {
        if self.step != Step::No {
            return Vec::new();
        }
        self.say_at = Some(now + SAY_AFTER);
        if !teardown {
            self.step = Step::Leaving(now + PERSIST);
            return vec![Intent::BeginShutdown { teardown }];
        }
        let tasks = view.fleet.count_live();
        let notice = (tasks > 0).then_some(Intent::Notify(UserNotice::Ending(tasks)));
        let ends = self.begin_step(view, TaskKind::Worker, now);
        [Intent::BeginShutdown { teardown }].into_iter().chain(notice).chain(ends).collect()
    }

    fn begin_step(&mut self, view: &View<'_>, kind: TaskKind, now: Instant) -> Vec<Intent> {
        self.step = Step::Ending(kind, now + STEP);
        let of_kind = view.fleet.active().filter(|task| task.record.kind == kind);
        of_kind.filter(|task| !task.is_to_end()).map(Intent::end).collect()
    }

    fn go_on(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        while let Some(next) = self.next(view, now) {
            intents.extend(next);
            if let Step::Recording(_) = self.step {
                // The intent to record TEARDOWN is carried out later, so `view.unpersisted` does not count the record yet.
                break;
            }
        }
        intents
    }

    /// Begins the next step if the present one is done or overdue.
    fn next(&mut self, view: &View<'_>, now: Instant) -> Option<Vec<Intent>> {
        match self.step {
            Step::No | Step::Done => None,
            Step::Leaving(deadline) | Step::Recording(deadline) if view.unpersisted > 0 && now < deadline => {
                None
            }
            Step::Leaving(_) => Some(self.finish()),
            Step::Recording(_) => Some([vec![Intent::Call(Call::Teardown)], self.finish()].concat()),
            Step::Ending(kind, deadline) => {
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

    /// Tells the user from time to time what the shutdown waits for.
    fn say(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let (kind, deadline) = match self.step {
            Step::No | Step::Done => return Vec::new(),
            Step::Leaving(deadline) | Step::Recording(deadline) => (None, deadline),
            Step::Ending(kind, deadline) => (Some(kind), deadline),
        };
        if self.say_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.say_at = Some(now + SAY_EVERY);
        let left = deadline.saturating_duration_since(now);
        let tasks: Vec<String> = kind.into_iter().flat_map(|kind| still_running(view, kind)).collect();
        let tasks = (!tasks.is_empty()).then_some(UserNotice::WaitingForTasks { tasks, left });
        let records = (view.unpersisted > 0).then(|| UserNotice::WaitingForRecords {
            records: view.unpersisted,
            why: view.store_problem().map(|problem| problem.text.clone()),
            left,
        });
        tasks.into_iter().chain(records).map(Intent::Notify).collect()
    }

    /// TEARDOWN cannot be sent without a subscription. Then it is not recorded either: if an operator tore the framework down
    /// later, the record would wrongly say that this scheduler did it.
    fn begin_teardown(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if view.history.framework.is_none() || !view.run.connected {
            return self.finish();
        }
        self.step = Step::Recording(now + PERSIST);
        vec![Intent::RecordTeardown]
    }

    fn finish(&mut self) -> Vec<Intent> {
        self.step = Step::Done;
        vec![Intent::Finish]
    }
}

/// Whether tasks of this kind have not ended yet, or changes are not on disk yet. The shutdown does not wait for a task on an
/// unreachable agent: TEARDOWN ends that task when the agent returns.
///
/// While the disk fails, only the last of the two steps waits for it, so that the user waits only once for these changes.
fn is_waited_for(view: &View<'_>, kind: TaskKind) -> bool {
    if kind == TaskKind::Worker && view.store_problem().is_some() {
        return still_running(view, kind).next().is_some();
    }
    let active = view.fleet.count(kind);
    active.tasks > active.unreachable || view.unpersisted > 0
}

/// The ids of the tasks of this kind that may still run: their launch was sent, and the scheduler has not heard of their end. They
/// are not on unreachable agents.
fn still_running(view: &View<'_>, kind: TaskKind) -> impl Iterator<Item = String> {
    let runs = move |task: &&Task| task.record.kind == kind && task.may_live() && !task.is_ending;
    let of_kind = view.fleet.active().filter(runs);
    let waits = of_kind.filter(|task| task.state() != Some(TaskState::TaskUnreachable));
    waits.map(|task| task.id().to_owned())
}

/// Says which tasks are not waited for any more. The end of the others is known, but not recorded.
fn overdue(view: &View<'_>, kind: TaskKind) -> Option<Intent> {
    let tasks: Vec<String> = still_running(view, kind).collect();
    (!tasks.is_empty()).then_some(Intent::Notify(UserNotice::Overdue(tasks)))
}
