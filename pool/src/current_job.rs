//! The job that miners work on now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

use crate::job::{ExtranonceLayout, Job, JobContent};

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
