//! Messages between master and agents, and helpers for both: statuses, answers, checks of ids.
//!
//! A real master and its agents use a network protocol. Here both are in one process, so the messages are plain values, named
//! after Mesos' messages.

use mesos::resources::Resources;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::{
    ExecutorId, FrameworkId, FrameworkInfo, KillPolicy, TaskId, TaskInfo, TaskState, TaskStatus,
};
use mesos::v1::{Resource, resource::AllocationInfo, task_status};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The version of Mesos that the cluster imitates.
pub const VERSION: &str = "1.11.0";

/// The current time by two clocks: the monotonic one for deadlines, and wall-clock time for messages.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic time.
    pub instant: Instant,
    /// Time since the Unix epoch.
    pub unix: Duration,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix }
    }
}

/// The id of an HTTP request, and of the event stream that answers it.
pub type RequestId = u64;

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// HTTP status 202.
    Accepted,
    /// HTTP status 200, and an event stream with this Mesos-Stream-Id.
    Stream(Option<String>),
    /// An HTTP error status and the reason.
    Refused(u16, String),
}

impl Answer {
    /// HTTP status 400 with a reason.
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::Refused(400, reason.into())
    }
}

/// From the master to an agent.
#[derive(Clone, Debug)]
pub enum ToAgent {
    /// Launch a task, and start its executor if it does not run yet.
    RunTask {
        /// The master's latest description of the framework.
        framework: Box<FrameworkInfo>,
        /// The task; its `executor` is set.
        task: Box<TaskInfo>,
    },
    /// Kill a task.
    KillTask {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// Replaces the task's own kill policy.
        policy: Option<KillPolicy>,
    },
    /// Shut an executor down.
    ShutdownExecutor {
        /// The executor's framework.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
    },
    /// Shut all executors of a framework down, and forget the framework.
    ShutdownFramework(FrameworkId),
    /// Send all unacknowledged updates again: the framework has subscribed again, and may have missed them.
    ResendUpdates(FrameworkId),
    /// Pass data to an executor.
    Message {
        /// The executor's framework.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// The data.
        data: Vec<u8>,
    },
    /// The scheduler has acknowledged an update.
    Acknowledge {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The task.
        task_id: TaskId,
        /// The update's uuid.
        uuid: Vec<u8>,
    },
}

/// From an agent to the master.
#[derive(Clone, Debug)]
pub enum ToMaster {
    /// A status update for the scheduler.
    Update {
        /// The task's framework.
        framework_id: FrameworkId,
        /// The update; it has a uuid.
        status: Box<TaskStatus>,
        /// The task's latest state; later updates may still be queued behind `status`.
        latest: TaskState,
    },
    /// A message from an executor to the scheduler.
    Message {
        /// The executor's framework.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// The data.
        data: Vec<u8>,
    },
    /// An executor has ended.
    ExitedExecutor {
        /// The executor's framework.
        framework_id: FrameworkId,
        /// The executor.
        executor_id: ExecutorId,
        /// The wait status, as wait(2) gives it.
        status: i32,
    },
}

/// A status update that the master or an agent generates.
pub fn status(
    task_id: &TaskId,
    state: TaskState,
    source: task_status::Source,
    reason: task_status::Reason,
    message: impl Into<String>,
    now: Now,
) -> TaskStatus {
    TaskStatus {
        task_id: task_id.clone(),
        state: state.into(),
        message: Some(message.into()),
        source: Some(source.into()),
        reason: Some(reason.into()),
        timestamp: Some(now.unix.as_secs_f64()),
        ..Default::default()
    }
}

/// Whether a framework has a capability.
pub fn has_capability(info: &FrameworkInfo, capability: Capability) -> bool {
    info.capabilities.iter().any(|c| c.r#type == Some(capability.into()))
}

/// Returns `state` for a framework with the capability PARTITION_AWARE. Other frameworks do not know this state, so they get
/// TASK_LOST instead.
pub fn state_for(info: &FrameworkInfo, state: TaskState) -> TaskState {
    if has_capability(info, Capability::PartitionAware) { state } else { TaskState::TaskLost }
}

/// A copy of the resources, allocated to `role`; unallocated if `role` is `None`.
pub fn allocated_to(role: Option<&str>, resources: &Resources) -> Resources {
    let allocation_info = role.map(|role| AllocationInfo { role: Some(role.to_owned()) });
    let pieces = resources.as_slice().iter();
    let pieces = pieces.map(|piece| Resource { allocation_info: allocation_info.clone(), ..piece.clone() });
    pieces.collect::<Vec<_>>().into()
}

/// Whether Mesos accepts these bytes as a uuid: 16 bytes of RFC 4122's variant.
pub fn is_valid_uuid(bytes: &[u8]) -> bool {
    Uuid::from_slice(bytes).is_ok_and(|uuid| uuid.get_variant() == uuid::Variant::RFC4122)
}

/// Why Mesos refuses an id; `None` if the id is valid. Ids become parts of paths, so not all characters are allowed.
pub fn id_fault(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("ID must not be empty".into());
    }
    if id.len() > 255 {
        return Some("ID must not be greater than 255 characters".into());
    }
    if id == "." || id == ".." {
        return Some(format!("'{id}' is disallowed"));
    }
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
    id.contains(bad).then(|| format!("'{id}' contains invalid characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_and_ids() {
        assert!(is_valid_uuid(Uuid::new_v4().as_bytes()));
        assert!(!is_valid_uuid(b"xxxxxxxxxxxxxxxx"));
        assert!(!is_valid_uuid(b"short"));
        assert!(id_fault("miner-worker-1").is_none());
        for bad in ["", "..", "a/b", "a\\b", "a\nb"] {
            assert!(id_fault(bad).is_some(), "{bad:?}");
        }
        assert!(id_fault(&"x".repeat(256)).is_some());
    }
}
