//! The limit on launches while they fail, or while none has succeeded yet.

use std::fmt;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};

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
    /// The state that Mesos reported for the task whose launch failed.
    pub state: TaskState,
    /// The reason that Mesos gave for this state, if any.
    pub reason: Option<task_status::Reason>,
    /// The executor's exit status, as wait(2) returns it, if it is known.
    pub status: Option<i32>,
}

impl LaunchFailure {
    /// Whether another launch failed in the same way. An unknown exit status matches any other.
    pub fn is_like(&self, other: &LaunchFailure) -> bool {
        let same_status = self.status == other.status || self.status.is_none() || other.status.is_none();
        (self.state, self.reason) == (other.state, other.reason) && same_status
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
    /// Text for the user: the message of Mesos or of the executor at the first failure, and advice.
    pub why: String,
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
        let LaunchFailure { state, reason, status } = &self.failure;
        f.write_str(state.as_str_name())?;
        if let Some(reason) = reason {
            write!(f, " ({})", reason.as_str_name())?;
        }
        // The exit code is in the second byte of the status, and the signal in the lowest seven bits. Mesos reports -1 if there
        // was no process.
        match *status {
            Some(status) if status >= 0 && status & 0x7f == 0 => {
                write!(f, ", exit status {}", status >> 8 & 0xff)?
            }
            Some(status) if status >= 0 && status & 0x7f < 65 => write!(f, ", signal {}", status & 0x7f)?,
            _ => {}
        }
        write!(f, "{}", self.why)
    }
}
