//! When a task that is to end is told so again.

use std::time::{Duration, Instant};

/// First and longest time between two KILLs of one task.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// So many KILLs are sent before the agent is asked to end the executor: time enough for a last report.
const KILLS_BEFORE_SHUTDOWN: u32 = 2;

/// The KILLs of a task that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    sent: u32,
    pub again: Instant,
    pause: Duration,
}

impl Kill {
    /// The first one is due now.
    pub fn new(now: Instant) -> Self {
        Self { sent: 0, again: now, pause: KILL_AGAIN.0 }
    }

    /// For an executor that does not answer: SHUTDOWN follows the next KILL.
    pub fn last(now: Instant) -> Self {
        Self { sent: KILLS_BEFORE_SHUTDOWN, ..Self::new(now) }
    }

    /// The same with the next one due then. An executor that ignored KILLs is not given more of them.
    pub fn due_at(self, at: Instant) -> Self {
        Self { again: at, pause: KILL_AGAIN.0, ..self }
    }

    pub fn count(&mut self, now: Instant) {
        self.sent += 1;
        self.again = now + self.pause;
        self.pause = (self.pause * 2).min(KILL_AGAIN.1);
    }

    /// Whether they were so many that the agent has to end the executor.
    pub fn are_ignored(self) -> bool {
        self.sent > KILLS_BEFORE_SHUTDOWN
    }
}
