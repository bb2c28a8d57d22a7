//! Whether a pool that gives work is of any use, by its verdicts and by the age of its job. Does no I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use stratum::{Job, Reason};
use tokio::time::Instant;

use crate::event::Outcome;

/// A pool that rejects this many shares in a row accepts none. Stale and duplicate shares do not count.
pub(crate) const REJECTED_IN_A_ROW: u32 = 20;
/// The number of pauses between jobs that are kept.
const PAUSES: usize = 20;
/// Once this many pauses are known, they tell how often the pool sends jobs.
const ENOUGH_PAUSES: usize = 10;
/// A pool is late when its job is this many times as old as the longest of the known pauses.
const LATE: u32 = 10;
/// A job that is younger than this is never too old.
const SHORTEST_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The limit while a pool's pauses are unknown. Pools send a job at least with each block. On a chain with a block in ten minutes,
/// one pause in 160,000 is longer, so it happens once in three years.
const UNKNOWN_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// A pool whose jobs stay on one block for this long does not know the later ones. On a chain with a block in ten minutes, one pause
/// in 60 million is longer, so it happens once in a thousand years.
const BLOCK_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// On chains below this difficulty blocks may be hours apart, and no job or block is too old. Bitcoin's is above 10¹⁴; those of its
/// testnets and of small chains are far below.
const BUSY_CHAIN: f64 = 1e9;
/// How long an unfit pool is set aside at first. The time doubles whenever the pool is unfit again.
pub(crate) const SET_ASIDE: Duration = Duration::from_secs(5 * 60);
const LONGEST_SET_ASIDE: Duration = Duration::from_secs(3600);

/// Why a pool is unfit. Each reason ends in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfitness {
    /// The pool rejects all shares, until it accepts one.
    Shares,
    /// The pool's job, or the block on which it builds, is too old, until there is a new job that is not on an old block.
    Age,
}

/// What is known about the fitness of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fitness {
    rejected: u32,
    /// The reason of the last rejected share.
    reason: Option<Reason>,
    job: Option<(Arc<Job>, Instant)>,
    /// The hash of the block on which the pool's jobs build, and the time when it first sent one. Kept after the connection, so that a
    /// pool that is still on it is left at once.
    block: Option<([u8; 32], Instant)>,
    /// The times between jobs, the newest last.
    pauses: VecDeque<Duration>,
    /// The pool is not returned to before this time.
    set_aside_until: Option<Instant>,
    /// How long the pool was last set aside; `None` if it was of use since.
    set_aside_for: Option<Duration>,
    /// Why the pool is unfit, if the owner was told that it is. Kept after the connection: a new one alone makes no pool better.
    told: Option<Unfitness>,
}

impl Fitness {
    /// A new connection to the pool begins.
    pub fn on_connect(&mut self) {
        (self.rejected, self.job) = (0, None);
    }

