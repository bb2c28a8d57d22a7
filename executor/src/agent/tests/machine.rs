use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use mesos::executor::{Event, Identity};
use mesos::v1::executor::{Call, call, event};
use mesos::v1::{
    DurationInfo, FrameworkInfo, KillPolicy, TaskGroupInfo, TaskInfo, TaskState, TaskStatus, framework_info,
};
use task::{Instruction, Live, Report, TaskKind, TaskSpec, WorkerLive, WorkerSpec};

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

fn subscribed(killing: bool) -> Event {
    let capability = framework_info::Capability {
        r#type: Some(framework_info::capability::Type::TaskKillingState.into()),
    };
    let framework_info = FrameworkInfo {
        capabilities: if killing { vec![capability] } else { Vec::new() },
        ..FrameworkInfo::default()
    };
    Event::Subscribed(Box::new(event::Subscribed { framework_info, ..event::Subscribed::default() }))
}

fn task(id: &str) -> TaskInfo {
    limited_task(id, None)
}

fn limited_task(id: &str, max_updates: Option<u64>) -> TaskInfo {
    let worker = WorkerSpec {
        pool: "127.0.0.1:1".into(),
        user: id.into(),
        password: "x".into(),
        access: task::PoolAccess::default(),
        cpus: 1.0,
        backend: None,
    };
    let spec = TaskSpec {
        report_interval: Duration::from_secs(1),
        live_interval: Duration::from_secs(5),
        max_updates: max_updates.and_then(NonZeroU64::new),
        kind: TaskKind::Worker(worker),
    };
    TaskInfo { task_id: id.into(), data: Some(spec.encode()), ..TaskInfo::default() }
}

fn launch(id: &str) -> Event {
    Event::Launch(Box::new(task(id)))
}

fn kill(id: &str, grace: Option<Duration>) -> Event {
    let nanoseconds = grace.map(|grace| i64::try_from(grace.as_nanos()).expect("a short time"));
    let kill_policy =
        nanoseconds.map(|nanoseconds| KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) });
    Event::Kill(event::Kill { task_id: id.into(), kill_policy })
}

fn acknowledged(status: &TaskStatus) -> Event {
    let uuid = status.uuid.clone().expect("an executor's updates have a uuid");
    Event::Acknowledged(event::Acknowledged { task_id: status.task_id.clone(), uuid })
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

#[test]
fn a_task_starts_runs_and_finishes() {
    let mut machine = Machine::subscribed(true);
    let effects = machine.agent(launch("t"));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskStarting)]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Launch { task_id, .. } if task_id == "t")));
    let effects = machine.input(Input::Task(TaskEvent::Running(report(1))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskRunning)]);
    let effects = machine.input(Input::Task(TaskEvent::Report(report(2))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(data(status), report(2));
    let effects = machine.input(Input::Ended(Ok(report(3))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskFinished)]);
    assert_eq!(exits(&effects), None, "not before the agent has the last update");
    let effects = machine.acknowledge_all();
    assert_eq!(exits(&effects), Some(&Ok(())));
}

/// A task with a limit on its updates that runs and has made so many of them.
fn limited(limit: u64, made: u64) -> Machine {
    let mut machine = Machine::subscribed(true);
    machine.agent(Event::Launch(Box::new(limited_task("t", Some(limit)))));
    machine.input(Input::Task(TaskEvent::Running(report(1))));
    for n in 2..made {
        assert_eq!(updates(&machine.input(Input::Task(TaskEvent::Report(report(n))))).len(), 1);
    }
    machine
}

#[test]
fn a_task_is_renewed_when_only_its_last_update_is_left() {
    let mut machine = limited(100, 98);
    let effects = machine.input(Input::Task(TaskEvent::Report(report(98))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskRunning)]);
    assert_eq!(effects.last(), Some(&Effect::Stop));
    let effects = machine.input(Input::Ended(Ok(report(99))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.state(), data(status)), (TaskState::TaskFinished, report(99)));
    let text = status.message.as_deref().unwrap_or_default();
    assert!(text.starts_with("renewed: ") && text.ends_with("after 100 updates"), "{text}");
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())), "the fresh task has an executor of its own");
}

#[test]
fn a_task_that_does_not_end_is_renewed_by_force() {
    let mut machine = limited(10, 9);
    let until = machine.state.deadline().expect("it is stopping");
    let effects = machine.after(until - machine.now);
    assert_eq!(effects.first(), Some(&Effect::Abort));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.state(), data(status)), (TaskState::TaskFinished, report(8)));
    assert!(status.message.as_deref().is_some_and(|text| text.contains("grace period")));
}

