//! Decides when miners get jobs from the upstream pool, and when jobs are withdrawn. No I/O, no clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::ClientError;
use node::NodeClock;
use stratum::{Job, Reason};

use super::rolled_time::{MAX_ROLL, RolledTime, ShareTime, Verdict};
use crate::clock::Now;
use crate::job::{BlockClaim, ExtranonceLayout, ExtranonceTooSmall, UpstreamJob};

/// How long miners keep their last job when no upstream pool works. If the session with the upstream pool is resumed in this
/// time, the upstream pool gets the shares that the miners found meanwhile.
const KEEP_WORK: Duration = Duration::from_secs(60);
/// Miners get the job again with a later header time after this time without a new one. Sessions see to it that no miner hears nothing.
const REPEAT_EVERY: Duration = Duration::from_secs(30);
/// What pools reject is remembered for this many pools. A pool may send the client to any number of others.
const MAX_POOLS: usize = 64;

/// An event at the upstream pool.
#[derive(Debug)]
pub enum Event {
    /// An event of the client.
    Client(client::Event),
    /// The upstream pool has a verdict on a share with these header times, for a job of this [`UpstreamJob::epoch`].
    Verdict(ShareTime, u64, Verdict),
    /// The upstream pool has rejected a share that makes a block, but is below its difficulty, for a job of this
    /// [`UpstreamJob::epoch`].
    EasyBlockRejected(u64),
    /// [`UpstreamWorkState::next_deadline`] has passed.
    Tick,
}

/// Whether a pool rejects a share because of its header time.
pub fn is_about_time(reason: &Reason) -> bool {
    let text = reason.message.to_lowercase();
    ["ntime", "timestamp", "time-too", "time too", "too new"].iter().any(|words| text.contains(words))
}

/// An action that the source must carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish [`UpstreamWorkState::job`].
    Publish,
    /// Warn that no pool works; miners keep their job for now.
    Warn,
    /// Withdraw the job, but keep the miners' connections.
    Idle,
}

/// A job of the upstream pool, as miners get it.
#[derive(Debug)]
struct Work {
    job: Arc<Job>,
    layout: ExtranonceLayout,
    /// The pool's clock, as the job has shown it.
    clock: NodeClock,
    /// The header time with which miners start.
    start: u32,
}

impl Work {
    /// The header time for miners who get the job now. It follows the pool's clock, if the pool accepts that.
    fn time(&self, follows_clock: bool, now: Now) -> u32 {
        let latest = self.job.ntime.saturating_add(MAX_ROLL);
        if follows_clock { self.clock.at(now.boot).min(latest) } else { self.job.ntime }
    }

    /// Prepares the work to be given out again. Returns false if the header time cannot change: miners would search the same headers
    /// once more.
    fn renew(&mut self, follows_clock: bool, now: Now) -> bool {
        let before = self.start;
        self.start = self.time(follows_clock, now).max(before);
        self.start > before
    }
}

/// The work from the upstream pool.
#[derive(Debug, Default)]
pub struct UpstreamWorkState {
    /// The address of the upstream pool that gives the jobs; `None` while no upstream pool gives jobs.
    pool: Option<String>,
    work: Option<Work>,
    /// How the extranonce2 of the last job was divided. Miners that are connected have these sizes, even if there is no job.
    layout: Option<ExtranonceLayout>,
    epoch: u64,
    /// Whether the next job makes all earlier jobs stale even if the upstream pool does not mark it as `clean`.
    next_is_clean: bool,
    easy_block: BlockClaim,
    /// The address of the pool that gave the last jobs.
    last_pool: String,
    /// The first epoch of that pool's jobs.
    last_pool_since: u64,
    /// What pools have shown they reject, by their addresses.
    rejects: HashMap<String, Rejects>,
    /// Set when no upstream pool gives jobs any more: the time at which miners lose their job, unless a new job comes first.
    idle_at: Option<Instant>,
    /// When miners get the job again; `None` while no pool gives jobs.
    repeat_at: Option<Instant>,
}

/// What a pool rejects, although other pools accept it.
#[derive(Debug, Default)]
struct Rejects {
    /// Header times later than the job's own.
    time: RolledTime,
    /// Shares that make a block, but are below the pool's difficulty.
    easy_blocks: bool,
}

impl UpstreamWorkState {
    /// The address of the pool that gives the jobs and takes the shares.
    pub fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// The job to publish.
    pub fn job(&self) -> Option<UpstreamJob> {
        let work = self.work.as_ref()?;
        Some(UpstreamJob {
            job: work.job.clone(),
            layout: work.layout,
            clock: work.clock,
            start: work.start,
            epoch: self.epoch,
            easy_block: self.easy_block.clone(),
        })
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.idle_at.into_iter().chain(self.repeat_at).min()
    }

