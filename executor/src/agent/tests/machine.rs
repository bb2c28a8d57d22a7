//! The state machine with a clock of its own, and what the tests of it share.

mod connection;
mod end;
mod launch;
mod messages;
mod renewal;

use std::time::{Duration, Instant};

use mesos::executor::{Event, Identity};
use mesos::v1::executor::{Call, call};
use mesos::v1::{TaskGroupInfo, TaskInfo, TaskState, TaskStatus};
use task::{Instruction, Intervals, Live, Report, WorkerLive};

use super::events::{acknowledged, kill, launch, limited_task, subscribed, task};
use crate::agent::state::State;
use crate::agent::terms::{Effect, Input, Profile};
use crate::runner::{TaskError, TaskEvent};

const RECOVERY: Duration = Duration::from_secs(900);
const GRACE: Duration = Duration::from_secs(5);

/// A state machine with a clock that only moves when told.
struct Machine {
    state: State,
    now: Instant,
}

impl Machine {
    fn new(checkpoint: bool) -> Machine {
        let identity = Identity { framework_id: "f".into(), executor_id: "e".into() };
        let profile = Profile {
            identity,
            checkpoint,
            recovery_timeout: if checkpoint { RECOVERY } else { Duration::ZERO },
            shutdown_grace: GRACE,
        };
        let now = Instant::now();
        Machine { state: State::new(profile, now), now }
    }

    /// Subscribed, with the task t launched and really at work.
    fn running(checkpoint: bool) -> Machine {
        let mut machine = Machine::subscribed(checkpoint);
        machine.agent(launch("t"));
        machine.input(Input::Task(TaskEvent::Running(report(1))));
        machine.acknowledge_all();
        machine
    }

    fn subscribed(checkpoint: bool) -> Machine {
        let mut machine = Machine::new(checkpoint);
        machine.subscribe();
        machine
    }

    fn subscribe(&mut self) -> (Call, Vec<Effect>) {
        let call = self.state.subscription();
        let effects = self.agent(subscribed(true));
        (call, effects)
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        self.state.on(input, self.now)
    }

    fn agent(&mut self, event: Event) -> Vec<Effect> {
        self.input(Input::Mesos(Box::new(event)))
    }

    fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.input(Input::Tick)
    }

    fn unacknowledged(&mut self) -> Vec<TaskStatus> {
        let subscribe = self.state.subscription().subscribe.expect("a SUBSCRIBE call");
        subscribe.unacknowledged_updates.into_iter().map(|update| update.status).collect()
    }

    fn acknowledge_all(&mut self) -> Vec<Effect> {
        let waiting = self.unacknowledged();
        waiting.iter().flat_map(|status| self.agent(acknowledged(status))).collect()
    }
}

fn report(sequence: u64) -> Report {
    Report { sequence, ..Report::default() }
}

fn data(status: &TaskStatus) -> Report {
    Report::decode(status.data.as_deref().expect("data")).expect("a report")
}

/// The updates among the effects: task and state.
fn updates(effects: &[Effect]) -> Vec<(String, TaskState)> {
    statuses(effects).into_iter().map(|status| (status.task_id.value.clone(), status.state())).collect()
}

fn statuses(effects: &[Effect]) -> Vec<TaskStatus> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(call) => call.update.as_ref().map(|update| update.status.clone()),
            _ => None,
        })
        .collect()
}

fn exits(effects: &[Effect]) -> Option<&Result<(), String>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Exit(end) => Some(end),
        _ => None,
    })
}
