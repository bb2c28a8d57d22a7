//! Decides when miners get jobs from the upstream pool, and when jobs are withdrawn. No I/O, no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use node::NodeClock;
use stratum::{Job, Reason};

use crate::clock::Now;
use crate::job::{BlockClaim, ExtranonceLayout, ExtranonceTooSmall, UpstreamJob};

/// How long miners keep their last job when no upstream pool works. If the session with the upstream pool is resumed in this
/// time, the upstream pool gets the shares that the miners found meanwhile.
const KEEP_WORK: Duration = Duration::from_secs(60);
/// Miners get the job again after this time without a new one. Common mining devices leave a pool that is silent for 60 s.
const REPEAT_EVERY: Duration = Duration::from_secs(30);
/// How far the header time of a job may run ahead of the job's own, in seconds. Common pools accept 7,000 s.
const MAX_ROLL: u32 = 6_600;
/// How often a job is given out again with the same header time. Each time takes a number of the few that a job has.
const MAX_UNCHANGED: u32 = 100;

/// An event at the upstream pool.
#[derive(Debug)]
pub enum Event {
    /// An event of the client.
    Client(client::Event),
    /// The upstream pool has rejected a share with this header time, because of that time.
    TimeRejected(u32),
    /// The upstream pool has rejected a share that makes a block, but is below its difficulty.
    EasyBlockRejected,
    /// [`UpstreamWorkState::next_deadline`] has passed.
    Tick,
}

/// Whether a pool rejects a share because of its header time.
pub fn is_about_time(reason: &Reason) -> bool {
    let text = reason.message.to_lowercase();
    text.contains("ntime") || text.contains("timestamp") || text.contains("time-too")
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
    /// How often miners got the job again with the same header time.
    unchanged: u32,
}

impl Work {
    /// The header time for miners who get the job now. It follows the pool's clock, if the pool accepts that.
    fn time(&self, follows_clock: bool, now: Now) -> u32 {
        let latest = self.job.ntime.saturating_add(MAX_ROLL);
        if follows_clock { self.clock.at(now.boot).min(latest) } else { self.job.ntime }
    }