#[test]
fn a_kill_outweighs_a_renewal() {
    let mut machine = limited(10, 9);
    machine.agent(kill("t", None));
    let effects = machine.input(Input::Ended(Ok(report(9))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
}

#[test]
fn without_a_limit_a_task_is_never_renewed() {
    let mut machine = Machine::running(true);
    for n in 2..2_000 {
        let effects = machine.input(Input::Task(TaskEvent::Report(report(n))));
        assert!(!effects.contains(&Effect::Stop));
        machine.acknowledge_all();
    }
}

#[test]
fn updates_have_what_an_agent_demands() {
    let mut machine = Machine::subscribed(true);
    let effects = machine.agent(launch("t"));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    let uuid = status.uuid.clone().expect("a uuid");
    assert_eq!((uuid.len(), uuid[6] >> 4, uuid[8] >> 6), (16, 4, 2), "version 4, RFC 4122");
    assert_eq!(status.source(), mesos::v1::task_status::Source::Executor);
}

#[test]
fn a_kill_ends_the_task_with_its_last_report() {
    let mut machine = Machine::running(true);
    let effects = machine.agent(kill("t", None));
    assert!(effects.contains(&Effect::Stop));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilling)]);
    let effects = machine.input(Input::Ended(Ok(report(9))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskKilled);
    assert_eq!(data(status), report(9));
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn killing_is_told_only_to_frameworks_that_know_it() {
    let mut machine = Machine::new(true);
    machine.state.subscription();
    machine.agent(subscribed(false));
    machine.agent(launch("t"));
    assert_eq!(machine.agent(kill("t", None)), [Effect::Stop]);
}

#[test]
fn a_task_that_overstays_its_grace_period_is_aborted() {
    let mut machine = Machine::running(true);
    machine.input(Input::Task(TaskEvent::Report(report(4))));
    machine.agent(kill("t", Some(Duration::from_secs(2))));
    assert_eq!(machine.state.deadline(), Some(machine.now + Duration::from_secs(2)));
    assert_eq!(machine.after(Duration::from_millis(1999)), []);
    let effects = machine.after(Duration::from_millis(1));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskKilled);
    assert_eq!(data(status), report(4), "the last one known");
    assert_eq!(machine.input(Input::Ended(Ok(report(5)))), [], "too late");
}

#[test]
fn a_second_kill_only_shortens_the_grace_period() {
    let mut machine = Machine::running(true);
    machine.agent(kill("t", Some(Duration::from_secs(2))));
    machine.agent(kill("t", Some(Duration::from_secs(60))));
    assert_eq!(machine.state.deadline(), Some(machine.now + Duration::from_secs(2)));
    let effects = machine.agent(kill("t", Some(Duration::ZERO)));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
}

#[test]
fn a_kill_before_the_start_wins() {
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.agent(kill("t", None)), []);
    let effects = machine.agent(launch("t"));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Launch { .. })));
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn a_kill_of_a_stranger_changes_nothing() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(kill("other", None)), []);
}

#[test]
fn only_one_task_runs_here() {
    let mut machine = Machine::running(true);
    let effects = machine.agent(launch("second"));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.task_id.value.as_str(), status.state()), ("second", TaskState::TaskFailed));
    assert!(status.message.as_deref().is_some_and(|text| text.contains("only one task, t")));
    assert_eq!(machine.agent(launch("t")), [], "the first one again");
    machine.acknowledge_all();
    assert_eq!(updates(&machine.input(Input::Ended(Ok(report(2))))), [("t".into(), TaskState::TaskFinished)]);
}

#[test]
fn a_group_of_one_is_a_task_and_larger_ones_fail_whole() {
    let mut machine = Machine::subscribed(true);
    let group =
        |ids: &[&str]| Event::LaunchGroup(TaskGroupInfo { tasks: ids.iter().map(|id| task(id)).collect() });
    assert_eq!(updates(&machine.agent(group(&["t"]))), [("t".into(), TaskState::TaskStarting)]);
    let mut machine = Machine::subscribed(true);
    let failed = |id: &str| (id.to_owned(), TaskState::TaskFailed);
    assert_eq!(updates(&machine.agent(group(&["a", "b"]))), [failed("a"), failed("b")]);
    assert_eq!(updates(&machine.agent(launch("late"))), [failed("late")]);
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn a_task_without_a_readable_specification_fails_with_a_reason() {
    let mut machine = Machine::subscribed(true);
    let info = TaskInfo { task_id: "t".into(), data: Some(vec![0xff]), ..TaskInfo::default() };
    let effects = machine.agent(Event::Launch(Box::new(info)));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskFailed);
    assert!(status.message.as_deref().is_some_and(|text| text.contains("task specification")));
}

