//! What master and agents say to each other, and what both say to their HTTP side.
//!
//! Real Mesos has a protocol of its own between master and agent; here they are parts of one process,
//! so these are plain values.

use crate::resources::Bundle;
use mesos::v1::{AgentInfo, DurationInfo, ExecutorInfo, FrameworkInfo, KillPolicy, TaskInfo, TaskStatus};
use mesos::v1::{TaskState, task_status};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// A moment by both clocks: deadlines go by the first, messages carry the second.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Never goes back.
    pub instant: Instant,
    /// Since the Unix epoch.
    pub unix: Duration,
}

impl Now {
    /// The present.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix }
    }
}

/// Names an HTTP request, and later the event stream that answers it.
pub type RequestId = u64;

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 202
    Accepted,
    /// 200 without a body.
    Done,
    /// 200, an event stream with this Mesos-Stream-Id.
    Stream(Option<String>),
    /// An error status and the reason.
    Refused(u16, String),
}

impl Answer {
    /// 400 with a reason.
    pub fn bad(reason: impl Into<String>) -> Self {
        Self::Refused(400, reason.into())
    }
}

/// From the master to an agent.
#[derive(Clone, Debug)]
pub enum ToAgent {
    /// Answers [`ToMaster::Register`] with the agent's id.
    Registered(String),
    /// Start a task, and its executor if it doesn't run yet.
    Run {
        /// The framework as the master knows it.
        framework: Box<FrameworkInfo>,
        /// The task; its `executor` is set.
        task: Box<TaskInfo>,
    },
    /// End a task.
    Kill {
        /// Whose it is.
        framework_id: String,
        /// Which.
        task_id: String,
        /// How, if not as the task says.
        policy: Option<KillPolicy>,
    },
    /// End all tasks, in so much time at most.
    Drain(Option<DurationInfo>),
    /// End an executor.
    Shutdown {
        /// Whose it is.
        framework_id: String,
        /// Which.
        executor_id: String,
    },
    /// The framework has subscribed again: what it has not acknowledged may not have reached it.
    Resend(String),
    /// End all executors of a framework and forget it.
    RemoveFramework(String),
    /// For an executor.
    Message {
        /// Whose it is.
        framework_id: String,
        /// To whom.
        executor_id: String,
        /// The data.
        data: Vec<u8>,
    },
    /// The scheduler has handled an update.
    Acknowledge {
        /// Whose task it is.
        framework_id: String,
        /// Which.
        task_id: String,
        /// Of the update.
        uuid: Vec<u8>,
    },
}

/// A task as an agent reports it to a master that may not know it.
#[derive(Clone, Debug)]
pub struct KnownTask {
    /// Whose it is.
    pub framework_id: String,
    /// The task as launched.
    pub info: TaskInfo,
    /// Its newest status, if there was one.
    pub status: Option<TaskStatus>,
}

/// From an agent to the master.
#[derive(Clone, Debug)]
pub enum ToMaster {
    /// An agent is there (again).
    Register {
        /// Its description; with an id if it had one before.
        info: Box<AgentInfo>,
        /// What it has.
        total: Bundle,
        /// Its tasks that have not ended.
        tasks: Vec<KnownTask>,
        /// Its executors by framework.
        executors: Vec<(String, ExecutorInfo)>,
        /// The frameworks of those.
        frameworks: Vec<FrameworkInfo>,
    },
    /// An update for the scheduler.
    Update {
        /// Whose task it is.
        framework_id: String,
        /// With a uuid.
        status: Box<TaskStatus>,
        /// The newest state of the task, which may be further than `status`.
        latest: TaskState,
    },
    /// From an executor to the scheduler.
    Message {
        /// Whose it is.
        framework_id: String,
        /// From whom.
        executor_id: String,
        /// The data.
        data: Vec<u8>,
    },
    /// An executor has ended.
    Exited {
        /// Whose it was.
        framework_id: String,
        /// Which.
        executor_id: String,
        /// As wait(2) gives it.
        status: i32,
    },
    /// The agent leaves for good.
    Unregister,
}

/// Whether a task in this state has ended for good.
pub fn is_terminal(state: TaskState) -> bool {
    use TaskState::*;
    matches!(
        state,
        TaskFinished
            | TaskFailed
            | TaskKilled
            | TaskError
            | TaskLost
            | TaskDropped
            | TaskGone
            | TaskGoneByOperator
    )
}

/// A status made by master or agent.
pub fn status(
    task_id: &str,
    state: TaskState,
    source: task_status::Source,
    reason: task_status::Reason,
    message: impl Into<String>,
    now: Now,
) -> TaskStatus {
    TaskStatus {
        task_id: mesos::v1::TaskId { value: task_id.to_owned() },
        state: state as i32,
        message: Some(message.into()),
        source: Some(source as i32),
        reason: Some(reason as i32),
        timestamp: Some(now.unix.as_secs_f64()),
        ..Default::default()
    }
}

/// The uuid in `bytes`, if Mesos would take it for one: 16 bytes of RFC 4122's variant.
pub fn valid_uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok().filter(|uuid| uuid.get_variant() == uuid::Variant::RFC4122)
}

/// What is wrong with an id that becomes part of a path, if anything.
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
        assert!(valid_uuid(Uuid::new_v4().as_bytes()).is_some());
        assert!(valid_uuid(b"xxxxxxxxxxxxxxxx").is_none());
        assert!(valid_uuid(b"short").is_none());
        assert!(id_fault("miner-worker-1").is_none());
        for bad in ["", "..", "a/b", "a\\b", "a\nb"] {
            assert!(id_fault(bad).is_some(), "{bad:?}");
        }
        assert!(id_fault(&"x".repeat(256)).is_some());
    }
}
