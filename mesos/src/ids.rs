//! Helpers for ids and task states: `"t1".into()`, `{id}`, `state.is_terminal()`.

use std::fmt;

use crate::v1::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, ResourceProviderId, TaskId,
    TaskState, TaskStatus, task_status,
};

macro_rules! id {
    ($($name:ident $(, $field:ident)*;)*) => {$(
        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self { value, $($field: None,)* }
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                value.to_owned().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.value)
            }
        }
    )*};
}

id! {
    AgentId;
    ContainerId, parent;
    ExecutorId;
    FrameworkId;
    OfferId;
    OperationId;
    ResourceProviderId;
    TaskId;
}

impl TaskState {
    /// Whether no update can follow. Mesos also calls TASK_LOST, TASK_DROPPED, TASK_GONE and TASK_GONE_BY_OPERATOR terminal,
    /// but tasks have been seen to return after TASK_LOST.
    pub fn is_final(self) -> bool {
        matches!(self, Self::TaskFinished | Self::TaskFailed | Self::TaskKilled | Self::TaskError)
    }

    /// Whether Mesos regards the task as ended and its resources as free.
    pub fn is_terminal(self) -> bool {
        use TaskState::*;
        self.is_final() || matches!(self, TaskLost | TaskDropped | TaskGone | TaskGoneByOperator)
    }
}

impl TaskStatus {
    /// The state; `None` if it is unknown to this crate. (`state()` returns TASK_STAGING in that case.)
    pub fn known_state(&self) -> Option<TaskState> {
        TaskState::try_from(self.state).ok()
    }

    /// Whether this update must be acknowledged. If `false`, acknowledging it is an error.
    pub fn needs_acknowledgement(&self) -> bool {
        self.uuid.as_ref().is_some_and(|uuid| !uuid.is_empty())
    }

    /// The reason; `None` if there is none, or if it is unknown to this crate.
    pub fn known_reason(&self) -> Option<task_status::Reason> {
        self.reason.and_then(|reason| task_status::Reason::try_from(reason).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_state_or_reason_is_not_taken_for_another() {
        let status = TaskStatus { state: 99, reason: Some(99), ..TaskStatus::default() };
        assert_eq!((status.known_state(), status.known_reason()), (None, None));
        let status = TaskStatus { state: TaskState::TaskStarting.into(), ..TaskStatus::default() };
        assert_eq!(status.known_state(), Some(TaskState::TaskStarting));
    }

    #[test]
    fn final_states_are_terminal() {
        for number in 0..=13 {
            let state = TaskState::try_from(number).unwrap();
            assert!(!state.is_final() || state.is_terminal());
        }
        assert!(!TaskState::TaskUnreachable.is_terminal() && !TaskState::TaskUnknown.is_terminal());
        assert!(TaskState::TaskLost.is_terminal() && !TaskState::TaskLost.is_final());
    }
}
