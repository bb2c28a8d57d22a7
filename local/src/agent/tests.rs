//! Tests of an agent. They play the master and an executor.

use super::*;
use crate::cluster::AgentSize;
use mesos::v1::executor::{call, event::Type};
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{self, ExecutorInfo, TaskInfo, TaskState};

struct Harness {
    agent: Agent,
    now: Now,
}

/// The effects that the tests compare, reduced to the relevant details.
#[derive(Debug, PartialEq)]
enum Observed {
    Update(TaskId, TaskState, Option<Reason>),
    Exited(i32),
    Event(Type),
    Answer(Answer),
    Start,
    Kill,
}

impl Harness {
    fn new() -> Self {
        let config = Config {
            id: "A".into(),
            hostname: "127.0.0.1".into(),
            port: 5051,
            total: AgentSize::new(0, 2.0, 2048.0).resources(),
            work_dir: "/work".into(),
            registration_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(2),
        };
        Self { agent: Agent::new(config), now: Now::read() }
    }

    fn handle(&mut self, event: Event) -> Vec<Observed> {
        let effects = self.agent.on_event(event, self.now);
        let observed = effects.into_iter().filter_map(|effect| match effect {
            Effect::Master(ToMaster::Update { status, .. }) => {
                let reason = status.reason.map(|_| status.reason());
                Some(Observed::Update(status.task_id.clone(), status.state(), reason))
            }
            Effect::Master(ToMaster::ExitedExecutor { status, .. }) => Some(Observed::Exited(status)),
            Effect::Master(_) | Effect::Close(_) => None,
            Effect::Answer(_, answer) => Some(Observed::Answer(answer)),
            Effect::Send(_, event) => Some(Observed::Event(v1::executor::Event::from(event).r#type())),
            Effect::Start(_) => Some(Observed::Start),
            Effect::Kill(_) => Some(Observed::Kill),
        });
        observed.collect()
    }

    fn wait(&mut self, seconds: f64) -> Vec<Observed> {
        let time = Duration::from_secs_f64(seconds);
        self.now = Now { instant: self.now.instant + time, unix: self.now.unix + time };
        self.handle(Event::Tick)
    }

    fn run(&mut self, task: &str) -> Vec<Observed> {
        let framework = FrameworkInfo { id: Some("F".into()), checkpoint: Some(true), ..Default::default() };
        let executor_id = "E".into();
        let task = TaskInfo {
            task_id: task.into(),
            executor: Some(ExecutorInfo { executor_id, ..Default::default() }),
            ..Default::default()
        };
        self.handle(Event::Master(ToAgent::RunTask { framework: Box::new(framework), task: Box::new(task) }))
    }

    fn call(&mut self, request: RequestId, call: Call) -> Vec<Observed> {
        let framework_id = "F".into();
        let executor_id = "E".into();
        self.handle(Event::Call(request, Box::new(Call { framework_id, executor_id, ..call })))
    }

    fn subscribe(&mut self, request: RequestId, tasks: &[&str]) -> Vec<Observed> {
        let task = |id: &&str| TaskInfo { task_id: (*id).into(), ..Default::default() };
        let unacknowledged_tasks = tasks.iter().map(task).collect();
        let subscribe = call::Subscribe { unacknowledged_tasks, ..Default::default() };
        let kind = Some(call::Type::Subscribe as i32);
        self.call(request, Call { r#type: kind, subscribe: Some(subscribe), ..Default::default() })
    }

    fn update(&mut self, task: &str, state: TaskState, uuid: Uuid) -> Vec<Observed> {
        let status = TaskStatus {
            task_id: task.into(),
            state: state as i32,
            source: Some(Source::Executor as i32),
            uuid: Some(uuid.as_bytes().to_vec()),
            ..Default::default()
        };
        let kind = Some(call::Type::Update as i32);
        self.call(50, Call { r#type: kind, update: Some(call::Update { status }), ..Default::default() })
    }

    fn container(&self) -> Uuid {
        self.agent.executors().next().unwrap().container
    }

    fn exit(&mut self, status: i32) -> Vec<Observed> {
        let container = self.container();
        self.handle(Event::Container(container, ContainerEvent::Exited(status)))
    }

    fn acknowledge(&mut self, task: &str, uuid: Uuid) -> Vec<Observed> {
        self.handle(Event::Master(ToAgent::Acknowledge {
            framework_id: "F".into(),
            task_id: task.into(),
            uuid: uuid.as_bytes().to_vec(),
        }))
    }
}

fn accepted() -> Observed {
    Observed::Answer(Answer::Accepted)
}

fn subscribed() -> [Observed; 2] {
    [Observed::Answer(Answer::Stream(None)), Observed::Event(Type::Subscribed)]
}

#[test]
fn a_task_from_launch_to_its_end() {
    let mut harness = Harness::new();
    assert_eq!(harness.run("t1"), [Observed::Start]);
    assert_eq!(harness.run("t2"), [], "the same executor");
    let [answer, event] = subscribed();
    assert_eq!(
        harness.subscribe(1, &[]),
        [answer, event, Observed::Event(Type::Launch), Observed::Event(Type::Launch)]
    );
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let running = Observed::Update("t1".into(), TaskState::TaskRunning, None);
    // The agent acknowledges the update to the executor immediately, because it has stored the update.
    assert_eq!(
        harness.update("t1", TaskState::TaskRunning, first),
        [accepted(), running, Observed::Event(Type::Acknowledged)]
    );
    assert_eq!(
        harness.update("t1", TaskState::TaskFinished, second),
        [accepted(), Observed::Event(Type::Acknowledged)],
        "it waits until the first update is acknowledged"
    );
    assert_eq!(harness.wait(9.9), []);
    assert_eq!(harness.wait(0.2), [Observed::Update("t1".into(), TaskState::TaskRunning, None)]);
    let finished = Observed::Update("t1".into(), TaskState::TaskFinished, None);
    assert_eq!(harness.acknowledge("t1", first), [finished]);
    assert_eq!(harness.acknowledge("t1", second), []);
    // When the executor ends, its other task fails.
    let failed = Observed::Update("t2".into(), TaskState::TaskFailed, Some(Reason::ExecutorTerminated));
    assert_eq!(harness.exit(9), [Observed::Exited(9), failed]);
    assert!(harness.agent.executors().next().is_none());
}

#[test]
fn the_same_update_twice_goes_out_once() {
    let mut harness = Harness::new();
    harness.run("t1");
    harness.subscribe(1, &[]);
    let uuid = Uuid::new_v4();
    harness.update("t1", TaskState::TaskRunning, uuid);
    harness.acknowledge("t1", uuid);
    assert_eq!(
        harness.update("t1", TaskState::TaskRunning, uuid),
        [accepted(), Observed::Event(Type::Acknowledged)]
    );
}

#[test]
fn updates_are_sent_again_when_the_scheduler_subscribes_again() {
    let mut harness = Harness::new();
    harness.run("t");
    harness.subscribe(1, &[]);
    let running = Uuid::new_v4();
    harness.update("t", TaskState::TaskRunning, running);
    let again = harness.handle(Event::Master(ToAgent::ResendUpdates("F".into())));
    assert_eq!(again, [Observed::Update("t".into(), TaskState::TaskRunning, None)]);
    harness.acknowledge("t", running);
    assert_eq!(harness.handle(Event::Master(ToAgent::ResendUpdates("F".into()))), []);
}

#[test]
fn an_executor_that_never_subscribes_is_killed() {
    let mut harness = Harness::new();
    harness.run("t1");
    assert_eq!(harness.wait(59.0), []);
    assert_eq!(harness.wait(1.0), [Observed::Kill]);
    let failed =
        Observed::Update("t1".into(), TaskState::TaskFailed, Some(Reason::ExecutorRegistrationTimeout));
    assert_eq!(harness.exit(9), [Observed::Exited(9), failed]);
}

#[test]
fn a_task_can_be_killed_before_its_executor_is_there() {
    let mut harness = Harness::new();
    harness.run("t1");
    let kill = ToAgent::KillTask { framework_id: "F".into(), task_id: "t1".into(), policy: None };
    let killed = Observed::Update("t1".into(), TaskState::TaskKilled, Some(Reason::TaskKilledDuringLaunch));
    assert_eq!(harness.handle(Event::Master(kill)), [killed]);
    let [answer, event] = subscribed();
    assert_eq!(harness.subscribe(1, &[]), [answer, event, Observed::Event(Type::Shutdown)]);
    assert_eq!(harness.wait(5.0), [Observed::Kill]);
}

#[test]
fn shutdown_has_a_grace_period() {
    let mut harness = Harness::new();
    harness.run("t1");
    harness.subscribe(1, &[]);
    let shutdown = ToAgent::ShutdownExecutor { framework_id: "F".into(), executor_id: "E".into() };
    assert_eq!(harness.handle(Event::Master(shutdown)), [Observed::Event(Type::Shutdown)]);
    assert_eq!(harness.wait(4.9), []);
    assert_eq!(harness.wait(0.1), [Observed::Kill]);
    let update = Observed::Update("t1".into(), TaskState::TaskFailed, Some(Reason::ExecutorTerminated));
    assert_eq!(harness.exit(9), [Observed::Exited(9), update]);
}

#[test]
fn a_fetch_that_fails_says_why() {
    let mut harness = Harness::new();
    harness.run("t1");
    let container = harness.container();
    let failed = Observed::Update("t1".into(), TaskState::TaskFailed, Some(Reason::ContainerLaunchFailed));
    assert_eq!(
        harness.handle(Event::Container(container, ContainerEvent::Failed("no such file".into()))),
        [Observed::Exited(256), failed]
    );
}

#[test]
fn a_launch_that_the_executor_missed_is_dropped() {
    let mut harness = Harness::new();
    harness.run("t1");
    harness.subscribe(1, &[]);
    let lost = Observed::Update("t1".into(), TaskState::TaskLost, Some(Reason::AgentRestarted));
    let [answer, event] = subscribed();
    assert_eq!(harness.subscribe(2, &[]), [answer, event, lost]);
}

#[test]
fn bad_calls_are_refused() {
    let mut harness = Harness::new();
    let refused =
        |observed: Vec<Observed>| matches!(observed[..], [Observed::Answer(Answer::Refused(400, _))]);
    assert!(refused(harness.subscribe(1, &[])), "there is no executor yet");
    harness.run("t1");
    harness.subscribe(1, &[]);
    assert!(refused(harness.call(2, Call::default())));
    assert!(refused(harness.update("t1", TaskState::TaskStaging, Uuid::new_v4())));
    assert!(refused(harness.update("t1", TaskState::TaskRunning, Uuid::nil())));
    assert_eq!(harness.update("unknown", TaskState::TaskRunning, Uuid::new_v4())[0], accepted());
}
