//! Looks in the background whether a better pool is back: only one that gives work is.

use std::time::Duration;

use logging::error_chain;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::line::Line;

/// What a pool that is looked at may say before it is used: more is no pool that is back.
const MAX_EVENTS: usize = 1024;

/// Looks at one pool at a time.
pub(super) struct Probe {
    interval: Duration,
    /// Time for a pool to be back.
    patience: Duration,
    next: Instant,
    line: Option<Found>,
}

/// A pool that is looked at.
pub(super) struct Found {
    pub index: usize,
    pub line: Box<Line>,
    /// What it has said so far.
    pub events: Vec<stratum::Event>,
    until: Instant,
}

/// What comes of looking.
pub(super) enum News {
    /// It is time to look at a pool.
    Due,
    /// A pool is back: it takes our shares and has given a job.
    Back(Box<Found>),
}

impl Probe {
    pub fn new(interval: Duration, patience: Duration) -> Probe {
        Probe { interval, patience, next: Instant::now() + interval, line: None }
    }

    /// Forgets what it was looking at: the pools are tried in order now.
    pub fn reset(&mut self) {
        *self = Probe::new(self.interval, self.patience);
    }

    pub fn start(&mut self, index: usize, line: Line) {
        let now = Instant::now();
        self.next = now + self.interval;
        let until = now + self.patience;
        self.line = Some(Found { index, line: Box::new(line), events: Vec::new(), until });
    }

    /// Cancel-safe.
    pub async fn next(&mut self) -> News {
        loop {
            let Some(found) = &mut self.line else {
                sleep_until(self.next).await;
                return News::Due;
            };
            let failed = match timeout_at(found.until, found.line.next()).await {
                Ok(Ok(event)) if found.events.len() < MAX_EVENTS => {
                    found.events.push(event);
                    None
                }
                Ok(Ok(_)) => Some("it says a lot, but does not authorize us and give a job".to_owned()),
                Ok(Err(error)) => Some(error_chain(&error)),
                Err(_) => Some("it has not authorized us and given a job in time".to_owned()),
            };
            if let Some(error) = failed {
                debug!(error, "a better pool is not back");
                self.line = None;
                self.next = Instant::now() + self.interval;
                continue;
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
