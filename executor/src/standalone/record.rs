//! What a miner has done so far: its shares, its pools and its last jobs. No I/O, and bounded.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use api::Histogram;
use command_line::ShareCounts;
use problem::{Problem, ProblemKind};
use stratum::Job;
use task::{Totals, Verdict};

use crate::delays::Delays;
use crate::miner::{Event, Pool};
use crate::report_builder::MinedShare;

/// How many jobs are kept: the present one, and those before it.
pub const JOBS: usize = 21;

/// What is known of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolRecord {
    /// Its place in the order of preference, from 0.
    pub index: usize,
    /// Its URL.
    pub url: String,
    /// Our user name there.
    pub user: String,
    /// What it does for the miner.
    pub state: PoolState,
    /// Its verdicts on our shares.
    pub shares: Totals,
    /// The last problem with it.
    pub last_problem: Option<PoolProblem>,
}

/// What a pool does for the miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolState {
    /// It was not needed yet, or was left for a better one.
    Standby,
    /// It has authorized us.
    Connected,
    /// The miner searches its job.
    Mining,
    /// It could not be reached, or has failed.
    Lost,
}

impl PoolState {
    /// The state in one word.
    pub fn word(self) -> &'static str {
        match self {
            PoolState::Standby => "standby",
            PoolState::Connected => "connected",
            PoolState::Mining => "mining",
            PoolState::Lost => "lost",
        }
    }
}

/// A problem with a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolProblem {
    /// When it was met.
    pub at: SystemTime,
    /// What is wrong; it names the pool.
    pub text: String,
}

/// A job that a pool has given.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecord {
    /// The number of the job since the miner started, from 1: pools may use an id again.
    pub number: u64,
    /// The pool's id of the job.
    pub id: String,
    /// The index of the pool.
    pub pool: usize,
    /// The height of the block, if the coinbase tells it.
    pub height: Option<u32>,
    /// When it was received.
    pub received: SystemTime,
    /// Whether it voids all earlier jobs.
    pub clean: bool,
    /// The share difficulty.
    pub difficulty: f64,
    /// The network's difficulty.
    pub network_difficulty: f64,
}

/// The record of a run of the miner.
#[derive(Debug)]
pub struct Record {
    totals: Totals,
    best_share: f64,
    pools: Vec<PoolRecord>,
    /// The newest last.
    jobs: VecDeque<JobRecord>,
    /// The number of all jobs so far.
    job_count: u64,
    /// Whether the last job is searched: no pool was lost since.
    has_job: bool,
    /// The last error, until the next job.
    trouble: Option<String>,
    /// The problem of that error, if it is one.
    trouble_kind: Option<ProblemKind>,
    /// Why the pool that gives work is of no use, if it is of none.
    unfit: Option<Problem>,
    /// The delays of the last minute.
    pub delays: Delays,
    /// All delays since the start.
    pub histograms: DelayHistograms,
}

/// The delays of a miner since it started, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct DelayHistograms {
    /// From the line with a job to the first hash of the job.
    pub notify_to_first_hash: Histogram,
    /// From the submission of a share to the answer.
    pub share_round_trip: Histogram,
}

