//! The job that miners work on now.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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

/// When jobs were published; `None` before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobTimes {
    /// When the last job was published.
    pub published: Option<Instant>,
    /// When the last job was published that made all jobs before it stale.
    pub tip_since: Option<Instant>,
}

/// Publishes the source's jobs to all connections.
#[derive(Debug)]
pub struct JobPublisher {
    current: watch::Sender<CurrentJob>,
    last_serial: AtomicU32,
    times: Mutex<JobTimes>,
}

impl Default for JobPublisher {
    fn default() -> Self {
        let current = watch::Sender::new(CurrentJob::Nothing);
        Self { current, last_serial: AtomicU32::new(0), times: Mutex::default() }
    }
}

impl JobPublisher {
    /// Makes a job from this content, and publishes it.
    pub fn publish(&self, content: impl Into<JobContent>) {
        let serial = self.last_serial.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let job = Arc::new(Job::new(serial, content));
        let before = self.current.send_replace(CurrentJob::Job(job.clone()));
        let is_on_tip = before.job().is_some_and(|before| !before.is_outdated_by(&job));
        let now = Some(Instant::now());
        let mut times = self.lock_times();
        times.published = now;
        if !is_on_tip {
            times.tip_since = now;
        }
    }

    /// When jobs were published.
    pub fn times(&self) -> JobTimes {
        *self.lock_times()
    }

    fn lock_times(&self) -> MutexGuard<'_, JobTimes> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(!solved.is_held(), "a node judges the block");
        claim.release();
        assert!(claim.hold() && solved.is_held() && !claim.take() && !present.goes_on_after(solved));
        claim.release();
        assert!(present.goes_on_after(solved), "the time for the next block has come");
    }

    #[test]
    fn a_job_on_the_same_tip_does_not_make_the_tip_new() {
        let jobs = JobPublisher::default();
        assert_eq!(jobs.times(), JobTimes::default());
        let publish = |tag: &[u8]| {
            let chain = BuiltinChain::new(Duration::from_secs(20), tag, 1_800_000_000);
            let before = Instant::now();
            jobs.publish(builtin_work(&chain, 0.0, Now::read(), Default::default()));
            let JobTimes { published, tip_since } = jobs.times();
            (published >= Some(before), tip_since >= Some(before))
        };
        assert_eq!(publish(b""), (true, true));
        // The clock has moved on since the tip.
        while jobs.times().tip_since >= Some(Instant::now()) {}
        assert_eq!(publish(b""), (true, false));
        assert_eq!(publish(b"another chain"), (true, true));
    }
}
