//! Events of a fake agent.

use std::num::NonZeroU64;
use std::time::Duration;

use mesos::executor::Event;
use mesos::v1::executor::event;
use mesos::v1::{DurationInfo, FrameworkInfo, KillPolicy, TaskInfo, TaskStatus, framework_info};
use task::{Intervals, ProgramSpec, TaskSpec, WorkerSpec};

/// The event that accepts the subscription. `killing`: whether the framework has the capability TASK_KILLING_STATE.
pub(super) fn subscribed(killing: bool) -> Event {
    let capability = framework_info::Capability {
        r#type: Some(framework_info::capability::Type::TaskKillingState.into()),
    };
    let framework_info = FrameworkInfo {
        capabilities: if killing { vec![capability] } else { Vec::new() },
        ..FrameworkInfo::default()
    };
    Event::Subscribed(Box::new(event::Subscribed { framework_info, ..event::Subscribed::default() }))
}

pub(super) fn task(id: &str) -> TaskInfo {
    limited_task(id, None)
}

/// A worker task with a limit on its updates.
pub(super) fn limited_task(id: &str, max_updates: Option<u64>) -> TaskInfo {
    let worker = WorkerSpec {
        pool: "127.0.0.1:1".into(),
        alternatives: Vec::new(),
        user: id.into(),
        password: "x".into(),
        access: task::PoolAccess::default(),
        cpus: 1.0,
        backend: None,
    };
    let spec = TaskSpec {
        intervals: Intervals::new(Duration::from_secs(5), Duration::from_secs(1)),
        max_updates: max_updates.and_then(NonZeroU64::new),
        kind: ProgramSpec::Worker(worker),
    };
    TaskInfo { task_id: id.into(), data: Some(spec.encode()), ..TaskInfo::default() }
}

pub(super) fn launch(id: &str) -> Event {
    Event::Launch(Box::new(task(id)))
}

pub(super) fn kill(id: &str, grace: Option<Duration>) -> Event {
    let nanoseconds = grace.map(|grace| i64::try_from(grace.as_nanos()).expect("a short time"));
    let kill_policy =
        nanoseconds.map(|nanoseconds| KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) });
    Event::Kill(event::Kill { task_id: id.into(), kill_policy })
}

pub(super) fn acknowledged(status: &TaskStatus) -> Event {
    let uuid = status.uuid.clone().expect("updates of an executor have a UUID");
    Event::Acknowledged(event::Acknowledged { task_id: status.task_id.clone(), uuid })
}
