//! Every call and operation of both APIs has a function, and every event has an enum variant.

use std::time::Duration;

use mesos::{executor, scheduler, v1};

use crate::recorded;
use crate::streams::decode;

/// The functions build the calls that another program once sent, and that a real Mesos accepted.
#[test]
fn builders_agree_with_recorded_calls() {
    let recorded = |number: &str| -> v1::scheduler::Call {
        let name = format!("protobuf/scheduler-call-{number}.body.pb");
        decode(&recorded::one(&name).bytes, &name)
    };
    let subscribe = recorded("01-SUBSCRIBE");
    let info = subscribe.subscribe.clone().unwrap().framework_info;
    assert_eq!(scheduler::subscribe(info), subscribe);

    let decline = recorded("02-DECLINE");
    let framework = decline.framework_id.clone().unwrap();
    let part = decline.decline.clone().unwrap();
    let refuse = part.filters.map(|filters| Duration::from_secs_f64(filters.refuse_seconds()));
    assert_eq!(scheduler::decline(&framework, part.offer_ids, refuse), decline);

    let accept = recorded("03-ACCEPT");
    let part = accept.accept.clone().unwrap();
    let refuse = part.filters.map(|filters| Duration::from_secs_f64(filters.refuse_seconds()));
    let tasks = part.operations[0].launch.clone().unwrap().task_infos;
    let launch = scheduler::operation::launch(tasks);
    assert_eq!(scheduler::accept(&framework, part.offer_ids, vec![launch], refuse), accept);

    let message = recorded("06-MESSAGE");
    let part = message.message.clone().unwrap();
    assert_eq!(scheduler::message(&framework, part.executor_id, part.agent_id, part.data), message);

    let reconcile = recorded("07-RECONCILE");
    let tasks = reconcile.reconcile.clone().unwrap().tasks;
    let tasks = tasks.into_iter().map(|task| (task.task_id, task.agent_id)).collect();
    assert_eq!(scheduler::reconcile(&framework, tasks), reconcile);

    let kill = recorded("14-KILL");
    let part = kill.kill.clone().unwrap();
    assert_eq!(scheduler::kill(&framework, part.task_id, part.agent_id, part.kill_policy), kill);

    let shutdown = recorded("23-SHUTDOWN");
    let part = shutdown.shutdown.clone().unwrap();
    assert_eq!(scheduler::shutdown(&framework, part.executor_id, part.agent_id), shutdown);

    assert_eq!(scheduler::teardown(&framework), recorded("25-TEARDOWN"));
}

