//! Looks in the background whether a better pool is back: only one that gives work is.

use std::time::Duration;

use program::chain;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::line::Line;

/// Looks at one pool at a time.
pub(super) struct Probe {
    interval: Duration,
    next: Instant,
    line: Option<Found>,
}

/// A pool that is looked at.
pub(super) struct Found {
    pub index: usize,
    pub line: Box<Line>,
    /// What it has said so far.
    pub events: Vec<stratum::Event>,
}

/// What comes of looking.
pub(super) enum News {
    /// It is time to look at a pool.
    Due,
    /// A pool is back: it takes our shares and has given a job.
    Back(Box<Found>),
}

impl Probe {
    pub fn new(interval: Duration) -> Probe {
        Probe { interval, next: Instant::now() + interval, line: None }
    }

    /// Forgets what it was looking at: the pools are tried in order now.
    pub fn reset(&mut self) {
        *self = Probe::new(self.interval);
    }

    pub fn start(&mut self, index: usize, line: Line) {
        self.next = Instant::now() + self.interval;
        self.line = Some(Found { index, line: Box::new(line), events: Vec::new() });
    }

    /// Cancel-safe.
    pub async fn next(&mut self) -> News {
        loop {
            let Some(found) = &mut self.line else {
                sleep_until(self.next).await;
                return News::Due;
            };
            match found.line.next().await {
                Ok(event) => found.events.push(event),
                Err(error) => {
                    debug!(error = chain(&error), "a better pool is not back");
                    self.line = None;
                    self.next = Instant::now() + self.interval;
                    continue;
                }
            }
            if found.line.authorized && found.line.worked.is_some() {
                self.next = Instant::now() + self.interval;
                if let Some(found) = self.line.take() {
                    return News::Back(Box::new(found));
                }
            }
        }
    }
}