#[test]
fn a_task_that_fails_says_why_and_brings_its_report() {
    let mut machine = Machine::running(true);
    let error = TaskError { message: "port in use".into(), last: Some(Box::new(report(7))) };
    let effects = machine.input(Input::Ended(Err(error)));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((status.state(), status.message.as_deref()), (TaskState::TaskFailed, Some("port in use")));
    assert_eq!(data(status), report(7));
}

#[test]
fn shutdown_ends_task_and_executor_within_the_grace_period() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(Event::Shutdown), [Effect::Stop]);
    let stop_by = machine.state.deadline().expect("a deadline");
    assert!(stop_by < machine.now + GRACE);
    let effects = machine.after(stop_by - machine.now);
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
    let leave_by = machine.state.deadline().expect("a deadline");
    assert!(leave_by < machine.now + GRACE, "before the agent's SIGKILL");
    assert_eq!(exits(&machine.after(leave_by - machine.now)), Some(&Ok(())), "acknowledged or not");
}

#[test]
fn shutdown_without_a_task_is_the_end() {
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.agent(Event::Shutdown), [Effect::Exit(Ok(()))]);
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.input(Input::Signal), [Effect::Exit(Ok(()))]);
}

#[test]
fn an_error_fails_the_task_and_the_executor() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(Event::Error("bad call".into())), [Effect::Stop]);
    let effects = machine.input(Input::Ended(Ok(report(2))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskFailed);
    assert!(status.message.as_deref().is_some_and(|text| text.contains("bad call")));
    assert!(matches!(exits(&machine.acknowledge_all()), Some(Err(text)) if text.contains("bad call")));
}

#[test]
fn updates_say_whether_the_task_is_well_while_it_runs() {
    let mut machine = Machine::running(true);
    let health = |machine: &mut Machine, health: Result<(), &str>| {
        let effects = machine.input(Input::Task(TaskEvent::Health(health.map_err(str::to_owned))));
        let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
        (status.state(), status.healthy, status.message.clone(), status.data.clone())
    };
    let well = (TaskState::TaskRunning, Some(true), None, None);
    assert_eq!(health(&mut machine, Ok(())), well);
    let ill = (TaskState::TaskRunning, Some(false), Some("no work".to_owned()), None);
    assert_eq!(health(&mut machine, Err("no work")), ill);
    let effects = machine.input(Input::Task(TaskEvent::Report(report(2))));
    assert_eq!(statuses(&effects)[0].healthy, Some(false), "still so");
    let effects = machine.input(Input::Ended(Ok(report(3))));
    assert_eq!(statuses(&effects)[0].healthy, None);
}

#[test]
fn what_is_not_acknowledged_goes_with_the_next_subscription() {
    let mut machine = Machine::subscribed(true);
    machine.agent(launch("t"));
    machine.input(Input::Task(TaskEvent::Running(report(1))));
    assert_eq!(machine.input(Input::Disconnected("gone".into())), [Effect::Subscribe]);
    assert_eq!(machine.input(Input::Task(TaskEvent::Report(report(2)))), [], "nobody to send it to");
    let (call, effects) = machine.subscribe();
    let subscribe = call.subscribe.expect("a SUBSCRIBE call");
    assert_eq!(call.r#type, Some(call::Type::Subscribe.into()));
    assert_eq!(subscribe.unacknowledged_tasks.len(), 1);
    assert_eq!(subscribe.unacknowledged_updates.len(), 3);
    assert_eq!(effects, [], "the subscription carried them");
    machine.acknowledge_all();
    let subscribe = machine.state.subscription().subscribe.expect("a SUBSCRIBE call");
    assert!(subscribe.unacknowledged_tasks.is_empty() && subscribe.unacknowledged_updates.is_empty());
}

#[test]
fn what_was_made_during_the_subscription_is_sent_after_it() {
    let mut machine = Machine::running(true);
    machine.input(Input::Disconnected("gone".into()));
    machine.state.subscription();
    machine.input(Input::Task(TaskEvent::Report(report(2))));
    let effects = machine.agent(subscribed(true));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskRunning)]);
}

