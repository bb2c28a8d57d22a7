//! What an upstream pool's events mean for the miners. No I/O, no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Event;
use stratum::Job;

use crate::job::{Claim, Layout, TooSmall, UpstreamJob};

/// How long miners keep the last job when no upstream pool works. So long the session may yet be resumed, and its shares
/// count.
const KEEP_WORK: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Give out [`UpstreamWorkState::borrowed`].
    Publish,
    /// Say that no pool works; miners keep their job for the time being.
    Warn,
    /// Take the job back, but keep the miners.
    Idle,
    /// The pool's extranonce2 can't be shared out.
    Unusable(TooSmall),
}

/// What is known of the upstream pool.
#[derive(Debug, Default)]
pub struct UpstreamWorkState {
    /// The pool that takes our shares, by its address.
    pool: Option<String>,
    job: Option<(Arc<Job>, Layout)>,
    epoch: u64,
    /// The next job voids all that came before, whatever it says.
    anew: bool,
    claim: Claim,
    /// When the job of a lost pool is taken back.
    idle_at: Option<Instant>,
}

impl UpstreamWorkState {
    /// The pool that takes our shares.
    pub fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// The present job, to be published.
    pub fn borrowed(&self) -> Option<UpstreamJob> {
        let (job, layout) = self.job.clone()?;
        Some(UpstreamJob { job, layout, epoch: self.epoch, claim: self.claim.clone() })
    }

    /// When [`UpstreamWorkState::on_time`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.idle_at
    }

    /// Takes an event. Answers to shares mean nothing here.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Option<Effect> {
        match event {
            Event::Job(job) => Some(self.on_job(job)),
            Event::Authorized { pool } => {
                let pool = pool.to_string();
                // A better pool is back: the jobs of the other one are worth nothing any more.
                self.anew |= self.pool.as_ref().is_some_and(|before| *before != pool);
                self.pool = Some(pool);
                None
            }
            Event::ExtranonceChanged { .. } => {
                self.anew = true;
                None
            }
            Event::Lost { .. } => {
                self.anew = true;
                self.pool = None;
                if self.job.is_some() && self.idle_at.is_none() {
                    self.idle_at = Some(now + KEEP_WORK);
                }
                Some(Effect::Warn)
            }
            _ => None,
        }
    }

    /// It may be time for something.
    pub fn on_time(&mut self, now: Instant) -> Option<Effect> {
        self.idle_at.take_if(|at| now >= *at)?;
        self.job = None;
        Some(Effect::Idle)
    }

    fn on_job(&mut self, job: Arc<Job>) -> Effect {
        let layout = match Layout::split(job.extranonce2_len) {
            Ok(layout) => layout,
            Err(error) => {
                self.job = None;
                self.idle_at = None;
                return Effect::Unusable(error);
            }
        };
        let before = self.job.as_ref().map(|(before, _)| before);
        // Some pools say clean when only the difficulty has changed.
        let again = before.is_some_and(|before| before.same_work(&job));
        if before.is_none_or(|before| before.prev_hash != job.prev_hash) {
            self.claim = Claim::default();
        }
        if std::mem::take(&mut self.anew) || (job.clean && !again) {
            self.epoch += 1;
        }
        self.job = Some((job, layout));
        self.idle_at = None;
        Effect::Publish
    }
}

#[cfg(test)]
mod tests {
    use client::ClientError;
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

    fn lost() -> Event {
        Event::Lost { error: ClientError::NoPool, retry_in: Duration::ZERO }
    }

    fn authorized(pool: &str) -> Event {
        Event::Authorized { pool: pool.parse().unwrap() }
    }

    struct Bench {
        relay: UpstreamWorkState,
        now: Instant,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { relay: UpstreamWorkState::default(), now: Instant::now() }
        }

        fn event(&mut self, event: Event) -> Option<Effect> {
            self.relay.on_event(event, self.now)
        }

        fn job(&mut self, job: Job) -> u64 {
            assert_eq!(self.event(Event::Job(Arc::new(job))), Some(Effect::Publish));
            self.relay.borrowed().unwrap().epoch
        }
    }

    #[test]
    fn only_clean_jobs_void_the_others() {
        let mut bench = Bench::new();
        let first = bench.job(job("a", true, 4));
        assert_eq!(bench.job(job("b", false, 4)), first);
        assert_eq!(bench.job(job("c", true, 4)), first + 1);
        // The same again with another difficulty.
        let again = Job { target: Target::from_difficulty(2.0), ..job("c", true, 4) };
        assert_eq!(bench.job(again), first + 1);
    }

    #[test]
    fn one_block_per_tip_is_claimed() {
        let mut bench = Bench::new();
        bench.job(job("a", true, 4));
        assert!(bench.relay.borrowed().unwrap().claim.take());
        bench.job(job("b", true, 4));
        assert!(!bench.relay.borrowed().unwrap().claim.take());
        bench.job(Job { prev_hash: [2; 32], ..job("c", true, 4) });
        assert!(bench.relay.borrowed().unwrap().claim.take());
    }

    #[test]
    fn new_extranonces_and_another_pool_void_all_jobs() {
        let mut bench = Bench::new();
        bench.event(authorized("a:1"));
        let first = bench.job(job("a", true, 4));
        bench.event(Event::ExtranonceChanged { extranonce1: vec![], extranonce2_len: 4 });
        assert_eq!(bench.job(job("b", false, 4)), first + 1);
        bench.event(authorized("a:1"));
        assert_eq!(bench.job(job("c", false, 4)), first + 1);
        bench.event(authorized("b:1"));
        assert_eq!(bench.job(job("d", false, 4)), first + 2);
        assert_eq!(bench.relay.pool(), Some("stratum+tcp://b:1"));
    }

    #[test]
    fn a_lost_pool_s_job_is_kept_for_a_while_and_miners_for_ever() {
        let mut bench = Bench::new();
        assert_eq!(bench.event(lost()), Some(Effect::Warn));
        assert_eq!(bench.relay.due(), None, "there is nothing to take back yet");
        bench.event(authorized("a:1"));
        let first = bench.job(job("a", true, 4));
        bench.event(lost());
        let due = bench.relay.due().unwrap();
        bench.now += Duration::from_secs(30);
        bench.event(lost());
        assert_eq!(bench.relay.due(), Some(due), "another failure makes nothing later");
        assert_eq!(bench.relay.pool(), None);
        assert_eq!(bench.relay.on_time(bench.now), None);
        assert!(bench.relay.borrowed().is_some());
        assert_eq!(bench.relay.on_time(due), Some(Effect::Idle));
        assert!(bench.relay.borrowed().is_none() && bench.relay.due().is_none());
        assert_eq!(bench.job(job("a", false, 4)), first + 1);

        bench.event(lost());
        bench.job(job("b", true, 4));
        assert_eq!(bench.relay.due(), None);
    }

    #[test]
    fn a_pool_that_leaves_too_little_is_refused() {
        let mut bench = Bench::new();
        let effect = bench.event(Event::Job(Arc::new(job("a", true, 1))));
        assert_eq!(effect, Some(Effect::Unusable(TooSmall { size: 1 })));
        assert!(bench.relay.borrowed().is_none());
        bench.job(job("b", true, 4));
        bench.event(Event::Job(Arc::new(job("c", true, 1))));
        assert!(bench.relay.borrowed().is_none(), "nor is there anything left to give out");
    }
}