/// For each type of call, there is a function that builds such a call and sets the field of that type.
#[test]
fn every_type_of_call_can_be_built() {
    use v1::scheduler::call::Type;
    let framework = v1::FrameworkId::from("f");
    let info = v1::FrameworkInfo { id: Some(framework.clone()), ..v1::FrameworkInfo::default() };
    let update = v1::TaskStatus { agent_id: Some("a".into()), uuid: Some(vec![1; 16]), ..Default::default() };
    let operation = v1::OperationStatus {
        operation_id: Some("o".into()),
        uuid: Some(v1::Uuid { value: vec![2; 16] }),
        ..Default::default()
    };
    let built = [
        scheduler::subscribe(info.clone()),
        scheduler::teardown(&framework),
        scheduler::accept(&framework, vec![], vec![], None),
        scheduler::decline(&framework, vec![], None),
        scheduler::revive(&framework, vec![]),
        scheduler::kill(&framework, "t".into(), None, None),
        scheduler::shutdown(&framework, "e".into(), "a".into()),
        scheduler::acknowledge(&framework, &update).unwrap(),
        scheduler::reconcile(&framework, vec![]),
        scheduler::message(&framework, "e".into(), "a".into(), vec![]),
        scheduler::request(&framework, vec![]),
        scheduler::suppress(&framework, vec![]),
        scheduler::accept_inverse_offers(&framework, vec![], None),
        scheduler::decline_inverse_offers(&framework, vec![], None),
        scheduler::acknowledge_operation_status(&framework, &operation).unwrap(),
        scheduler::reconcile_operations(&framework, vec![]),
        scheduler::update_framework(info, vec![], None),
    ];
    for (index, call) in built.iter().enumerate() {
        assert_eq!(call.r#type() as usize, index + 1);
        assert_eq!(call.framework_id.as_ref(), Some(&framework));
        let fields = format!("{call:?}").matches(": Some(").count();
        let bare = call.r#type() == Type::Teardown;
        assert!(bare || fields > 2, "{call:?} lacks its part");
    }
}

#[test]
fn every_type_of_an_executors_call_can_be_built() {
    use v1::executor::call::Type;
    let me = executor::Identity { framework_id: "f".into(), executor_id: "e".into() };
    let status = executor::status(&me, "t".into(), v1::TaskState::TaskRunning, std::time::SystemTime::now());
    assert_eq!(status.source(), v1::task_status::Source::Executor);
    let built = [
        executor::subscribe(&me, vec![v1::TaskInfo::default()], vec![status.clone()]),
        executor::update(&me, status),
        executor::message(&me, vec![1]),
        executor::heartbeat(&me),
    ];
    let types = [Type::Subscribe, Type::Update, Type::Message, Type::Heartbeat];
    for (call, kind) in built.iter().zip(types) {
        assert_eq!(call.r#type(), kind);
        assert_eq!((call.framework_id.value.as_str(), call.executor_id.value.as_str()), ("f", "e"));
        let parts = [call.subscribe.is_some(), call.update.is_some(), call.message.is_some()];
        let expected = [Type::Subscribe, Type::Update, Type::Message].map(|other| other == kind);
        assert_eq!(parts, expected, "{call:?}");
    }
    let subscribe = built[0].subscribe.as_ref().unwrap();
    assert_eq!((subscribe.unacknowledged_tasks.len(), subscribe.unacknowledged_updates.len()), (1, 1));
}

/// For each operation on offers, there is a function that builds it and sets the field of that operation.
#[test]
fn every_operation_can_be_built() {
    use scheduler::operation::*;
    use v1::offer::operation::Type;
    let disk = v1::Resource::default;
    let built = [
        launch(vec![]),
        launch_group(v1::ExecutorInfo::default(), vec![]),
        reserve(vec![]),
        unreserve(vec![]),
        create(vec![]),
        destroy(vec![]),
        grow_volume(disk(), disk()),
        shrink_volume(disk(), 1.0),
        create_disk(disk(), v1::resource::disk_info::source::Type::Mount, None),
        destroy_disk(disk()),
    ];
    let types: std::collections::BTreeSet<_> = built.iter().map(|operation| operation.r#type()).collect();
    // UNKNOWN is number 0, so the count begins at 1.
    let known = (1..100).filter(|number| Type::try_from(*number).is_ok()).count();
    assert_eq!((types.len(), types.contains(&Type::Unknown)), (known, false));
    for operation in built {
        let named = operation.clone().with_id("o".into());
        assert_eq!(named.id, Some("o".into()));
        assert!(format!("{operation:?}").matches(": Some(").count() >= 2, "{operation:?} lacks its part");
    }
}

/// Each type of event has its own variant of the enum, and can be converted back.
#[test]
fn every_type_of_event_has_its_own_variant() {
    use scheduler::Event;
    let events = [
        Event::Subscribed(Box::default()),
        Event::Offers(vec![v1::Offer::default()]),
        Event::InverseOffers(vec![v1::InverseOffer::default()]),
        Event::Rescind("o".into()),
        Event::RescindInverseOffer("o".into()),
        Event::Update(Box::default()),
        Event::UpdateOperationStatus(Box::default()),
        Event::Message(v1::scheduler::event::Message::default()),
        Event::Failure(v1::scheduler::event::Failure::default()),
        Event::Error("e".into()),
        Event::Heartbeat,
    ];
    let mut types = std::collections::BTreeSet::new();
    for event in events {
        let wire = v1::scheduler::Event::from(event.clone());
        types.insert(wire.r#type);
        assert_eq!(Event::from(wire), event);
    }
    let known = (1..100).filter(|n| v1::scheduler::event::Type::try_from(*n).is_ok());
    assert_eq!(types.len(), known.count());

    use executor::Event as ExecutorEvent;
    let events = [
        ExecutorEvent::Subscribed(Box::default()),
        ExecutorEvent::Launch(Box::default()),
        ExecutorEvent::LaunchGroup(v1::TaskGroupInfo::default()),
        ExecutorEvent::Kill(v1::executor::event::Kill::default()),
        ExecutorEvent::Acknowledged(v1::executor::event::Acknowledged::default()),
        ExecutorEvent::Message(vec![1]),
        ExecutorEvent::Error("e".into()),
        ExecutorEvent::Shutdown,
        ExecutorEvent::Heartbeat,
    ];
    let mut types = std::collections::BTreeSet::new();
    for event in events {
        let wire = v1::executor::Event::from(event.clone());
        types.insert(wire.r#type);
        assert_eq!(ExecutorEvent::from(wire), event);
    }
    let known = (1..100).filter(|n| v1::executor::event::Type::try_from(*n).is_ok());
    assert_eq!(types.len(), known.count());
}

/// The README has a row for each callback of the old drivers.
#[test]
fn the_table_of_callbacks_is_complete() {
    let readme = include_str!("../../README.md");
    let rows = |heading: &str| -> Vec<String> {
        let lines = readme.lines().skip_while(|line| !line.starts_with(&format!("| `{heading}` callback |")));
        let first = |line: &str| line.split('|').nth(1).unwrap().trim().to_owned();
        lines.skip(2).take_while(|line| line.starts_with('|')).map(first).collect()
    };
    let scheduler = [
        "registered",
        "reregistered",
        "disconnected",
        "resourceOffers",
        "offerRescinded",
        "statusUpdate",
        "frameworkMessage",
        "slaveLost",
        "executorLost",
        "error",
    ];
    assert_eq!(rows("Scheduler"), scheduler);
    let executor = [
        "registered",
        "reregistered",
        "disconnected",
        "launchTask",
        "killTask",
        "frameworkMessage",
        "shutdown",
        "error",
    ];
    assert_eq!(rows("Executor"), executor);
}
