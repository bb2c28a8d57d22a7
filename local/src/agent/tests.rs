//! An agent as the master and an executor see it, without either.

use super::*;
use mesos::v1::executor::{Call, call, event::Type};
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{ExecutorInfo, TaskInfo, TaskState};

struct World {
    agent: Agent,
    now: Now,
}

/// The master's, executor's and process' side of effects, without what does not matter to a test.
#[derive(Debug, PartialEq)]
enum Seen {
    Update(String, TaskState, Option<Reason>),
    Exited(i32),
    Register(usize),
    Event(Type),
    Answer(Answer),
    Start,
    Kill,
}

impl World {
    fn new() -> Self {
        let config = Config {
            hostname: "127.0.0.1".into(),
            port: 5051,
            total: Bundle::of_agent(2.0, 2048.0, 1024.0, (31000, 31099)),
            work_dir: "/work".into(),
            registration_timeout: Duration::from_secs(60),
            reregistration_timeout: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(2),
        };
        let mut world = Self { agent: Agent::new(config), now: Now::read() };
        assert_eq!(world.handle(Input::Reconnect), [Seen::Register(0)]);
        world.handle(Input::Master(ToAgent::Registered("A".into())));
        world
    }

    fn handle(&mut self, input: Input) -> Vec<Seen> {
        let effects = self.agent.handle(input, self.now);
        let seen = effects.into_iter().filter_map(|effect| match effect {
            Effect::Master(ToMaster::Update { status, .. }) => {
                let reason = status.reason.map(|_| status.reason());
                Some(Seen::Update(status.task_id.value.clone(), status.state(), reason))
            }
            Effect::Master(ToMaster::Exited { status, .. }) => Some(Seen::Exited(status)),
            Effect::Master(ToMaster::Register { tasks, .. }) => Some(Seen::Register(tasks.len())),
            Effect::Master(_) | Effect::Close(_) => None,
            Effect::Answer(_, answer) => Some(Seen::Answer(answer)),
            Effect::Event(_, event) => Some(Seen::Event(event.r#type())),
            Effect::Start(_) => Some(Seen::Start),
            Effect::Kill(_) => Some(Seen::Kill),
        });
        seen.collect()
    }

    fn wait(&mut self, seconds: f64) -> Vec<Seen> {
        let time = Duration::from_secs_f64(seconds);
        self.now = Now { instant: self.now.instant + time, unix: self.now.unix + time };
        self.handle(Input::Tick)
    }

    fn run(&mut self, task: &str) -> Vec<Seen> {
        let framework = FrameworkInfo {
            id: Some(v1::FrameworkId { value: "F".into() }),
            checkpoint: Some(true),
            ..Default::default()
        };
        let executor_id = v1::ExecutorId { value: "E".into() };
        let task = TaskInfo {
            task_id: v1::TaskId { value: task.into() },
            executor: Some(ExecutorInfo { executor_id, ..Default::default() }),
            ..Default::default()
        };
        self.handle(Input::Master(ToAgent::Run { framework: Box::new(framework), task: Box::new(task) }))
    }

    fn call(&mut self, request: RequestId, call: Call) -> Vec<Seen> {
        let framework_id = v1::FrameworkId { value: "F".into() };
        let executor_id = v1::ExecutorId { value: "E".into() };
        self.handle(Input::Call(request, Box::new(Call { framework_id, executor_id, ..call })))
    }

    fn subscribe(&mut self, request: RequestId, tasks: &[&str]) -> Vec<Seen> {
        let task =
            |id: &&str| TaskInfo { task_id: v1::TaskId { value: (*id).to_owned() }, ..Default::default() };
        let unacknowledged_tasks = tasks.iter().map(task).collect();
        let subscribe = call::Subscribe { unacknowledged_tasks, ..Default::default() };
        let kind = Some(call::Type::Subscribe as i32);
        self.call(request, Call { r#type: kind, subscribe: Some(subscribe), ..Default::default() })
    }

    fn update(&mut self, task: &str, state: TaskState, uuid: Uuid) -> Vec<Seen> {
        let status = TaskStatus {
            task_id: v1::TaskId { value: task.into() },
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

    fn exit(&mut self, status: i32) -> Vec<Seen> {
        let container = self.container();
        self.handle(Input::Exited(container, status))
    }

    fn acknowledge(&mut self, task: &str, uuid: Uuid) -> Vec<Seen> {
        self.handle(Input::Master(ToAgent::Acknowledge {
            framework_id: "F".into(),
            task_id: task.into(),
            uuid: uuid.as_bytes().to_vec(),
        }))
    }
}

fn accepted() -> Seen {
    Seen::Answer(Answer::Accepted)
}

fn subscribed() -> [Seen; 2] {
    [Seen::Answer(Answer::Stream(None)), Seen::Event(Type::Subscribed)]
}

#[test]
fn a_task_from_launch_to_its_end() {
    let mut world = World::new();
    assert_eq!(world.run("t1"), [Seen::Start]);
    assert_eq!(world.run("t2"), [], "the same executor");
    let [answer, event] = subscribed();
    assert_eq!(
        world.subscribe(1, &[]),
        [answer, event, Seen::Event(Type::Launch), Seen::Event(Type::Launch)]
    );
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let running = Seen::Update("t1".into(), TaskState::TaskRunning, None);
    // Stored, so acknowledged to the executor at once.
    assert_eq!(
        world.update("t1", TaskState::TaskRunning, first),
        [accepted(), running, Seen::Event(Type::Acknowledged)]
    );
    assert_eq!(
        world.update("t1", TaskState::TaskFinished, second),
        [accepted(), Seen::Event(Type::Acknowledged)],
        "held back until the first is acknowledged"
    );
    assert_eq!(world.wait(9.9), []);
    assert_eq!(world.wait(0.2), [Seen::Update("t1".into(), TaskState::TaskRunning, None)]);
    let finished = Seen::Update("t1".into(), TaskState::TaskFinished, None);
    assert_eq!(world.acknowledge("t1", first), [finished]);
    assert_eq!(world.acknowledge("t1", second), []);
    // The end of the executor is the end of the other task.
    let failed = Seen::Update("t2".into(), TaskState::TaskFailed, Some(Reason::ExecutorTerminated));
    assert_eq!(world.exit(9), [Seen::Exited(9), failed]);
    assert!(world.agent.is_idle());
}

#[test]
fn the_same_update_twice_goes_out_once() {
    let mut world = World::new();
    world.run("t1");
    world.subscribe(1, &[]);
    let uuid = Uuid::new_v4();
    world.update("t1", TaskState::TaskRunning, uuid);
    world.acknowledge("t1", uuid);
    assert_eq!(
        world.update("t1", TaskState::TaskRunning, uuid),
        [accepted(), Seen::Event(Type::Acknowledged)]
    );
}

#[test]
fn a_scheduler_that_is_back_need_not_wait_for_the_repeat() {
    let mut world = World::new();
    world.run("t");
    world.subscribe(1, &[]);
    let running = Uuid::new_v4();
    world.update("t", TaskState::TaskRunning, running);
    let again = world.handle(Input::Master(ToAgent::Resend("F".into())));
    assert_eq!(again, [Seen::Update("t".into(), TaskState::TaskRunning, None)]);
    world.acknowledge("t", running);
    assert_eq!(world.handle(Input::Master(ToAgent::Resend("F".into()))), []);
}

#[test]
fn an_executor_that_never_subscribes_is_killed() {
    let mut world = World::new();
    world.run("t1");
    assert_eq!(world.wait(59.0), []);
    assert_eq!(world.wait(1.0), [Seen::Kill]);
    let failed = Seen::Update("t1".into(), TaskState::TaskFailed, Some(Reason::ExecutorRegistrationTimeout));
    assert_eq!(world.exit(9), [Seen::Exited(9), failed]);
}

#[test]
fn a_task_can_be_killed_before_its_executor_is_there() {
    let mut world = World::new();
    world.run("t1");
    let kill = ToAgent::Kill { framework_id: "F".into(), task_id: "t1".into(), policy: None };
    let killed = Seen::Update("t1".into(), TaskState::TaskKilled, Some(Reason::TaskKilledDuringLaunch));
    assert_eq!(world.handle(Input::Master(kill)), [killed]);
    let [answer, event] = subscribed();
    assert_eq!(world.subscribe(1, &[]), [answer, event, Seen::Event(Type::Shutdown)]);
    assert_eq!(world.wait(5.0), [Seen::Kill]);
}

#[test]
fn shutdown_has_a_grace_period() {
    let mut world = World::new();
    world.run("t1");
    world.subscribe(1, &[]);
    let shutdown = ToAgent::Shutdown { framework_id: "F".into(), executor_id: "E".into() };
    assert_eq!(world.handle(Input::Master(shutdown)), [Seen::Event(Type::Shutdown)]);
    assert_eq!(world.wait(4.9), []);
    assert_eq!(world.wait(0.1), [Seen::Kill]);
    let update = Seen::Update("t1".into(), TaskState::TaskFailed, Some(Reason::ExecutorTerminated));
    assert_eq!(world.exit(9), [Seen::Exited(9), update]);
}

#[test]
fn a_fetch_that_fails_says_why() {
    let mut world = World::new();
    world.run("t1");
    let container = world.container();
    let failed = Seen::Update("t1".into(), TaskState::TaskFailed, Some(Reason::ContainerLaunchFailed));
    assert_eq!(world.handle(Input::Failed(container, "no such file".into())), [Seen::Exited(256), failed]);
}

#[test]
fn a_launch_that_was_not_heard_is_lost() {
    let mut world = World::new();
    world.run("t1");
    world.subscribe(1, &[]);
    let lost = Seen::Update("t1".into(), TaskState::TaskLost, Some(Reason::AgentRestarted));
    let [answer, event] = subscribed();
    assert_eq!(world.subscribe(2, &[]), [answer, event, lost]);
}

#[test]
fn an_agent_waits_for_the_executors_of_its_former_life() {
    let mut world = World::new();
    world.run("t1");
    let container = world.container();
    world.handle(Input::Started(container, 42));
    world.subscribe(1, &[]);
    world.update("t1", TaskState::TaskRunning, Uuid::new_v4());
    let durable = world.agent.take_durable();
    world.agent = Agent::recover(durable, world.now);
    assert_eq!(world.handle(Input::Reconnect), [], "not before its executors had their chance");
    let [answer, event] = subscribed();
    assert_eq!(world.subscribe(7, &[]), [answer, event]);
    let early = world.update("t1", TaskState::TaskRunning, Uuid::new_v4());
    assert!(matches!(early[..], [Seen::Answer(Answer::Refused(503, _))]), "as a real agent: {early:?}");
    // The update goes out twice, as from a real agent: at the end of the recovery and once registered.
    let running = || Seen::Update("t1".into(), TaskState::TaskRunning, None);
    assert_eq!(world.wait(2.0), [Seen::Register(1), running()]);
    assert_eq!(world.handle(Input::Master(ToAgent::Registered("A".into()))), [running()]);
    // The next time it does not come back.
    let durable = world.agent.take_durable();
    world.agent = Agent::recover(durable, world.now);
    assert_eq!(world.wait(2.0), [Seen::Kill, Seen::Register(1), running()]);
}

#[test]
fn bad_calls_are_refused() {
    let mut world = World::new();
    let refused = |seen: Vec<Seen>| matches!(seen[..], [Seen::Answer(Answer::Refused(400, _))]);
    assert!(refused(world.subscribe(1, &[])), "nobody was launched");
    world.run("t1");
    world.subscribe(1, &[]);
    assert!(refused(world.call(2, Call::default())));
    assert!(refused(world.update("t1", TaskState::TaskStaging, Uuid::new_v4())));
    assert!(refused(world.update("t1", TaskState::TaskRunning, Uuid::nil())));
    assert_eq!(world.update("unknown", TaskState::TaskRunning, Uuid::new_v4())[0], accepted());
}

#[test]
fn tasks_of_an_agent_that_is_emptied_say_so() {
    let mut world = World::new();
    for task in ["t1", "t2"] {
        world.run(task);
    }
    world.subscribe(1, &[]);
    let longest = Some(v1::DurationInfo { nanoseconds: 1 });
    let kills = world.handle(Input::Master(ToAgent::Drain(longest)));
    assert_eq!(kills, [Seen::Event(Type::Kill), Seen::Event(Type::Kill)]);
    let killed = |task: &str, reason| Seen::Update(task.into(), TaskState::TaskKilled, reason);
    let draining = Some(Reason::AgentDraining);
    assert!(world.update("t1", TaskState::TaskKilled, Uuid::new_v4()).contains(&killed("t1", draining)));
    assert!(world.update("t2", TaskState::TaskKilled, Uuid::new_v4()).contains(&killed("t2", draining)));
    // It is empty; what is launched later is not.
    world.run("t3");
    assert!(world.update("t3", TaskState::TaskKilled, Uuid::new_v4()).contains(&killed("t3", None)));
}