/// The bounds of the buckets, in seconds.
const BOUNDS: &[f64] =
    &[1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Record {
    /// The record of a miner that begins.
    pub fn new(now: Instant) -> Self {
        Record {
            totals: Totals::default(),
            best_share: 0.0,
            pools: Vec::new(),
            jobs: VecDeque::new(),
            job_count: 0,
            has_job: false,
            trouble: None,
            trouble_kind: None,
            unfit: None,
            delays: Delays::new(now),
            histograms: DelayHistograms {
                notify_to_first_hash: Histogram::new(BOUNDS),
                share_round_trip: Histogram::new(BOUNDS),
            },
        }
    }

    /// Sets the pools to mine for.
    pub fn set_pools(&mut self, pools: &[Pool]) {
        let record = |(index, pool): (usize, &Pool)| PoolRecord {
            index,
            url: pool.url.to_string(),
            user: pool.user.clone(),
            state: PoolState::Standby,
            shares: Totals::default(),
            last_problem: None,
        };
        self.pools = pools.iter().enumerate().map(record).collect();
    }

    /// Takes in an event of the miner.
    pub fn on_event(&mut self, event: &Event, now: Instant, time: SystemTime) {
        match event {
            Event::Authorized { index, .. } => self.set_state(*index, PoolState::Connected),
            Event::Job { job, index } => self.on_job(job, *index, time),
            Event::Lost { error, index, problem, .. } => {
                self.has_job = false;
                self.trouble = Some(error.clone());
                self.trouble_kind = problem.as_ref().map(|problem| problem.kind);
                self.set_state(*index, PoolState::Lost);
                self.set_problem(*index, error, time);
            }
            Event::Unfit { error, problem } => {
                self.unfit = Some(problem.clone());
                if let Some(index) = self.pools.iter().position(|pool| pool.state == PoolState::Mining) {
                    self.set_problem(index, error, time);
                }
            }
            Event::Fit => self.unfit = None,
            Event::Waiting { pool, awaited } => {
                let url = pool.to_string();
                if let Some(index) = self.pools.iter().position(|pool| pool.url == url) {
                    self.set_problem(index, &format!("{url} is silent: still waiting for {awaited}"), time);
                }
            }
            Event::Share { share, reason, index } => {
                if share.is_answered(reason.as_ref()) {
                    self.delays.share_round_trip.record(share.row.round_trip, now);
                    self.histograms.share_round_trip.observe(share.row.round_trip.as_secs_f64());
                }
                self.count(share, *index);
            }
            Event::FirstHash { delay } => {
                self.delays.notify_to_first_hash.record(*delay, now);
                self.histograms.notify_to_first_hash.observe(delay.as_secs_f64());
            }
            Event::Working | Event::Paused(_) | Event::Message(_) => {}
        }
    }

    fn on_job(&mut self, job: &Job, index: usize, time: SystemTime) {
        (self.has_job, self.trouble, self.trouble_kind) = (true, None, None);
        self.job_count += 1;
        self.set_state(index, PoolState::Mining);
        if self.jobs.len() == JOBS {
            self.jobs.pop_front();
        }
        self.jobs.push_back(JobRecord {
            number: self.job_count,
            id: job.id.clone(),
            pool: index,
            height: job.height(),
            received: time,
            clean: job.clean,
            difficulty: job.target.difficulty(),
            network_difficulty: job.network_difficulty(),
        });
    }

    /// A pool has this state now. Only one pool at a time is more than in standby, or lost.
    fn set_state(&mut self, index: usize, state: PoolState) {
        for (i, pool) in self.pools.iter_mut().enumerate() {
            if i == index {
                // A new job changes nothing, nor does an authorization that comes after the first job.
                if (pool.state, state) != (PoolState::Mining, PoolState::Connected) {
                    pool.state = state;
                }
            } else if state != PoolState::Lost && pool.state != PoolState::Lost {
                pool.state = PoolState::Standby;
            }
        }
    }

    fn set_problem(&mut self, index: usize, text: &str, at: SystemTime) {
        if let Some(pool) = self.pools.get_mut(index) {
            pool.last_problem = Some(PoolProblem { at, text: text.to_owned() });
        }
    }

    fn count(&mut self, share: &MinedShare, index: usize) {
        let accepted = share.row.verdict == Verdict::Accepted;
        let pool = self.pools.get_mut(index).map(|pool| &mut pool.shares);
        for totals in pool.into_iter().chain([&mut self.totals]) {
            totals.count(share.row.verdict, share.work);
            totals.candidates += u64::from(share.candidate && accepted);
        }
        if accepted {
            self.best_share = self.best_share.max(share.row.difficulty);
        }
    }

    /// The totals so far. `hashes` is the number of hashes that the engine has computed.
    pub fn totals(&self, hashes: u128) -> Totals {
        Totals { hashes, ..self.totals }
    }

    /// The shares so far.
    pub fn shares(&self) -> ShareCounts {
        self.totals.into()
    }

    /// The highest difficulty of an accepted share's hash; 0 without any.
    pub fn best_share(&self) -> f64 {
        self.best_share
    }

    /// The pools, in order of preference.
    pub fn pools(&self) -> &[PoolRecord] {
        &self.pools
    }

    /// The last jobs, the newest first.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &JobRecord> {
        self.jobs.iter().rev()
    }

    /// The job that is searched; `None` if no pool gives work.
    pub fn job(&self) -> Option<&JobRecord> {
        self.jobs.back().filter(|_| self.has_job)
    }

    /// The pool that gave the present job.
    pub fn pool(&self) -> Option<&PoolRecord> {
        self.pools.get(self.job()?.pool)
    }

    /// Why the pool that gives work is of no use; `None` if it is of use.
    pub fn unfit(&self) -> Option<&Problem> {
        self.unfit.as_ref()
    }

    /// The kind of what is wrong with the pools; `None` if nothing is.
    pub fn problem_kind(&self) -> Option<ProblemKind> {
        self.trouble_kind.or(self.unfit.as_ref().map(|problem| problem.kind))
    }

    /// Why there is no job; `None` if there is one, or if nothing has failed yet.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

#[cfg(test)]
mod tests;