#[test]
fn without_checkpointing_the_agents_death_is_the_end() {
    let mut machine = Machine::running(false);
    let effects = machine.input(Input::Disconnected("gone".into()));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    assert!(matches!(exits(&effects), Some(Err(_))));
}

#[test]
fn with_checkpointing_the_task_goes_on_until_the_recovery_timeout() {
    let mut machine = Machine::running(true);
    assert_eq!(machine.input(Input::Disconnected("gone".into())), [Effect::Subscribe]);
    machine.now += RECOVERY - Duration::from_millis(1);
    assert_eq!(machine.input(Input::Disconnected("still gone".into())), [Effect::Subscribe]);
    let effects = machine.after(Duration::from_millis(1));
    assert!(effects.contains(&Effect::Abort) && matches!(exits(&effects), Some(Err(_))));
}

#[test]
fn the_end_of_a_task_waits_for_the_agent_to_come_back() {
    let mut machine = Machine::running(true);
    machine.input(Input::Disconnected("gone".into()));
    assert_eq!(machine.input(Input::Ended(Ok(report(2)))), []);
    assert_eq!(machine.after(Duration::from_secs(60)), []);
    machine.subscribe();
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn an_agent_that_never_acknowledges_does_not_keep_the_process() {
    let mut machine = Machine::running(true);
    machine.input(Input::Ended(Ok(report(2))));
    let deadline = machine.state.deadline().expect("a deadline");
    assert_eq!(exits(&machine.after(deadline - machine.now)), Some(&Ok(())));
}

#[test]
fn the_first_subscription_is_tried_only_briefly() {
    for checkpoint in [true, false] {
        let mut machine = Machine::new(checkpoint);
        assert_eq!(machine.input(Input::Disconnected("refused".into())), [Effect::Subscribe]);
        assert_eq!(machine.after(Duration::from_secs(60)), [], "it may only be slow to answer");
        let effects = machine.input(Input::Disconnected("refused".into()));
        assert!(matches!(exits(&effects), Some(Err(text)) if text.contains("refused")));
    }
}

#[test]
fn a_disowned_executor_ends_at_once() {
    let mut machine = Machine::running(true);
    let effects = machine.input(Input::Disowned("Framework cannot be found".into()));
    assert_eq!(effects.first(), Some(&Effect::Abort));
    assert!(matches!(exits(&effects), Some(Err(text)) if text.contains("cannot be found")));
}

#[test]
fn instructions_are_passed_on_to_a_live_task_only() {
    let instruction = Instruction::MineAt { pool: "pool:3333".into() };
    let message = || Event::Message(instruction.encode());
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.agent(message()), []);
    let mut machine = Machine::running(true);
    assert_eq!(machine.agent(message()), [Effect::Instruct(instruction.clone())]);
    assert_eq!(machine.agent(Event::Message(b"something else".to_vec())), []);
    machine.input(Input::Ended(Ok(report(2))));
    assert_eq!(machine.agent(message()), []);
}

#[test]
fn a_specification_of_a_later_version_fails_with_a_reason() {
    let mut machine = Machine::subscribed(true);
    let mut info = task("t");
    info.data.as_mut().expect("it has data")[1] = 3;
    let effects = machine.agent(Event::Launch(Box::new(info)));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(status.state(), TaskState::TaskFailed);
    let text =
        "can't read the task's data: task specification of version 3; this program reads versions 1 to 2";
    assert_eq!(status.message.as_deref(), Some(text));
}

/// As a scheduler of version 1 wrote it.
#[test]
fn a_specification_of_the_version_before_is_run() {
    let mut machine = Machine::subscribed(true);
    let mut info = task("t");
    info.data.as_mut().expect("it has data")[1] = 1;
    let effects = machine.agent(Event::Launch(Box::new(info)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Launch { .. })), "{effects:?}");
}

#[test]
fn live_messages_are_sent_or_lost_but_never_kept() {
    let mut machine = Machine::running(true);
    let live = || Input::Task(TaskEvent::Live(Live::Worker(WorkerLive::default())));
    let effects = machine.input(live());
    assert!(matches!(&effects[..], [Effect::Send(call)] if call.message.is_some()));
    machine.input(Input::Disconnected("gone".into()));
    assert_eq!(machine.input(live()), []);
    assert!(machine.unacknowledged().is_empty());
}
