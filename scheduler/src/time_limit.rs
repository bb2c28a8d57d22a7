//! `--duration`: how long the scheduler runs.

use std::time::{Duration, Instant};

/// The time since the scheduler began, and the limit to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    began: Instant,
    limit: Option<Duration>,
}

impl TimeLimit {
    /// Time counts from now on.
    pub fn start(limit: Option<Duration>) -> Self {
        TimeLimit { began: Instant::now(), limit }
    }

    /// How long the scheduler has run.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long it may still run, if there is a limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    /// Waits for the end of the time; without a limit, for ever.
    pub async fn reached(&self) {
        match self.remaining() {
            Some(remaining) => tokio::time::sleep(remaining).await,
            None => std::future::pending().await,
        }
    }
}