    /// Handles an event, and returns the actions for the source. Answers to shares are ignored.
    pub fn on_event(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Client(event) => self.on_client(event, now).into_iter().collect(),
            Event::Verdict(time, epoch, verdict) => {
                self.on_verdict(time, epoch, verdict, now).into_iter().collect()
            }
            Event::EasyBlockRejected(epoch) => {
                if self.is_of_last_pool(epoch) {
                    self.rejects().easy_blocks = true;
                }
                Vec::new()
            }
            Event::Tick => self.on_tick(now).into_iter().collect(),
        }
    }

    fn on_client(&mut self, event: client::Event, now: Now) -> Option<Effect> {
        use client::Event::{Authorized, ExtranonceChanged, Job, Lost, Unfit};
        match event {
            Job { job, .. } => return self.on_job(job, now),
            Authorized { pool, .. } => {
                let pool = pool.to_string();
                // The pool has changed, so the former pool's jobs are void now.
                self.next_is_clean |= self.pool.as_ref().is_some_and(|before| *before != pool);
                if self.last_pool != pool {
                    self.last_pool_since = self.epoch + u64::from(self.next_is_clean);
                    self.last_pool.clone_from(&pool);
                    if self.rejects.len() >= MAX_POOLS {
                        self.rejects.clear();
                    }
                }
                self.pool = Some(pool);
            }
            ExtranonceChanged { .. } => self.next_is_clean = true,
            // Miners that know another pool go by the age of the job, too.
            Unfit { error: ClientError::JobTooOld { .. } | ClientError::BlockTooOld { .. } } => {
                self.repeat_at = None;
            }
            Lost { .. } => {
                self.next_is_clean = true;
                self.pool = None;
                self.repeat_at = None;
                if self.work.is_some() && self.idle_at.is_none() {
                    self.idle_at = Some(now.at + KEEP_WORK);
                }
                return Some(Effect::Warn);
            }
            _ => {}
        }
        None
    }

    fn on_tick(&mut self, now: Now) -> Option<Effect> {
        if self.idle_at.take_if(|at| now.at >= *at).is_some() {
            self.work = None;
            return Some(Effect::Idle);
        }
        self.repeat_at.take_if(|at| now.at >= *at)?;
        self.repeat_at = Some(now.at + REPEAT_EVERY);
        let follows_clock = !self.rejects().time.is_refused();
        self.work.as_mut()?.renew(follows_clock, now).then_some(Effect::Publish)
    }

    /// What the pool that gave the last jobs has shown it rejects.
    fn rejects(&mut self) -> &mut Rejects {
        self.rejects.entry(self.last_pool.clone()).or_default()
    }

    /// Whether a job of this [`UpstreamJob::epoch`] is from the pool that gave the last jobs. A pool that was left may still have
    /// answers.
    fn is_of_last_pool(&self, epoch: u64) -> bool {
        epoch >= self.last_pool_since
    }

    /// Whether it is known that the pool rejects a share with these header times, for a job of this [`UpstreamJob::epoch`].
    pub fn is_in_vain(&mut self, time: ShareTime, epoch: u64) -> bool {
        self.is_of_last_pool(epoch) && time.rolled > 0 && self.rejects().time.is_refused()
    }

    /// The pool may accept no other time than the job's own.
    fn on_verdict(&mut self, time: ShareTime, epoch: u64, verdict: Verdict, now: Now) -> Option<Effect> {
        if !self.is_of_last_pool(epoch) || !self.rejects().time.on_verdict(time, verdict) {
            return None;
        }
        tracing::warn!(
            pool = self.last_pool,
            "the upstream pool rejects shares with a later header time: its jobs are repeated without one"
        );
        let work = self.work.as_mut()?;
        if work.start == work.job.ntime {
            return None;
        }
        work.start = work.job.ntime;
        self.repeat_at = self.repeat_at.map(|_| now.at + REPEAT_EVERY);
        Some(Effect::Publish)
    }

    /// Divides the upstream pool's extranonce2. The miners keep the sizes of their parts if these fit.
    fn split(&mut self, size: usize) -> Result<ExtranonceLayout, ExtranonceTooSmall> {
        let layout =
            self.layout.map_or_else(|| ExtranonceLayout::split(size), |before| before.resplit(size))?;
        Ok(*self.layout.insert(layout))
    }

    fn on_job(&mut self, job: Arc<Job>, now: Now) -> Option<Effect> {
        // The client leaves a pool whose extranonce2 cannot be divided, before it delivers a job.
        let layout = self.split(job.extranonce2_len).ok()?;
        self.idle_at = None;
        self.repeat_at = Some(now.at + REPEAT_EVERY);
        let Rejects { time, easy_blocks } = self.rejects();
        let (follows_clock, rejects_easy_blocks) = (!time.is_refused(), *easy_blocks);
        let before = self.work.as_ref();
        // Some pools send `clean` even if only the difficulty has changed; then no earlier job becomes stale.
        let same_work = before.filter(|before| before.job.same_work(&job));
        let is_on_new_tip = before.is_none_or(|before| before.job.prev_hash != job.prev_hash);
        let is_first_of_pool = self.epoch < self.last_pool_since;
        if is_on_new_tip || is_first_of_pool {
            self.easy_block = BlockClaim::default();
            if rejects_easy_blocks {
                self.easy_block.take();
            }
        }
        if std::mem::take(&mut self.next_is_clean) || (job.clean && same_work.is_none()) {
            self.epoch += 1;
        }
        let first = NodeClock::new(job.ntime, now.boot);
        let clock = same_work.map_or(first, |before| before.clock);
        let mut work = Work { start: job.ntime, job, layout, clock };
        // Miners begin the same work with a later time, so that they do not search the same headers again.
        work.start = work.time(follows_clock, now);
        self.work = Some(work);
        Some(Effect::Publish)
    }
}

#[cfg(test)]
mod tests;
