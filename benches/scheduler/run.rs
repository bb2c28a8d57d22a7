//! Runs a scheduler on a simulated cluster, and measures its cost.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::cluster::Cluster;
use super::master::Master;
use super::options::Options;
use super::scheduler::{Binary, Executor, INSTALLED, Scheduler};
use crate::suite::machine::{Threads, threads};

/// The interval at which `wait` checks its condition.
const POLL: Duration = Duration::from_millis(2);
/// Each time `wait` has checked its condition this many times, it also checks that the scheduler still runs.
const POLLS_PER_CHECK: usize = 250;

/// A cluster and its scheduler.
pub struct Run<'a> {
    pub options: &'a Options,
    pub binary: &'a Binary,
    pub agents: usize,
    pub master: Master,
    /// Command-line options for the scheduler in addition to those of [`Options`].
    more: Vec<String>,
    pub executor: Executor,
    folder: TempDir,
    scheduler: Option<Scheduler>,
}

impl<'a> Run<'a> {
    /// Creates the cluster and a folder for the scheduler. Does not start the scheduler.
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
    /// If the scheduler does not run.
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

    /// Waits until `condition` returns a value. Returns `None` if the time limit passes first.
    ///
    /// # Panics
    /// If the scheduler ends.
    pub fn wait<T>(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&mut Cluster) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + limit;
        for polls in 1.. {
            let found = condition(&mut self.master.cluster());
            if found.is_some() {
                return found;
            }
            if Instant::now() >= until {
                return None;
            }
            if polls % POLLS_PER_CHECK == 0
                && let Some(said) = self.scheduler.as_mut().and_then(Scheduler::last_output)
            {
                panic!("the scheduler has ended: {said}");
            }
            std::thread::sleep(POLL);
        }
        None
    }

    /// Waits until the scheduler has handled everything that was sent so far. Returns the time at which the scheduler finished,
    /// or `None` if the time limit passes first.
    pub fn catch_up(&mut self, limit: Duration) -> Option<Instant> {
        let until = Instant::now() + limit;
        self.wait(limit, |cluster| cluster.send_marker(Instant::now()))?;
        self.wait(until.saturating_duration_since(Instant::now()), |cluster| cluster.marker_acknowledged())
    }

    /// Stops the tasks' messages, and waits until all updates are acknowledged. Returns false at the time limit.
    pub fn settle(&mut self, limit: Duration) -> bool {
        self.master.cluster().be_lively(false, Instant::now());
        self.wait(limit, |cluster| (cluster.unacknowledged() == 0).then_some(())).is_some()
    }
}

/// Measures the cost of a phase.
pub struct Meter {
    pub since: Instant,
    scheduler: Threads,
    simulator: Duration,
    calls: u64,
}

/// The cost of a phase.
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

    /// Measures from the start of the scheduler.
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
