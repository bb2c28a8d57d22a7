//! Tests of the state machine, with a manual clock.

mod connection;
mod end;
mod launch;
mod messages;
mod renewal;

use std::time::{Duration, Instant};

use mesos::env::ExecutorEnv;
use mesos::executor::Event as AgentEvent;
use mesos::v1::executor::{Call, call};
use mesos::v1::{TaskGroupInfo, TaskInfo, TaskState, TaskStatus};
use task::{Instruction, Intervals, Live, Report, WorkerLive};

use super::events::{acknowledged, kill, launch, limited_task, subscribed, task};
use crate::mesos_executor::events::{Effect, Event};
use crate::mesos_executor::state::State;
use crate::runner::{TaskError, TaskEvent};

const RECOVERY: Duration = Duration::from_secs(900);
const GRACE: Duration = Duration::from_secs(5);

/// The state machine with a manual clock.
struct Machine {
    state: State,
    now: Instant,
}

impl Machine {
    fn new(checkpoint: bool) -> Self {
        let env = ExecutorEnv::from_lookup(|name| match name {
            "MESOS_AGENT_ENDPOINT" => Some("127.0.0.1:1".into()),
            "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".into()),
            _ => None,
        });
        let env = ExecutorEnv {
            checkpoint,
            recovery_timeout: if checkpoint { RECOVERY } else { Duration::ZERO },
            shutdown_grace_period: GRACE,
            ..env.expect("a complete environment")
        };
        let now = Instant::now();
        Machine { state: State::new(env, now), now }
    }

    /// A subscribed executor that runs task `t`.
    fn running(checkpoint: bool) -> Self {
        let mut machine = Machine::subscribed(checkpoint);
        machine.agent(launch("t"));
        machine.on(Event::Task(TaskEvent::Running(report(1))));
        machine.acknowledge_all();
        machine
    }

    fn subscribed(checkpoint: bool) -> Self {
        let mut machine = Machine::new(checkpoint);
        machine.subscribe();
        machine
    }

    fn subscribe(&mut self) -> (Call, Vec<Effect>) {
        let call = self.state.subscription();
        let effects = self.agent(subscribed(true));
        (call, effects)
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        self.state.on_event(event, self.now)
    }

    fn agent(&mut self, event: AgentEvent) -> Vec<Effect> {
        self.on(Event::Agent(Box::new(event)))
    }

    fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.on(Event::Tick)
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

/// The task id and state of each status update among the effects.
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
