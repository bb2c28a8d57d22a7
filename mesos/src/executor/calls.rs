//! A function for each type of call, and a function that makes status updates.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::v1::executor::Call;
use crate::v1::executor::call::{self, Type};
use crate::v1::{ExecutorId, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus, task_status};

/// The ids that identify an executor in every call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The framework that the executor belongs to.
    pub framework_id: FrameworkId,
    /// The executor's id.
    pub executor_id: ExecutorId,
}

fn call(identity: &Identity, kind: Type) -> Call {
    Call {
        executor_id: identity.executor_id.clone(),
        framework_id: identity.framework_id.clone(),
        r#type: Some(kind.into()),
        ..Call::default()
    }
}

/// SUBSCRIBE. The first call lists neither tasks nor updates. Later calls list the tasks without an acknowledged update, and
/// the unacknowledged updates in order.
pub fn subscribe(identity: &Identity, tasks: Vec<TaskInfo>, updates: Vec<TaskStatus>) -> Call {
    let subscribe = call::Subscribe {
        unacknowledged_tasks: tasks,
        unacknowledged_updates: updates.into_iter().map(|status| call::Update { status }).collect(),
    };
    Call { subscribe: Some(subscribe), ..call(identity, Type::Subscribe) }
}

/// UPDATE: the state of a task. Keep the update until its uuid is acknowledged. See [`status`].
pub fn update(identity: &Identity, status: TaskStatus) -> Call {
    Call { update: Some(call::Update { status }), ..call(identity, Type::Update) }
}

/// MESSAGE to the scheduler. The message may be lost without notice.
pub fn message(identity: &Identity, data: Vec<u8>) -> Call {
    Call { message: Some(call::Message { data }), ..call(identity, Type::Message) }
}

/// HEARTBEAT: shows the agent, and any proxies, that the executor is alive. One call every half hour is enough.
pub fn heartbeat(identity: &Identity) -> Call {
    call(identity, Type::Heartbeat)
}

/// A status update with everything that an agent requires: a new uuid, the source and the time.
pub fn status(identity: &Identity, task: TaskId, state: TaskState, now: SystemTime) -> TaskStatus {
    TaskStatus {
        task_id: task,
        state: state.into(),
        source: Some(task_status::Source::Executor.into()),
        executor_id: Some(identity.executor_id.clone()),
        timestamp: now.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64()),
        uuid: Some(Uuid::new_v4().into_bytes().to_vec()),
        ..TaskStatus::default()
    }
}
