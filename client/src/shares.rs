//! The shares of one connection: which jobs may still be submitted for, and what became of each share. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stratum::{Job, Share, Verdict};

use crate::event::{Answer, Fate, Ticket};

/// Jobs that are kept in mind, for pools that never say "clean".
const MAX_JOBS: usize = 1024;
/// Shares without an answer, for pools that never give one; the session waits for no more either.
const MAX_PENDING: usize = 10_000;
/// Time for an answer. A connection may last for months, and whoever submits only so many at once would come to a stop over
/// the answers that get lost in that time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10 * 60);

/// A share without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub ticket: Ticket,
    pub share: Share,
    /// When it was handed in.
    pub since: Instant,
    /// Whether a pool may have it.
    pub sent: bool,
}

impl Open {
    pub fn answer(&self, fate: Fate, now: Instant) -> Answer {
        Answer { ticket: self.ticket, fate, round_trip: now.saturating_duration_since(self.since) }
    }

    /// Its fate if nothing more will be heard of it.
    pub fn given_up(&self, now: Instant) -> Answer {
        self.answer(if self.sent { Fate::Unanswered } else { Fate::Stale(None) }, now)
    }
}

/// Jobs that shares may be submitted for.
#[derive(Debug, Default)]
pub(crate) struct Jobs(VecDeque<Arc<Job>>);

impl Jobs {
    /// A new job. If it is clean, the others are void, unless it is the very job that is being worked on: some pools say
    /// so when only the difficulty changed.
    pub fn add(&mut self, job: &Arc<Job>) {
        let again = self.0.back().is_some_and(|last| last.same_work(job));
        if job.clean && !again {
            self.0.clear();
        }
        if self.0.len() >= MAX_JOBS {
            self.0.pop_front();
        }
        self.0.push_back(job.clone());
    }

    /// Jobs from before, whose session this one resumes.
    pub fn adopt(&mut self, mut before: Jobs) {
        before.0.append(&mut self.0);
        self.0 = before.0;
        while self.0.len() > MAX_JOBS {
            self.0.pop_front();
        }
    }

    pub fn has(&self, job: &Arc<Job>) -> bool {
        self.0.iter().rev().any(|known| Arc::ptr_eq(known, job))
    }
}

/// Shares without an answer, by the ids of their requests.
#[derive(Debug, Default)]
pub(crate) struct Pending(BTreeMap<u64, Sent>);

#[derive(Debug)]
struct Sent {
    open: Open,
    /// Whether it was sent on an earlier connection, too.
    again: bool,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The share goes to the pool. Noted before it is sent: if that fails half-way, nobody knows whether the pool has it.
    pub fn send(&mut self, id: u64, open: Open) {
        let again = open.sent;
        self.0.insert(id, Sent { open: Open { sent: true, ..open }, again });
    }

    /// The pool's verdict; `None` for an id that is not ours, or was answered before.
    pub fn answered(&mut self, id: u64, verdict: Verdict, now: Instant) -> Option<Answer> {
        let Sent { open, again } = self.0.remove(&id)?;
        let fate = match verdict {
            Verdict::Accepted => Fate::Accepted,
            // The pool has it from the connection before.
            Verdict::Rejected(reason) if again && reason.is_duplicate() => Fate::Accepted,
            Verdict::Rejected(reason) if reason.is_stale() => Fate::Stale(Some(reason)),
            Verdict::Rejected(reason) => Fate::Rejected(reason),
        };
        Some(open.answer(fate, now))
    }

    /// The oldest share, if it has been open for so long, or with so many others, that no answer will come.
    pub fn hopeless(&mut self, now: Instant) -> Option<Open> {
        let crowded = self.0.len() > MAX_PENDING;
        let oldest = self.0.first_entry()?;
        let late = now.saturating_duration_since(oldest.get().open.since) >= ANSWER_WITHIN;
        (crowded || late).then(|| oldest.remove().open)
    }

    /// All that are left, in the order of their submission.
    pub fn take(&mut self) -> Vec<Open> {
        let mut left: Vec<Open> = std::mem::take(&mut self.0).into_values().map(|sent| sent.open).collect();
        left.sort_by_key(|open| open.ticket);
        left
    }
}

#[cfg(test)]
mod tests {
    use hasher::{CompactTarget, Target};
    use stratum::Reason;

    use super::*;

