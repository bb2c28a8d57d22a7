//! The job that miners work on now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

use crate::job::{BlockClaim, ExtranonceLayout, Job, JobContent};

/// What miners work on now.
#[derive(Clone, Debug)]
pub enum CurrentJob {
    /// There is no work: connections end, so that miners switch to another pool.
    Nothing,
    /// There is no work at the moment: connections stay open, and shares are stale.
    Idle(ExtranonceLayout),
    /// There is a job.
    Job(Arc<Job>),
}

impl CurrentJob {
    /// The job, if there is one.
    pub fn job(&self) -> Option<&Arc<Job>> {
        match self {
            CurrentJob::Job(job) => Some(job),
            CurrentJob::Nothing | CurrentJob::Idle(_) => None,
        }
    }

    /// Whether there is anything to search for after a candidate for `solved`: another tip, or a solution that can make a block.
    pub fn goes_on_after(&self, solved: &Job) -> bool {
        let is_taken = |job: &Job| job.claim().is_some_and(BlockClaim::is_taken);
        self.job().is_none_or(|job| solved.is_outdated_by(job) || !is_taken(job))
    }

    /// The layout of extranonces for a new connection; `None` if connections are refused.
    pub fn layout(&self) -> Option<ExtranonceLayout> {
        match self {
            CurrentJob::Nothing => None,
            CurrentJob::Idle(layout) => Some(*layout),
            CurrentJob::Job(job) => Some(job.layout),
        }
    }
}

/// Publishes the source's jobs to all connections.
#[derive(Debug)]
pub struct JobPublisher {
    current: watch::Sender<CurrentJob>,
    last_serial: AtomicU32,
}

impl Default for JobPublisher {
    fn default() -> Self {
        Self { current: watch::Sender::new(CurrentJob::Nothing), last_serial: AtomicU32::new(0) }
    }
}

impl JobPublisher {
    /// Makes a job from this content, and publishes it.
    pub fn publish(&self, content: impl Into<JobContent>) {
        let serial = self.last_serial.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.current.send_replace(CurrentJob::Job(Arc::new(Job::new(serial, content))));
    }

    /// Withdraws the job: connections end, and new ones are refused.
    pub fn withdraw(&self) {
        self.current.send_replace(CurrentJob::Nothing);
    }

    /// Withdraws the job. Connections stay open and wait for the next job.
    pub fn idle(&self) {
        self.current.send_if_modified(|current| {
            let CurrentJob::Job(job) = current else { return false };
            *current = CurrentJob::Idle(job.layout);
            true
        });
    }

    /// What miners work on now.
    pub fn current(&self) -> CurrentJob {
        self.current.borrow().clone()
    }

    /// Subscribes to changes of the current job.
    pub fn subscribe(&self) -> watch::Receiver<CurrentJob> {
        self.current.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chain::BuiltinChain;
    use crate::clock::Now;
    use crate::source::builtin_work;

    #[test]
    fn after_a_candidate_only_another_tip_or_another_block_is_searched_for() {
        let now = Now::read();
        let chain = |tag| BuiltinChain::new(Duration::from_secs(20), tag, now.unix);
        let job = |chain: &BuiltinChain, claim: &BlockClaim| {
            CurrentJob::Job(Arc::new(Job::new(1, builtin_work(chain, 1.0, now, claim.clone()))))
        };
        let (here, claim) = (chain(b""), BlockClaim::default());
        let present = job(&here, &claim);
        let solved = present.job().unwrap();
        assert!(claim.take());
        assert!(!present.goes_on_after(solved));
        assert!(!job(&here, &claim).goes_on_after(solved), "the template is new, the tip is the same");
        assert!(job(&here, &BlockClaim::default()).goes_on_after(solved), "the block was refused");
        assert!(CurrentJob::Nothing.goes_on_after(solved));
        claim.release();
        assert!(present.goes_on_after(solved), "the time for the next block has come");
    }
}
