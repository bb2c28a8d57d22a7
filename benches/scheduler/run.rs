//! One scheduler on one simulated cluster, and what it has cost.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::cluster::Cluster;
use super::master::Master;
use super::options::Options;
use super::scheduler::{Binary, Executor, INSTALLED, Scheduler};
use crate::suite::machine::{Threads, threads};

/// Between two looks at whether something has come about.
const POLL: Duration = Duration::from_millis(2);
/// Looks after which it is also looked whether the scheduler still runs.
const POLLS_PER_CHECK: usize = 250;

/// A cluster and its scheduler.
pub struct Run<'a> {
    pub options: &'a Options,
    pub binary: &'a Binary,
    pub agents: usize,
    pub master: Master,
    /// Options of the scheduler beside those that [`Options`] has.
    more: Vec<String>,
    pub executor: Executor,
    folder: TempDir,
    scheduler: Option<Scheduler>,
}

impl<'a> Run<'a> {
    /// Makes the cluster and a folder for the scheduler, which does not run yet.
    pub fn new(options: &'a Options, binary: &'a Binary, agents: usize, more: Vec<String>) -> Self {
        Self {
            options,
            binary,
            agents,
            master: Master::start(options.cluster(agents), options.delay_ms),
            more,
            executor: Executor::Installed(INSTALLED.into()),
            folder: TempDir::new_in(options.dir()).expect("a temporary folder"),
            scheduler: None,
        }
    }

    pub fn start_scheduler(&mut self) {
        let mut options = self.options.of_scheduler(self.binary, self.agents);
        options.extend_from_slice(&self.more);
        let (master, state_dir) = (self.master.address, self.state_dir());
        let started = Scheduler::start(self.binary, master, &state_dir, &self.executor, &options);
        self.scheduler = Some(started);
    }

    pub fn end_scheduler(&mut self, signal: Signal) {
        if let Some(scheduler) = self.scheduler.take() {
            scheduler.end(signal);
        }
    }

    /// The scheduler.
    ///
    /// # Panics
    /// If it does not run.
    pub fn scheduler(&self) -> &Scheduler {
        self.scheduler.as_ref().expect("it was started")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder that holds the state folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the cluster shows something; `None` if it does not within the limit.
    ///
    /// # Panics
    /// If the scheduler ends.
    pub fn wait<T>(
        &mut self,
        limit: Duration,
        mut shown: impl FnMut(&mut Cluster) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + limit;
        for polls in 1.. {
            let found = shown(&mut self.master.cluster());
            if found.is_some() {
                return found;
            }
            if Instant::now() >= until {
                return None;
            }
            if polls % POLLS_PER_CHECK == 0
                && let Some(said) = self.scheduler.as_mut().and_then(Scheduler::last_words)
            {
                panic!("the scheduler has ended: {said}");
            }
            std::thread::sleep(POLL);
        }
        None
    }

    /// Waits until the scheduler has handled all that was sent so far; when it had, or `None` if not within the limit.
    pub fn catch_up(&mut self, limit: Duration) -> Option<Instant> {
        let until = Instant::now() + limit;
        self.wait(limit, |cluster| cluster.send_marker(Instant::now()))?;
        self.wait(until.saturating_duration_since(Instant::now()), |cluster| cluster.marker_acknowledged())
    }

    /// Lets the tasks say nothing more by themselves, and waits until all updates are acknowledged; whether they are.
    pub fn settle(&mut self, limit: Duration) -> bool {
        self.master.cluster().be_lively(false, Instant::now());
        self.wait(limit, |cluster| (cluster.unacknowledged() == 0).then_some(())).is_some()
    }
}

/// Watches what a phase costs.
pub struct Meter {
    pub since: Instant,
    scheduler: Threads,
    simulator: Duration,
    calls: u64,
}

/// What a phase has cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub time: Duration,
    pub scheduler: Threads,
    pub simulator: Duration,
    pub calls: u64,
}

impl Meter {
    pub fn start(run: &Run<'_>) -> Self {
        let calls = run.master.cluster().counters().all_calls();
        let simulator = threads(std::process::id()).all;
        Self { scheduler: run.scheduler().threads(), simulator, calls, since: Instant::now() }
    }

    /// Of a scheduler that was started for it.
    pub fn from_its_start(run: &Run<'_>) -> Self {
        Self { scheduler: Threads::default(), since: run.scheduler().started, ..Self::start(run) }
    }

    pub fn stop(&self, run: &Run<'_>) -> Cost {
        Cost {
            time: self.since.elapsed(),
            scheduler: run.scheduler().threads() - self.scheduler,
            simulator: threads(std::process::id()).all.saturating_sub(self.simulator),
            calls: run.master.cluster().counters().all_calls() - self.calls,
        }
    }
}