    /// A share has its outcome.
    pub fn on_outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted => {
                (self.rejected, self.reason, self.set_aside_for) = (0, None, None);
                self.told.take_if(|told| *told == Unfitness::Shares);
            }
            Outcome::Rejected(reason) if !reason.is_duplicate() => {
                self.rejected = self.rejected.saturating_add(1);
                self.reason = Some(reason.clone());
            }
            Outcome::Rejected(_) | Outcome::Stale(_) | Outcome::Unanswered => {}
        }
    }

    /// The number of shares that the pool has rejected in a row, and its last reason, if it accepts none.
    pub fn rejects_all(&self) -> Option<(u32, Reason)> {
        Some((self.rejected, self.reason.clone()?)).filter(|(rejected, _)| *rejected >= REJECTED_IN_A_ROW)
    }

    /// The pool has sent a job on this block. Returns whether its jobs have been on it for too long already.
    fn on_block(&mut self, job: &Job, now: Instant) -> bool {
        match self.block {
            Some((hash, since)) if hash == job.prev_hash => {
                job.network_difficulty() >= BUSY_CHAIN && now >= since + BLOCK_LIMIT
            }
            _ => {
                self.block = Some((job.prev_hash, now));
                false
            }
        }
    }

    /// The pool has sent a job. The same job with another difficulty or version mask is not a new one.
    pub fn on_job(&mut self, job: &Arc<Job>, now: Instant) {
        let old_block = self.on_block(job, now);
        if let Some((last, at)) = &self.job {
            if last.same_work(job) {
                return;
            }
            self.pauses.push_back(now - *at);
            if self.pauses.len() > PAUSES {
                self.pauses.pop_front();
            }
        }
        if !old_block {
            self.told.take_if(|told| *told == Unfitness::Age);
        }
        self.job = Some((job.clone(), now));
    }

    /// When the present job is too old, and its age then; `None` if it never is. `limit` is the user's own limit.
    pub fn too_old_at(&self, limit: Option<Duration>) -> Option<(Instant, Duration)> {
        let (job, at) = self.job.as_ref()?;
        let usual = || {
            let busy = job.network_difficulty() >= BUSY_CHAIN;
            let longest = self.pauses.iter().max().filter(|_| self.pauses.len() >= ENOUGH_PAUSES);
            busy.then(|| longest.map_or(UNKNOWN_LIMIT, |longest| (*longest * LATE).max(SHORTEST_LIMIT)))
        };
        let limit = limit.or_else(usual)?;
        Some((*at + limit, limit))
    }

    /// When the block of the pool's jobs is too old, and its age then; `None` if it never is. A longer `limit` of the user goes before.
    pub fn block_too_old_at(&self, limit: Option<Duration>) -> Option<(Instant, Duration)> {
        let ((job, _), (_, since)) = (self.job.as_ref()?, self.block?);
        let limit = limit.unwrap_or_default().max(BLOCK_LIMIT);
        (job.network_difficulty() >= BUSY_CHAIN).then_some((since + limit, limit))
    }

    /// Whether the owner has yet to be told that the pool is unfit. It then counts as told.
    pub fn tell(&mut self, why: Unfitness) -> bool {
        let news = self.told.is_none();
        self.told.get_or_insert(why);
        news
    }

    /// Whether the owner was told that the pool is unfit, and it still is.
    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Another pool gives work instead. Returns whether the owner was told that this one is unfit.
    pub fn on_left(&mut self) -> bool {
        self.told.take().is_some()
    }

    /// The client leaves the pool because it is unfit. `first` is how long it is set aside for the first time.
    pub fn set_aside(&mut self, first: Duration, now: Instant) {
        let time = self.set_aside_for.map_or(first, |last| (last * 2).min(LONGEST_SET_ASIDE.max(first)));
        (self.set_aside_for, self.set_aside_until) = (Some(time), Some(now + time));
    }

    /// Whether the pool may be returned to.
    pub fn is_eligible(&self, now: Instant) -> bool {
        self.set_aside_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use hasher::{CompactTarget, Target};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn job(number: u32, nbits: u32) -> Arc<Job> {
        Arc::new(Job {
            id: number.to_string(),
            prev_hash: [0; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 1,
            nbits: CompactTarget(nbits),
            ntime: number,
            clean: false,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: Vec::new(),
            extranonce2_len: 4,
        })
    }

    /// A target of Bitcoin's main network, and that of regtest.
    const MAIN: u32 = 0x1702_1f5c;
    const REGTEST: u32 = 0x207f_ffff;

    fn rejected(code: u32) -> Outcome {
        Outcome::Rejected(Reason::new(code, "no"))
    }

    #[test]
    fn a_pool_that_rejects_twenty_shares_in_a_row_is_unfit() {
        let mut fitness = Fitness::default();
        let rejects_all = |fitness: &mut Fitness, outcome: Outcome| {
            fitness.on_outcome(&outcome);
            fitness.rejects_all().is_some()
        };
        for _ in 1..REJECTED_IN_A_ROW {
            assert!(!rejects_all(&mut fitness, rejected(23)));
        }
        assert!(!rejects_all(&mut fitness, Outcome::Accepted), "it has accepted one");
        for _ in 1..REJECTED_IN_A_ROW {
            assert!(!rejects_all(&mut fitness, rejected(23)));
            // None of these count, and none of them is a good sign.
            assert!(!rejects_all(&mut fitness, rejected(Reason::DUPLICATE)));
            assert!(!rejects_all(&mut fitness, Outcome::Stale(None)));
            assert!(!rejects_all(&mut fitness, Outcome::Unanswered));
        }
        assert!(rejects_all(&mut fitness, rejected(23)));
        assert_eq!(fitness.rejects_all(), Some((20, Reason::new(23, "no"))));
        assert!(fitness.tell(Unfitness::Shares) && !fitness.tell(Unfitness::Shares));
        // Neither a new connection nor a new job is a good sign.
        fitness.on_connect();
        fitness.on_job(&job(0, MAIN), Instant::now());
        fitness.on_job(&job(1, MAIN), Instant::now());
        assert!(fitness.is_told());
        fitness.on_outcome(&Outcome::Accepted);
        assert!(fitness.tell(Unfitness::Shares), "it was of use meanwhile");
    }

    /// How old the job may become after jobs with these pauses.
    fn limit_after(pauses: &[Duration], nbits: u32) -> Option<Duration> {
        let (mut fitness, mut now) = (Fitness::default(), Instant::now());
        fitness.on_job(&job(0, nbits), now);
        for (number, pause) in (1..).zip(pauses) {
            now += *pause;
            fitness.on_job(&job(number, nbits), now);
        }
        fitness.too_old_at(None).map(|(at, limit)| {
            assert_eq!(at, now + limit);
            limit
        })
    }

    #[test]
    fn a_pool_is_late_by_its_own_measure_on_a_busy_chain_only() {
        assert_eq!(limit_after(&[], MAIN), Some(UNKNOWN_LIMIT));
        assert_eq!(limit_after(&[MINUTE / 2; 5], MAIN), Some(UNKNOWN_LIMIT), "not enough is known");
        assert_eq!(limit_after(&[MINUTE / 2; 30], MAIN), Some(SHORTEST_LIMIT));
        assert_eq!(limit_after(&[MINUTE; 30], MAIN), Some(10 * MINUTE));
        let mut only_blocks = [3 * MINUTE; 15];
        only_blocks[7] = 31 * MINUTE;
        assert_eq!(
            limit_after(&only_blocks, MAIN),
            Some(310 * MINUTE),
            "it sends a job with each block only"
        );
        assert_eq!(limit_after(&[], REGTEST), None);
        assert_eq!(limit_after(&[MINUTE / 60; 30], REGTEST), None, "after a burst of blocks");
    }

    #[test]
    fn a_pool_that_stays_on_one_block_is_late_on_a_busy_chain_although_it_sends_jobs() {
        let start = Instant::now();
        for (nbits, limited) in [(MAIN, true), (REGTEST, false)] {
            let mut fitness = Fitness::default();
            for minute in 0..400 {
                let now = start + minute * MINUTE;
                fitness.on_job(&job(minute, nbits), now);
                let expected = limited.then_some((start + BLOCK_LIMIT, BLOCK_LIMIT));
                assert_eq!(fitness.block_too_old_at(Some(MINUTE)), expected);
                let due = expected.is_some_and(|(at, _)| at <= now);
                let told = due && fitness.tell(Unfitness::Age);
                assert_eq!(told, minute == 180 && limited, "told once: {minute}");
                fitness.on_outcome(&Outcome::Accepted);
                assert_eq!(fitness.is_told(), due, "shares for the old block change nothing: {minute}");
            }
            let longer = Some(2 * BLOCK_LIMIT);
            assert_eq!(fitness.block_too_old_at(longer).map(|(_, limit)| limit), longer.filter(|_| limited));
            // Another connection changes nothing, but a new block does.
            fitness.on_connect();
            let (next, now) = (job(400, nbits), start + 400 * MINUTE);
            fitness.on_job(&next, now);
            assert_eq!(fitness.block_too_old_at(None).is_some_and(|(at, _)| at <= now), limited);
            assert_eq!(fitness.is_told(), limited);
            fitness.on_job(&Arc::new(Job { prev_hash: [1; 32], ..Job::clone(&next) }), now);
            assert!(!fitness.is_told());
            assert!(fitness.block_too_old_at(None).is_none_or(|(at, _)| at > now));
        }
    }

    #[test]
    fn a_pool_with_an_old_job_is_of_use_again_with_a_new_one() {
        let (mut fitness, now) = (Fitness::default(), Instant::now());
        let first = job(0, MAIN);
        fitness.on_job(&first, now);
        assert!(fitness.tell(Unfitness::Age));
        fitness.on_job(&Arc::new(Job { target: Target::from_difficulty(2.0), ..Job::clone(&first) }), now);
        fitness.on_outcome(&Outcome::Accepted);
        assert!(fitness.is_told(), "the job is the same");
        fitness.on_job(&job(1, MAIN), now);
        assert!(!fitness.is_told());
        assert!(fitness.tell(Unfitness::Age) && fitness.on_left() && !fitness.on_left());
    }

    #[test]
    fn the_user_s_limit_goes_before_and_the_same_work_is_no_new_job() {
        let (mut fitness, now) = (Fitness::default(), Instant::now());
        assert_eq!(fitness.too_old_at(Some(MINUTE)), None, "there is no job yet");
        let first = job(0, REGTEST);
        fitness.on_job(&first, now);
        let harder = Arc::new(Job { target: Target::from_difficulty(2.0), ..Job::clone(&first) });
        fitness.on_job(&harder, now + MINUTE / 2);
        assert_eq!(fitness.too_old_at(Some(MINUTE)), Some((now + MINUTE, MINUTE)));
        fitness.on_connect();
        assert_eq!(fitness.too_old_at(Some(MINUTE)), None);
    }

    #[test]
    fn an_unfit_pool_is_returned_to_ever_later_until_it_is_of_use() {
        let (mut fitness, now) = (Fitness::default(), Instant::now());
        assert!(fitness.is_eligible(now));
        for minutes in [5, 10, 20, 40, 60, 60] {
            fitness.set_aside(SET_ASIDE, now);
            assert!(!fitness.is_eligible(now + minutes * MINUTE - Duration::from_secs(1)), "{minutes}");
            assert!(fitness.is_eligible(now + minutes * MINUTE), "{minutes}");
        }
        fitness.on_outcome(&Outcome::Accepted);
        fitness.set_aside(SET_ASIDE, now);
        assert!(fitness.is_eligible(now + 5 * MINUTE));
    }
}
