//! The end: KILL workers → their last reports are recorded and acknowledged → KILL server likewise → TEARDOWN.
//! Each step has a deadline. Without teardown, only what is being written is waited for.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::task::{Phase, Task};
use super::{Call, Effect, State, UserNotice};
use crate::kind::Kind;
use crate::record::{Change, StatusRecord};

/// For one kind of task to end. Mesos' own grace period is shorter.
const STEP: Duration = Duration::from_secs(15);
/// For the disk.
const LEAVE: Duration = Duration::from_secs(5);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ending {
    /// Not begun.
    No,
    /// The tasks go on; what is being written is waited for until then.
    Leaving(Instant),
    /// Waiting for all tasks of this kind until then.
    Killing(Kind, Instant),
    /// All is said.
    Done,
}

impl State {
    pub(super) fn stop(&mut self, now: Instant) {
        if self.ending != Ending::No {
            return;
        }
        if self.settings.teardown {
            let tasks = self.tasks.values().filter(|task| task.may_live()).count();
            if tasks > 0 {
                self.publish(UserNotice::Ending { tasks });
            }
            self.ending = Ending::Killing(Kind::Worker, now + STEP);
        } else {
            self.ending = Ending::Leaving(now + LEAVE);
        }
    }

    /// The master has taken the TEARDOWN, which kills what did not end before. Returns what is to be written down.
    pub fn torn_down(&mut self) -> Vec<Change> {
        let killed = TaskState::TaskKilled;
        let live = self.tasks.values_mut().filter(|task| task.may_live());
        live.map(|task| {
            task.state = Some(killed);
            Change::Status(StatusRecord {
                task: task.record.id.clone(),
                kind: task.record.kind,
                state: Some(killed.as_str_name().to_owned()),
                reason: None,
                last: false,
                message: Some("ended by TEARDOWN without a last report".to_owned()),
                report: None,
            })
        })
        .collect()
    }

    pub(super) fn go_on_ending(&mut self, now: Instant) {
        loop {
            let next = match self.ending {
                Ending::No | Ending::Done => return,
                Ending::Leaving(deadline) if self.pending.is_empty() || now >= deadline => Ending::Done,
                Ending::Leaving(_) => return,
                Ending::Killing(kind, deadline) => {
                    if !self.all_ended(kind, now, deadline) {
                        return;
                    }
                    match kind {
                        Kind::Worker => Ending::Killing(Kind::Server, now + STEP),
                        Kind::Server => Ending::Done,
                    }
                }
            };
            self.ending = next;
            if next == Ending::Done {
                if self.settings.teardown && self.framework.is_some() {
                    self.call(Call::Teardown);
                }
                self.effects.push(Effect::Finish);
            }
        }
    }

    /// Whether all tasks of a kind have ended and all that they said is recorded, or time is up.
    fn all_ended(&mut self, kind: Kind, now: Instant, deadline: Instant) -> bool {
        let of_kind = |task: &&Task| task.record.kind == kind && !task.is_over();
        let left: Vec<String> =
            self.tasks.values().filter(of_kind).map(|task| task.record.id.clone()).collect();
        for id in &left {
            self.want_kill(id, now);
        }
        self.kill_what_is_due(now);
        if self.framework.is_none() {
            return true;
        }
        // Nothing can be done about a task whose agent does not answer: TEARDOWN ends it when it returns.
        let reachable = |id: &&String| {
            self.tasks.get(*id).is_some_and(|task| {
                task.state != Some(TaskState::TaskUnreachable) || matches!(task.phase, Phase::Writing(_))
            })
        };
        let waiting: Vec<String> = left.iter().filter(reachable).cloned().collect();
        if waiting.is_empty() && self.pending.is_empty() {
            return true;
        }
        if now >= deadline && !waiting.is_empty() {
            self.publish(UserNotice::Overdue { tasks: waiting });
        }
        now >= deadline
    }
}
