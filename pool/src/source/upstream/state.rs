//! Decides when miners get jobs from the upstream pool, and when jobs are withdrawn. No I/O, no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stratum::Job;

use crate::job::{BlockClaim, ExtranonceLayout, ExtranonceTooSmall, UpstreamJob};

/// How long miners keep their last job when no upstream pool works. If the session with the upstream pool is resumed in this
/// time, the upstream pool gets the shares that the miners found meanwhile.
const KEEP_WORK: Duration = Duration::from_secs(60);

/// An event at the upstream pool.
#[derive(Debug)]
pub enum Event {
    /// An event of the client.
    Client(client::Event),
    /// [`UpstreamWorkState::next_deadline`] has passed.
    Tick,
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

/// The work from the upstream pool.
#[derive(Debug, Default)]
pub struct UpstreamWorkState {
    /// The address of the upstream pool that gives the jobs; `None` while no upstream pool gives jobs.
    pool: Option<String>,
    job: Option<(Arc<Job>, ExtranonceLayout)>,
    /// How the extranonce2 of the last job was divided. Miners that are connected have these sizes, even if there is no job.
    layout: Option<ExtranonceLayout>,
    epoch: u64,
    /// Whether the next job makes all earlier jobs stale even if the upstream pool does not mark it as `clean`.
    next_is_clean: bool,
    claim: BlockClaim,
    /// Set when no upstream pool gives jobs any more: the time at which miners lose their job, unless a new job comes first.
    idle_at: Option<Instant>,
}

impl UpstreamWorkState {
    /// The address of the pool that gives the jobs and takes the shares.
    pub fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// The job to publish.
    pub fn job(&self) -> Option<UpstreamJob> {
        let (job, layout) = self.job.clone()?;
        Some(UpstreamJob { job, layout, epoch: self.epoch, claim: self.claim.clone() })
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.idle_at
    }

    /// Handles an event, and returns the actions for the source. Answers to shares are ignored.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        use client::Event::{Authorized, ExtranonceChanged, Job, Lost};
        match event {
            Event::Client(Job(job)) => return self.on_job(job).into_iter().collect(),
            Event::Client(Authorized { pool }) => {
                let pool = pool.to_string();
                // The pool has changed, so the former pool's jobs are void now.
                self.next_is_clean |= self.pool.as_ref().is_some_and(|before| *before != pool);
                self.pool = Some(pool);
            }
            Event::Client(ExtranonceChanged { .. }) => self.next_is_clean = true,
            Event::Client(Lost { .. }) => {
                self.next_is_clean = true;
                self.pool = None;
                if self.job.is_some() && self.idle_at.is_none() {
                    self.idle_at = Some(now + KEEP_WORK);
                }
                return vec![Effect::Warn];
            }
            Event::Client(_) => {}
            Event::Tick => {
                if self.idle_at.take_if(|at| now >= *at).is_some() {
                    self.job = None;
                    return vec![Effect::Idle];
                }
            }
        }
        Vec::new()
    }

    /// Divides the upstream pool's extranonce2. The miners keep the sizes of their parts if these fit.
    fn split(&mut self, size: usize) -> Result<ExtranonceLayout, ExtranonceTooSmall> {
        let layout =
            self.layout.map_or_else(|| ExtranonceLayout::split(size), |before| before.resplit(size))?;
        Ok(*self.layout.insert(layout))
    }

    fn on_job(&mut self, job: Arc<Job>) -> Option<Effect> {
        // The client leaves a pool whose extranonce2 cannot be divided, before it delivers a job.
        let layout = self.split(job.extranonce2_len).ok()?;
        self.idle_at = None;
        let before = self.job.as_ref().map(|(before, _)| before);
        // Some pools send `clean` even if only the difficulty has changed; then no earlier job becomes stale.
        let same_work = before.is_some_and(|before| before.same_work(&job));
        if before.is_none_or(|before| before.prev_hash != job.prev_hash) {
            self.claim = BlockClaim::default();
        }
        if std::mem::take(&mut self.next_is_clean) || (job.clean && !same_work) {
            self.epoch += 1;
        }
        self.job = Some((job, layout));
        Some(Effect::Publish)
    }
}

#[cfg(test)]
mod tests {
    use client::{ClientError, Event as ClientEvent};
    use hasher::{CompactTarget, Target};

    use super::*;

    fn job(id: &str, clean: bool, extranonce2_len: usize) -> Job {
        Job {
            id: id.into(),
            prev_hash: [1; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 0x2000_0000,
            nbits: CompactTarget(0x1d00_ffff),
            ntime: 1_800_000_000,
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
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Bench { state: UpstreamWorkState::default(), now: Instant::now() }
        }

        fn event(&mut self, event: ClientEvent) -> Vec<Effect> {
            self.state.on_event(Event::Client(event), self.now)
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
        bench.now += Duration::from_secs(30);
        bench.event(lost());
        assert_eq!(bench.state.next_deadline(), Some(due), "another failure does not postpone it");
        assert_eq!(bench.state.pool(), None);
        assert_eq!(bench.state.on_event(Event::Tick, bench.now), []);
        assert!(bench.state.job().is_some());
        assert_eq!(bench.state.on_event(Event::Tick, due), [Effect::Idle]);
        assert!(bench.state.job().is_none() && bench.state.next_deadline().is_none());
        assert_eq!(bench.job(job("a", false, 4)), first + 1);

        bench.event(lost());
        bench.job(job("b", true, 4));
        assert_eq!(bench.state.next_deadline(), None);
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
        let due = bench.state.next_deadline().unwrap();
        bench.state.on_event(Event::Tick, due);
        bench.job(job("c", true, 16));
        assert_eq!(sizes(&bench), (2, 5));
        bench.job(job("d", true, 4));
        assert_eq!(sizes(&bench), (2, 2));
        bench.job(job("e", true, 8));
        assert_eq!(sizes(&bench), (2, 5));
    }
}
