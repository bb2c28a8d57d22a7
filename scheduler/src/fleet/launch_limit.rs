//! How many launches may be under way while launches fail, or none has succeeded yet.

use std::fmt;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, task_status};

/// A bound on launches. Without one, as many tasks are launched as there is room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchLimit {
    /// So many launches may be under way: sent or about to be, and neither failed nor known to have succeeded.
    pub allowed: u64,
    /// How many of them have been sent.
    pub sent: u64,
    /// Nothing is launched before this time.
    pub not_before: Option<Instant>,
    /// Why, unless it is only that no launch has succeeded yet.
    pub failure: Option<CommonFailure>,
}

/// A failure that agents have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonFailure {
    /// Mesos' state.
    pub state: TaskState,
    /// Mesos' reason.
    pub reason: Option<task_status::Reason>,
    /// The executor's exit status, as wait(2) gives it, if it is known.
    pub status: Option<i32>,
    /// How many launches failed so.
    pub launches: u64,
    /// On how many agents in a row they did.
    pub agents: u64,
    /// What Mesos or the executor said the first time, and what to do; for people.
    pub why: String,
}

impl LaunchLimit {
    /// Whether agents are tried one at a time, since the last ones tried have all failed alike.
    pub fn is_cautious(&self) -> bool {
        self.failure.is_some() && self.not_before.is_some()
    }

    /// How many more launches may begin, if so many are being written down.
    pub fn room(&self, unsent: u64, now: Instant) -> u64 {
        if self.not_before.is_some_and(|at| at > now) {
            return 0;
        }
        self.allowed.saturating_sub(self.sent).saturating_sub(unsent)
    }

    /// How long it takes at least until another launch may begin.
    pub fn wait(&self, now: Instant) -> Duration {
        self.not_before.map(|at| at.saturating_duration_since(now)).unwrap_or_default()
    }
}

impl CommonFailure {
    /// Whether a task that ended like this failed in the same way.
    pub fn is_like(&self, state: TaskState, reason: Option<task_status::Reason>) -> bool {
        (self.state, self.reason) == (state, reason)
    }
}

/// Such as `TASK_FAILED (REASON_EXECUTOR_TERMINATED), exit status 1: the message`.
impl fmt::Display for CommonFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state.as_str_name())?;
        if let Some(reason) = self.reason {
            write!(f, " ({})", reason.as_str_name())?;
        }
        // An exit status has eight bits above those of the signal; Mesos says -1 where there was no process.
        match self.status {
            Some(status) if status >= 0 && status & 0x7f == 0 => {
                write!(f, ", exit status {}", status >> 8 & 0xff)?
            }
            Some(status) if status >= 0 && status & 0x7f < 65 => write!(f, ", signal {}", status & 0x7f)?,
            _ => {}
        }
        write!(f, "{}", self.why)
    }
}