    /// Prepares the work to be given out again, without headers that miners have searched already. Returns false if that is
    /// impossible: the header time cannot change, and the job has no numbers left that would make its headers differ.
    fn renew(&mut self, follows_clock: bool, now: Now) -> bool {
        let start = self.time(follows_clock, now);
        if start > self.start {
            self.start = start;
            return true;
        }
        self.unchanged += 1;
        self.layout.issue > 0 && self.unchanged <= MAX_UNCHANGED
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
    claim: BlockClaim,
    easy_block: BlockClaim,
    /// What the last pool has shown it rejects.
    rejects: Rejects,
    /// Set when no upstream pool gives jobs any more: the time at which miners lose their job, unless a new job comes first.
    idle_at: Option<Instant>,
    /// When miners get the job again; `None` while no pool gives jobs.
    repeat_at: Option<Instant>,
}

/// What a pool rejects, although other pools accept it.
#[derive(Debug, Default)]
struct Rejects {
    /// The pool's address.
    pool: String,
    /// Header times that follow the clock.
    time: bool,
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
            claim: self.claim.clone(),
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
            Event::TimeRejected(time) => self.on_time_rejected(time, now).into_iter().collect(),
            Event::EasyBlockRejected => {
                self.rejects.easy_blocks = true;
                Vec::new()
            }
            Event::Tick => self.on_tick(now).into_iter().collect(),
        }
    }

    fn on_client(&mut self, event: client::Event, now: Now) -> Option<Effect> {
        use client::Event::{Authorized, ExtranonceChanged, Job, Lost};
        match event {
            Job(job) => return self.on_job(job, now),
            Authorized { pool } => {
                let pool = pool.to_string();
                // The pool has changed, so the former pool's jobs are void now.
                self.next_is_clean |= self.pool.as_ref().is_some_and(|before| *before != pool);
                if self.rejects.pool != pool {
                    self.rejects = Rejects { pool: pool.clone(), ..Rejects::default() };
                }
                self.pool = Some(pool);
            }
            ExtranonceChanged { .. } => self.next_is_clean = true,
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
        let follows_clock = !self.rejects.time;
        self.work.as_mut()?.renew(follows_clock, now).then_some(Effect::Publish)
    }

    /// The pool may accept no other time than the job's own. A share whose time is ahead of the pool's clock does not tell.
    fn on_time_rejected(&mut self, time: u32, now: Now) -> Option<Effect> {
        let work = self.work.as_mut()?;
        let tells = (work.job.ntime.saturating_add(1)..=work.start.saturating_add(60)).contains(&time);
        if self.rejects.time || work.start == work.job.ntime || !tells {
            return None;
        }
        self.rejects.time = true;
        work.start = work.job.ntime;
        self.repeat_at = Some(now.at + REPEAT_EVERY);
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
        let before = self.work.as_ref();
        // Some pools send `clean` even if only the difficulty has changed; then no earlier job becomes stale.
        let same_work = before.filter(|before| before.job.same_work(&job));
        if before.is_none_or(|before| before.job.prev_hash != job.prev_hash) {
            self.claim = BlockClaim::default();
            if !self.rejects.easy_blocks {
                self.easy_block = BlockClaim::default();
            }
        }
        if std::mem::take(&mut self.next_is_clean) || (job.clean && same_work.is_none()) {
            self.epoch += 1;
        }
        let first = NodeClock::new(job.ntime, now.boot);
        let clock = same_work.map_or(first, |before| before.clock);
        let mut work = Work { start: job.ntime, job, layout, clock, unchanged: 0 };
        // Miners begin the same work with a later time, so that they do not search the same headers again.
        work.start = work.time(!self.rejects.time, now);
        self.work = Some(work);
        Some(Effect::Publish)
    }
}

#[cfg(test)]
mod tests {
    use client::{ClientError, Event as ClientEvent};
    use hasher::{CompactTarget, Target};

    use super::*;

    const NTIME: u32 = 1_800_000_000;

