//! `--duration`: how long the scheduler runs.

use std::time::{Duration, Instant};

/// When the scheduler started, and how long it may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    started: Instant,
    limit: Option<Duration>,
}

impl TimeLimit {
    /// Starts to measure the time.
    pub fn start(limit: Option<Duration>) -> Self {
        TimeLimit { started: Instant::now(), limit }
    }

    /// How long the scheduler has been running.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time for which the scheduler may still run, if there is a limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    /// Waits until the limit is reached, or for ever without a limit.
    pub async fn reached(&self) {
        match self.remaining() {
            Some(remaining) => tokio::time::sleep(remaining).await,
            None => std::future::pending().await,
        }
    }
}