    fn job(id: &str, clean: bool) -> Arc<Job> {
        Arc::new(Job {
            id: id.into(),
            prev_hash: [0; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 1,
            nbits: CompactTarget(0x1d00_ffff),
            ntime: 1_231_006_505,
            clean,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: Vec::new(),
            extranonce2_len: 4,
        })
    }

    fn open(ticket: u64, since: Instant) -> Open {
        let share = Share { job: "a".into(), extranonce2: vec![0; 4], ntime: 0, nonce: 0, version: 1 };
        Open { ticket: Ticket(ticket), share, since, sent: false }
    }

    #[test]
    fn a_clean_job_voids_the_others_and_one_that_is_not_does_not() {
        let (a, b, c) = (job("a", true), job("b", false), job("c", true));
        let mut jobs = Jobs::default();
        jobs.add(&a);
        jobs.add(&b);
        assert!(jobs.has(&a) && jobs.has(&b));
        jobs.add(&c);
        assert!(!jobs.has(&a) && !jobs.has(&b) && jobs.has(&c));
        assert!(!jobs.has(&job("c", true)), "another pool's job of that name");
    }

    #[test]
    fn the_same_job_again_voids_nothing() {
        let mut jobs = Jobs::default();
        let first = job("a", true);
        jobs.add(&first);
        let harder = Arc::new(Job { target: Target::from_difficulty(2.0), ..Job::clone(&first) });
        jobs.add(&harder);
        assert!(jobs.has(&first) && jobs.has(&harder));
    }

    #[test]
    fn a_pool_that_is_never_clean_does_not_fill_the_memory() {
        let mut jobs = Jobs::default();
        for number in 0..2 * MAX_JOBS {
            jobs.add(&job(&number.to_string(), false));
        }
        assert_eq!(jobs.0.len(), MAX_JOBS);
    }

    #[test]
    fn jobs_from_before_are_the_older_ones() {
        let (mut before, mut jobs) = (Jobs::default(), Jobs::default());
        for number in 0..MAX_JOBS {
            before.add(&job(&number.to_string(), false));
        }
        let (oldest, new) = (before.0[0].clone(), job("new", false));
        jobs.add(&new);
        jobs.adopt(before);
        assert_eq!(jobs.0.len(), MAX_JOBS);
        assert!(jobs.has(&new) && !jobs.has(&oldest));
    }

    #[test]
    fn shares_are_left_in_the_order_in_which_they_were_found() {
        let now = Instant::now();
        let mut pending = Pending::default();
        for (id, ticket) in [(1, 9), (2, 3), (3, 4)] {
            pending.send(id, open(ticket, now));
        }
        assert_eq!(pending.take().iter().map(|open| open.ticket.0).collect::<Vec<_>>(), [3, 4, 9]);
    }

    #[test]
    fn each_share_gets_one_fate() {
        let now = Instant::now();
        let later = now + Duration::from_millis(7);
        let mut pending = Pending::default();
        for id in 1..=4 {
            pending.send(id, open(id * 10, now));
        }
        let rejected = |code| Verdict::Rejected(Reason::new(code, ""));
        let mut answer = |id, verdict| pending.answered(id, verdict, later).map(|answer| answer.fate);
        assert_eq!(answer(2, Verdict::Accepted), Some(Fate::Accepted));
        assert_eq!(answer(2, Verdict::Accepted), None, "answered twice");
        assert_eq!(answer(1, rejected(22)), Some(Fate::Rejected(Reason::new(22, ""))));
        assert_eq!(answer(3, rejected(21)), Some(Fate::Stale(Some(Reason::new(21, "")))));
        assert_eq!(answer(9, Verdict::Accepted), None);
        let left = pending.take();
        let lost: Vec<Answer> = left.iter().map(|open| open.given_up(later)).collect();
        let round_trip = Duration::from_millis(7);
        assert_eq!(lost, [Answer { ticket: Ticket(40), fate: Fate::Unanswered, round_trip }]);
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_pool_that_never_answers_does_not_fill_the_memory() {
        let now = Instant::now();
        let mut pending = Pending::default();
        for id in 0..MAX_PENDING as u64 {
            pending.send(id, open(id, now));
            assert!(pending.hopeless(now).is_none());
        }
        pending.send(MAX_PENDING as u64, open(MAX_PENDING as u64, now));
        let oldest = pending.hopeless(now).map(|open| open.given_up(now));
        assert_eq!(oldest.map(|answer| (answer.ticket, answer.fate)), Some((Ticket(0), Fate::Unanswered)));
        assert_eq!(pending.len(), MAX_PENDING);
    }

    #[test]
    fn an_answer_that_got_lost_is_not_waited_for_as_long_as_the_connection_lasts() {
        let now = Instant::now();
        let mut pending = Pending::default();
        pending.send(1, open(1, now));
        pending.send(2, open(2, now + Duration::from_secs(1)));
        assert!(pending.hopeless(now + ANSWER_WITHIN - Duration::from_secs(1)).is_none());
        let lost = pending.hopeless(now + ANSWER_WITHIN).map(|open| open.ticket);
        assert_eq!(lost, Some(Ticket(1)));
        assert!(pending.hopeless(now + ANSWER_WITHIN).is_none());
        assert_eq!(pending.answered(1, Verdict::Accepted, now), None, "it has had its fate");
    }

    #[test]
    fn a_duplicate_counts_only_when_it_was_sent_before() {
        let now = Instant::now();
        let mut pending = Pending::default();
        pending.send(1, open(1, now));
        let again = pending.take().remove(0);
        pending.send(7, again);
        pending.send(8, open(2, now));
        let duplicate = || Verdict::Rejected(Reason::new(22, "Duplicate share"));
        assert_eq!(pending.answered(7, duplicate(), now).map(|answer| answer.fate), Some(Fate::Accepted));
        let fresh = pending.answered(8, duplicate(), now).map(|answer| answer.fate);
        assert!(matches!(fresh, Some(Fate::Rejected(_))));
        assert_eq!(open(3, now).given_up(now).fate, Fate::Stale(None), "it was never sent");
    }
}