    fn job(id: &str, clean: bool, extranonce2_len: usize) -> Job {
        Job {
            id: id.into(),
            prev_hash: [1; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 0x2000_0000,
            nbits: CompactTarget(0x1d00_ffff),
            ntime: NTIME,
            clean,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: vec![1, 2, 3, 4],
            extranonce2_len,
        }
    }

    fn lost() -> ClientEvent {
        ClientEvent::Lost { error: ClientError::NoPool, retry_in: Duration::ZERO }
    }

    fn authorized(pool: &str) -> ClientEvent {
        ClientEvent::Authorized { pool: pool.parse().unwrap() }
    }

    struct Bench {
        state: UpstreamWorkState,
        now: Now,
    }

    impl Bench {
        fn new() -> Self {
            Bench { state: UpstreamWorkState::default(), now: Now::read() }
        }

        fn event(&mut self, event: ClientEvent) -> Vec<Effect> {
            self.state.on_event(Event::Client(event), self.now)
        }

        /// Lets time pass until the next deadline, or for this long if it is later. Returns what follows.
        fn pass(&mut self, seconds: u32) -> Vec<Effect> {
            self.now = self.now.later(seconds);
            self.state.on_event(Event::Tick, self.now)
        }

        fn start(&self) -> u32 {
            self.state.job().unwrap().start - NTIME
        }

        fn job(&mut self, job: Job) -> u64 {
            assert_eq!(self.event(ClientEvent::Job(Arc::new(job))), [Effect::Publish]);
            self.state.job().unwrap().epoch
        }
    }

    #[test]
    fn only_clean_jobs_void_the_others() {
        let mut bench = Bench::new();
        let first = bench.job(job("a", true, 4));
        assert_eq!(bench.job(job("b", false, 4)), first);
        assert_eq!(bench.job(job("c", true, 4)), first + 1);
        // The pool sends the job again with another difficulty.
        let again = Job { target: Target::from_difficulty(2.0), ..job("c", true, 4) };
        assert_eq!(bench.job(again), first + 1);
    }

    #[test]
    fn one_block_per_tip_is_claimed() {
        let mut bench = Bench::new();
        bench.job(job("a", true, 4));
        assert!(bench.state.job().unwrap().claim.take());
        bench.job(job("b", true, 4));
        assert!(!bench.state.job().unwrap().claim.take());
        bench.job(Job { prev_hash: [2; 32], ..job("c", true, 4) });
        assert!(bench.state.job().unwrap().claim.take());
    }

    #[test]
    fn new_extranonces_and_another_pool_void_all_jobs() {
        let mut bench = Bench::new();
        bench.event(authorized("a:1"));
        let first = bench.job(job("a", true, 4));
        bench.event(ClientEvent::ExtranonceChanged { extranonce1: vec![], extranonce2_len: 4 });
        assert_eq!(bench.job(job("b", false, 4)), first + 1);
        bench.event(authorized("a:1"));
        assert_eq!(bench.job(job("c", false, 4)), first + 1);
        bench.event(authorized("b:1"));
        assert_eq!(bench.job(job("d", false, 4)), first + 2);
        assert_eq!(bench.state.pool(), Some("stratum+tcp://b:1"));
    }

    #[test]
    fn the_job_of_a_lost_pool_is_kept_for_a_while() {
        let mut bench = Bench::new();
        assert_eq!(bench.event(lost()), [Effect::Warn]);
        assert_eq!(bench.state.next_deadline(), None, "there is no job to withdraw yet");
        bench.event(authorized("a:1"));
        let first = bench.job(job("a", true, 4));
        bench.event(lost());
        let due = bench.state.next_deadline().unwrap();
        bench.now = bench.now.later(29);
        bench.event(lost());
        assert_eq!(bench.state.next_deadline(), Some(due), "another failure does not postpone it");
        assert_eq!(bench.state.pool(), None);
        assert_eq!(bench.pass(30), []);
        assert!(bench.state.job().is_some());
        assert_eq!(bench.pass(1), [Effect::Idle]);
        assert!(bench.state.job().is_none() && bench.state.next_deadline().is_none());
        assert_eq!(bench.job(job("a", false, 4)), first + 1);

        bench.event(lost());
        bench.job(job("b", true, 4));
        assert_eq!(bench.state.next_deadline(), Some(bench.now.at + REPEAT_EVERY));
    }

    #[test]
    fn workers_keep_their_sizes_at_another_pool_where_these_fit() {
        let mut bench = Bench::new();
        bench.job(job("a", true, 8));
        let sizes = |bench: &Bench| {
            let layout = bench.state.job().unwrap().layout;
            (layout.extranonce1, layout.extranonce2)
        };
        assert_eq!(sizes(&bench), (2, 5));
        bench.job(job("b", true, 12));
        assert_eq!(sizes(&bench), (2, 5));
        // The sizes are kept even over a time without any job.
        bench.event(lost());
        assert_eq!(bench.pass(60), [Effect::Idle]);
        bench.job(job("c", true, 16));
        assert_eq!(sizes(&bench), (2, 5));
        bench.job(job("d", true, 4));
        assert_eq!(sizes(&bench), (2, 2));
        bench.job(job("e", true, 8));
        assert_eq!(sizes(&bench), (2, 5));
    }

    #[test]
    fn a_job_that_lasts_is_given_out_again_with_the_time_of_the_pool_s_clock() {
        let mut bench = Bench::new();
        bench.event(authorized("a:1"));
        let epoch = bench.job(job("a", true, 4));
        assert_eq!(bench.state.next_deadline(), Some(bench.now.at + REPEAT_EVERY));
        assert_eq!(bench.pass(29), []);
        assert_eq!((bench.pass(1), bench.start()), (vec![Effect::Publish], 30));
        assert_eq!((bench.pass(35), bench.start()), (vec![Effect::Publish], 65));
        // The pool's job is still the one that shares go to, and its earlier shares count.
        let repeated = bench.state.job().unwrap();
        assert_eq!((repeated.epoch, repeated.job.ntime), (epoch, NTIME));
        // The pool repeats its job with another difficulty: the time goes on.
        bench.now = bench.now.later(5);
        bench.job(Job { target: Target::from_difficulty(2.0), ..job("a", true, 4) });
        assert_eq!(bench.start(), 70);
        bench.job(Job { ntime: NTIME + 100, ..job("b", false, 4) });
        assert_eq!(bench.start(), 100);
        // Without a pool, miners keep their job, and do not get it again.
        bench.event(lost());
        assert_eq!(bench.pass(40), []);
    }

    #[test]
    fn the_time_of_a_job_runs_no_further_than_pools_accept() {
        for (extranonce2_len, repeats) in [(4, MAX_ROLL / 30), (8, MAX_ROLL / 30 + MAX_UNCHANGED)] {
            let mut bench = Bench::new();
            bench.event(authorized("a:1"));
            bench.job(job("a", true, extranonce2_len));
            let published = (0..1_000).filter(|_| bench.pass(30) == [Effect::Publish]).count();
            // With 4 bytes, the job has no numbers that would make its headers differ if its time does not.
            assert_eq!((published, bench.start()), (repeats as usize, MAX_ROLL));
        }
    }

    #[test]
    fn a_pool_that_accepts_only_the_job_s_own_time_gets_no_other() {
        let mut bench = Bench::new();
        bench.event(authorized("a:1"));
        bench.job(job("a", true, 8));
        bench.pass(60);
        let rejected = |bench: &mut Bench, time| {
            let event = Event::TimeRejected(NTIME + time);
            bench.state.on_event(event, bench.now)
        };
        assert_eq!(rejected(&mut bench, 0), [], "that is the job's own time");
        assert_eq!(rejected(&mut bench, 3_000), [], "the miner has chosen this time");
        assert_eq!((rejected(&mut bench, 61), bench.start()), (vec![Effect::Publish], 0));
        assert_eq!(rejected(&mut bench, 61), []);
        // The job is repeated as it is.
        assert_eq!((bench.pass(30), bench.start()), (vec![Effect::Publish], 0));
        bench.job(job("b", true, 4));
        assert_eq!(bench.pass(30), [], "no number makes the headers differ");
        bench.event(lost());
        bench.event(authorized("a:1"));
        bench.job(job("b", true, 4));
        assert_eq!(bench.pass(30), [], "the pool is the same");
        // Another pool may accept it.
        bench.event(lost());
        bench.event(authorized("b:1"));
        bench.job(job("c", true, 4));
        assert_eq!((bench.pass(30), bench.start()), (vec![Effect::Publish], 30));
    }

    #[test]
    fn a_pool_that_rejects_an_easy_block_gets_no_other() {
        let mut bench = Bench::new();
        let tip = |bench: &mut Bench, tip| {
            bench.job(Job { prev_hash: [tip; 32], ..job("a", true, 8) });
            bench.state.job().unwrap().easy_block
        };
        bench.event(authorized("a:1"));
        assert!(tip(&mut bench, 1).take());
        assert!(!tip(&mut bench, 1).take() && tip(&mut bench, 2).take(), "one on each tip");
        bench.state.on_event(Event::EasyBlockRejected, bench.now);
        assert!(!tip(&mut bench, 3).take() && !tip(&mut bench, 4).take());
        bench.event(authorized("b:1"));
        assert!(tip(&mut bench, 5).take());
    }

    #[test]
    fn reasons_about_the_time_are_told_from_others() {
        for text in ["Ntime out of range", "Invalid ntime", "time-too-new", "bad timestamp"] {
            assert!(is_about_time(&Reason::new(20, text)), "{text}");
        }
        for text in ["Above target", "Job not found", "timeout"] {
            assert!(!is_about_time(&Reason::new(20, text)), "{text}");
        }
    }
}
