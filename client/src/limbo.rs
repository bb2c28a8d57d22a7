//! Shares between two connections: they wait for the session to be resumed. Pure.

use std::sync::Arc;

use stratum::Job;
use tokio::time::Instant;

use crate::shares::{Jobs, Open};

/// Shares that are kept at most.
const MAX_OPEN: usize = 4096;

/// What is left of a connection that ended.
#[derive(Debug)]
pub(crate) struct Limbo {
    /// Which pool's it was.
    pub pool: usize,
    /// When there is no hope any more.
    pub until: Instant,
    /// Jobs of the session.
    pub jobs: Jobs,
    /// In the order of their submission.
    pub open: Vec<Open>,
    /// Whether a connection has resumed the session; the shares still wait for it to be authorized.
    pub resumed: bool,
}

impl Limbo {
    /// Takes a share of one of the session's jobs; false if there is no room.
    pub fn take(&mut self, job: &Arc<Job>, open: Open) -> bool {
        let fits = self.jobs.has(job) && self.open.len() < MAX_OPEN;
        if fits {
            self.open.push(open);
        }
        fits
    }
}
