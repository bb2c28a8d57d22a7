//! The limit on launches while they fail, or while none has succeeded yet.

use std::fmt;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};
use problem::{Problem, ProblemKind};

use super::ExecutorStatus;
use crate::task_id::TaskKind;

/// A limit on launches. Without a limit, as many tasks are launched as resources allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchLimit {
    /// Maximum number of launches in progress. A launch is in progress while it is being persisted, and after it was sent until
    /// its outcome is known.
    pub allowed: u64,
    /// How many of the launches in progress were sent. The others are being persisted.
    pub sent: u64,
    /// Nothing is launched before this time.
    pub not_before: Option<Instant>,
    /// The failure that is the reason for the limit; `None` if the reason is that no launch has succeeded yet.
    pub failure: Option<CommonFailure>,
}

/// How a launch failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchFailure {
    /// The kind of the task. The server and the workers fail for causes of their own, even if they end alike.
    pub task_kind: TaskKind,
    /// The state that Mesos reported for the task whose launch failed.
    pub state: TaskState,
    /// The reason that Mesos gave for this state, if any.
    pub reason: Option<task_status::Reason>,
    /// The executor's exit status, as wait(2) returns it, if it is known.
    pub status: Option<i32>,
    /// The problem that the task named, if it does not mend itself. No agent is to blame for it.
    pub problem: Option<ProblemKind>,
}

impl LaunchFailure {
    /// The reason and the exit status, for display after the state: ` (REASON_EXECUTOR_TERMINATED), exit status 1`.
    pub fn how(&self) -> String {
        let reason = self.reason.map(|reason| format!(" ({})", reason.as_str_name())).unwrap_or_default();
        let status = self.telling_status().map(|status| format!(", {status}")).unwrap_or_default();
        format!("{reason}{status}")
    }

    /// How the executor's process ended, if that is news. An executor that Mesos could not launch has signal 9 or a status of
    /// Mesos' own helpers.
    pub fn telling_status(&self) -> Option<ExecutorStatus> {
        let launched = self.reason != Some(task_status::Reason::ContainerLaunchFailed);
        let status = self.status.filter(|_| launched).map(ExecutorStatus::of)?;
        (!matches!(status, ExecutorStatus::NeverStarted | ExecutorStatus::Exited(0))).then_some(status)
    }

    /// Whether another launch failed in the same way. An unknown exit status matches any other.
    pub fn is_like(&self, other: &LaunchFailure) -> bool {
        let same_status = self.status == other.status || self.status.is_none() || other.status.is_none();
        let way = |it: &LaunchFailure| (it.task_kind, it.state, it.reason, it.problem);
        way(self) == way(other) && same_status
    }
}

/// A failure that several agents have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonFailure {
    /// The state, reason and exit status that the failed launches have in common.
    pub failure: LaunchFailure,
    /// How many launches failed like this.
    pub launches: u64,
    /// The number of agents on which launches have failed like this since the last success.
    pub agents: u64,
    /// The cause, as the message of Mesos or of the executor at the first failure tells it, and advice.
    pub cause: Problem,
}

impl LaunchLimit {
    /// Whether launches are tried on one agent at a time, because several agents had the same failure.
    pub fn is_cautious(&self) -> bool {
        self.failure.is_some() && self.not_before.is_some()
    }

    /// The number of further launches that may begin now. The `unsent` launches, which are being persisted, already count
    /// against the limit.
    pub fn room(&self, unsent: u64, now: Instant) -> u64 {
        if self.not_before.is_some_and(|at| at > now) {
            return 0;
        }
        self.allowed.saturating_sub(self.sent).saturating_sub(unsent)
    }

    /// The time until the next launch may begin.
    pub fn wait(&self, now: Instant) -> Duration {
        self.not_before.map(|at| at.saturating_duration_since(now)).unwrap_or_default()
    }
}

/// Writes the failure as, for example, `TASK_FAILED (REASON_EXECUTOR_TERMINATED), exit status 1: the message`.
impl fmt::Display for CommonFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.failure.state.as_str_name(), self.failure.how())?;
        if self.cause.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.cause) }
    }
}
