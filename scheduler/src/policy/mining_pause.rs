//! Pauses mining while an operator has said so. `launch` launches nothing meanwhile.
//!
//! Workers are sent an instruction. It may be lost, so it is repeated until their live messages confirm it: with each live message
//! that says otherwise. After the command, and after a new subscription, the policy goes through all workers once, some at each tick.
//! Workers that cannot be told, because they are of an earlier version or are a user's own program, are ended.
//!
//! If the operator wants the resources free, too, all workers are ended instead.

use std::time::Instant;

use ::task::{Instruction, Live};
use command_line::pluralize;
use mesos::v1::TaskState;
use problem::{Problem, ProblemKind};

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::history::Topic;
use crate::journal::{Command, MiningPause};
use crate::task_id::TaskKind;
use crate::unix_time::date;
use crate::user_notice::UserNotice;

/// Maximum number of workers that are told per tick.
const TOLD_AT_ONCE: usize = 500;
/// Maximum number of tasks per tick for which the policy checks whether they must be told.
const CHECKED_AT_ONCE: usize = 2500;
/// Maximum number of workers that a notice names.
const NAMED: usize = 10;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct PauseMining {
    /// How far the policy has gone through all workers.
    sweep: Sweep,
}

#[derive(Debug, Default)]
enum Sweep {
    /// All workers were looked at.
    #[default]
    Done,
    /// The tasks after this one, in the order of their launch, are still to be looked at; `None` for all tasks.
    After(Option<String>),
}

/// What has to be done about a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// It is told to pause, or to go on.
    Tell(bool),
    /// It is ended, so that its resources are free.
    Release,
    /// It is ended, because it cannot be told to pause.
    End,
}

impl Policy for PauseMining {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                self.begin(view.mining_pause().is_some());
                view.set_and_tell(Topic::MiningPause, problem(view))
            }
            PolicyEvent::Commanded(Command::Pause { .. } | Command::Resume) => {
                self.begin(true);
                view.set_problem(Topic::MiningPause, problem(view)).into_iter().collect()
            }
            PolicyEvent::Subscribed => {
                self.begin(view.mining_pause().is_some());
                Vec::new()
            }
            PolicyEvent::Alive { task, .. } | PolicyEvent::LiveMessage { task, .. } => {
                act(view, view.fleet.get(task).into_iter())
            }
            PolicyEvent::Tick if view.run.connected => self.go_on(view),
            _ => Vec::new(),
        }
    }
}

impl PauseMining {
    fn begin(&mut self, begins: bool) {
        if begins {
            self.sweep = Sweep::After(None);
        }
    }

    /// Looks at some further workers.
    fn go_on(&mut self, view: &View<'_>) -> Vec<Intent> {
        let Sweep::After(after) = &self.sweep else { return Vec::new() };
        let tasks: Vec<&Task> = view.fleet.in_launch_order(after.as_deref()).take(CHECKED_AT_ONCE).collect();
        let mut acted = 0;
        let few = |task: &&&Task| {
            acted += usize::from(action(view, task).is_some());
            acted <= TOLD_AT_ONCE
        };
        let looked_at: Vec<&Task> = tasks.iter().take_while(few).copied().collect();
        self.sweep = match looked_at.last() {
            Some(last) => Sweep::After(Some(last.id().to_owned())),
            None => Sweep::Done,
        };
        act(view, looked_at.into_iter())
    }
}

/// Tells or ends those of these tasks for which this is due.
fn act<'a>(view: &View<'_>, tasks: impl Iterator<Item = &'a Task>) -> Vec<Intent> {
    let (mut intents, mut ended) = (Vec::new(), Vec::new());
    for task in tasks {
        let Some(action) = action(view, task) else { continue };
        intents.push(match action {
            Action::Tell(pauses) => {
                let data = Instruction::Pause(pauses).encode();
                let (executor, agent) = (task.id().to_owned(), task.agent().to_owned());
                Intent::Call(Call::Message { executor, agent, data })
            }
            Action::Release | Action::End => Intent::end(task),
        });
        if action == Action::End {
            ended.push(task.id());
        }
    }
    let notice = (!ended.is_empty()).then(|| Intent::Notify(UserNotice::Remark(cannot_be_told(&ended))));
    notice.into_iter().chain(intents).collect()
}

/// What has to be done about a task; `None` if it is as it should be, or cannot be reached now.
fn action(view: &View<'_>, task: &Task) -> Option<Action> {
    if !task.is_worker() || task.is_to_end() || view.run.ending {
        return None;
    }
    let reached = matches!(task.state(), Some(TaskState::TaskStarting | TaskState::TaskRunning));
    let paused = match &task.live {
        Some((_, Live::Worker(live))) => live.paused,
        _ => None,
    };
    let can_be_told = view.settings.template.programs.is_ours(TaskKind::Worker)
        && (task.live.is_none() || paused.is_some());
    match view.mining_pause() {
        Some(MiningPause { release: true, .. }) => Some(Action::Release),
        Some(_) if !reached || paused == Some(true) => None,
        Some(_) if can_be_told => Some(Action::Tell(true)),
        Some(_) => Some(Action::End),
        None => (reached && paused == Some(true)).then_some(Action::Tell(false)),
    }
}

fn problem(view: &View<'_>) -> Option<Problem> {
    let pause = view.mining_pause()?;
    Some(Problem::new(ProblemKind::MiningPaused, text(pause)))
}

fn text(MiningPause { release, said }: &MiningPause) -> String {
    let what = if *release { ", and the workers' resources are free" } else { "" };
    format!("paused by {} since {}{what}", said.by, date(said.at_ms))
}

fn cannot_be_told(ended: &[&str]) -> String {
    let names = ended[..ended.len().min(NAMED)].join(", ");
    let more = ended.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let workers = pluralize(ended.len(), "worker");
    format!(
        "{workers} cannot be told to pause (an earlier version, or a user's own image), so their tasks end: {names}{more}"
    )
}
