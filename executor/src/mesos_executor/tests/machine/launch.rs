//! Launches, and refused launches.

use super::*;

/// Launches a task that must fail. Returns the message of its status update.
fn refusal(machine: &mut Machine, info: TaskInfo) -> String {
    let id = info.task_id.clone();
    let effects = machine.agent(AgentEvent::Launch(Box::new(info)));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!((&status.task_id, status.state()), (&id, TaskState::TaskFailed));
    status.message.clone().unwrap_or_default()
}

#[test]
fn a_task_starts_runs_and_finishes() {
    let mut machine = Machine::subscribed(true);
    let effects = machine.agent(launch("t"));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskStarting)]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Launch { task_id, .. } if task_id == "t")));
    let effects = machine.on(Event::Task(TaskEvent::Running(report(1))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskRunning)]);
    let effects = machine.on(Event::Task(TaskEvent::Report(report(2))));
    let [status] = &statuses(&effects)[..] else { panic!("one update: {effects:?}") };
    assert_eq!(data(status), report(2));
    let effects = machine.on(Event::TaskEnded(Ok(report(3))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskFinished)]);
    assert_eq!(exits(&effects), None, "not before the last update is acknowledged");
    let effects = machine.acknowledge_all();
    assert_eq!(exits(&effects), Some(&Ok(())));
}

#[test]
fn an_executor_runs_only_one_task() {
    let mut machine = Machine::running(true);
    let why = refusal(&mut machine, task("second"));
    assert!(why.contains("only one task, t"), "{why}");
    assert_eq!(machine.agent(launch("t")), [], "the same task again");
    machine.acknowledge_all();
    assert_eq!(
        updates(&machine.on(Event::TaskEnded(Ok(report(2))))),
        [("t".into(), TaskState::TaskFinished)]
    );
}

#[test]
fn a_group_of_one_task_runs_and_larger_groups_fail() {
    let mut machine = Machine::subscribed(true);
    let group = |ids: &[&str]| {
        AgentEvent::LaunchGroup(TaskGroupInfo { tasks: ids.iter().map(|id| task(id)).collect() })
    };
    assert_eq!(updates(&machine.agent(group(&["t"]))), [("t".into(), TaskState::TaskStarting)]);
    let mut machine = Machine::subscribed(true);
    let failed = |id: &str| (id.to_owned(), TaskState::TaskFailed);
    assert_eq!(updates(&machine.agent(group(&["a", "b"]))), [failed("a"), failed("b")]);
    assert_eq!(updates(&machine.agent(launch("late"))), [failed("late")]);
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn a_refused_group_does_not_affect_the_running_task() {
    let mut machine = Machine::running(true);
    let tasks = ["a", "b"].map(task).into();
    machine.agent(AgentEvent::LaunchGroup(TaskGroupInfo { tasks }));
    machine.acknowledge_all();
    assert_eq!(machine.after(Duration::from_secs(60)), []);
    let effects = machine.on(Event::TaskEnded(Ok(report(2))));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskFinished)]);
    assert_eq!(exits(&effects), None, "not before the last update is acknowledged");
}

#[test]
fn a_kill_before_the_launch_is_obeyed() {
    let mut machine = Machine::subscribed(true);
    assert_eq!(machine.agent(kill("t", None)), []);
    let effects = machine.agent(launch("t"));
    assert_eq!(updates(&effects), [("t".into(), TaskState::TaskKilled)]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Launch { .. })));
    assert_eq!(exits(&machine.acknowledge_all()), Some(&Ok(())));
}

#[test]
fn a_task_without_a_readable_specification_fails_with_a_reason() {
    let mut machine = Machine::subscribed(true);
    let info = TaskInfo { task_id: "t".into(), data: Some(vec![0xff]), ..TaskInfo::default() };
    let why = refusal(&mut machine, info);
    assert!(why.contains("task specification"), "{why}");
}

#[test]
fn a_specification_of_a_later_version_fails_with_a_reason() {
    let mut machine = Machine::subscribed(true);
    let mut info = task("t");
    info.data.as_mut().expect("it has data")[1] = 6;
    let text =
        "cannot read the task's data: task specification of version 6; this program reads versions 1 to 5";
    assert_eq!(refusal(&mut machine, info), text);
}

#[test]
fn a_specification_of_version_1_is_run() {
    let mut machine = Machine::subscribed(true);
    let mut info = task("t");
    info.data.as_mut().expect("it has data")[1] = 1;
    let effects = machine.agent(AgentEvent::Launch(Box::new(info)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Launch { .. })), "{effects:?}");
}
