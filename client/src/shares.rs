//! The shares of one session: the jobs that still accept shares, and the outcome of each share. Does no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stratum::{Job, Reason, Share};

use crate::event::{Answer, Outcome, Ticket};

/// Maximum number of jobs per session for which shares may be submitted; beyond it, the oldest jobs are dropped. It limits the
/// memory in case a pool never sends a clean job.
const MAX_JOBS: usize = 1024;
/// Maximum number of unanswered shares per connection. A pool may never answer; beyond this limit, the client stops waiting for
/// the oldest share. [`stratum::Session`] has the same limit.
const MAX_IN_FLIGHT: usize = 10_000;
/// How long the client waits for the answer to a share. Without this limit, a share that the pool never answers would be kept
/// until the connection ends, perhaps for months.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Once this many shares wait for a lost session to be resumed, the client accepts no new shares for the jobs of that session.
const MAX_WAITING: usize = 4096;

/// An unanswered share.
#[derive(Clone, Debug)]
pub(crate) struct InFlightShare {
    pub ticket: Ticket,
    pub share: Share,
    /// The index of the share's pool in `Config::pools`.
    index: usize,
    /// When the client's caller submitted the share. Submitting the share once more, on a resumed session, does not change this.
    submitted: Instant,
    /// The number of connections on which the share was sent: more than one if its session was resumed.
    attempts: u32,
}

impl InFlightShare {
    /// A share that has not been sent yet.
    pub fn new(ticket: Ticket, share: Share, index: usize, now: Instant) -> Self {
        InFlightShare { ticket, share, index, submitted: now, attempts: 0 }
    }

    fn answer(&self, outcome: Outcome, now: Instant) -> Answer {
        let round_trip = now.saturating_duration_since(self.submitted);
        Answer { ticket: self.ticket, outcome, index: self.index, round_trip }
    }

    /// The answer for a share that no pool will answer.
    pub fn give_up(&self, now: Instant) -> Answer {
        let outcome = if self.attempts > 0 { Outcome::Unanswered } else { Outcome::Stale(None) };
        self.answer(outcome, now)
    }
}

/// The jobs of a session for which shares may be submitted, oldest first.
#[derive(Debug, Default)]
pub(crate) struct OpenJobs(VecDeque<Arc<Job>>);

impl OpenJobs {
    /// Adds a job. A clean job voids the others, unless it repeats the latest work: some pools repeat a job as clean when only
    /// the difficulty has changed.
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

    /// Inserts the jobs of the previous connection, whose session was resumed, before the others.
    pub fn prepend(&mut self, mut before: OpenJobs) {
        before.0.append(&mut self.0);
        self.0 = before.0;
        while self.0.len() > MAX_JOBS {
            self.0.pop_front();
        }
    }

    pub fn contains(&self, job: &Arc<Job>) -> bool {
        self.0.iter().rev().any(|known| Arc::ptr_eq(known, job))
    }
}

/// The unanswered shares of one connection: request id → share.
#[derive(Debug, Default)]
pub(crate) struct InFlightShares(BTreeMap<u64, InFlightShare>);

impl InFlightShares {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// When the share that waits longest for its answer was submitted.
    pub fn oldest(&self) -> Option<Instant> {
        self.0.values().map(|share| share.submitted).next()
    }

    /// Adds a share that is about to be sent. The pool may receive it even if sending fails.
    pub fn insert(&mut self, id: u64, mut share: InFlightShare) {
        share.attempts += 1;
        self.0.insert(id, share);
    }

    /// The pool has answered a request. Returns `None` if the id belongs to no unanswered share.
    pub fn on_answer(&mut self, id: u64, result: Result<(), Reason>, now: Instant) -> Option<Answer> {
        let share = self.0.remove(&id)?;
        let outcome = match result {
            // A rejection as duplicate means that the pool already received the share on the previous connection.
            Err(reason) if share.attempts > 1 && reason.is_duplicate() => Outcome::Accepted,
            result => Outcome::of(result),
        };
        Some(share.answer(outcome, now))
    }

    /// Removes the oldest share if it has waited too long for its answer, or if too many shares are unanswered.
    pub fn expire(&mut self, now: Instant) -> Option<InFlightShare> {
        let crowded = self.0.len() > MAX_IN_FLIGHT;
        let oldest = self.0.first_entry()?;
        let late = now.saturating_duration_since(oldest.get().submitted) >= ANSWER_TIMEOUT;
        (crowded || late).then(|| oldest.remove())
    }

    /// Removes all shares, in the order of their submission.
    pub fn take_all(&mut self) -> Vec<InFlightShare> {
        let mut left: Vec<InFlightShare> = std::mem::take(&mut self.0).into_values().collect();
        left.sort_unstable_by_key(|share| share.ticket);
        left
    }
}

/// The jobs and shares of a lost connection, which wait for another connection to resume the session.
#[derive(Debug)]
pub(crate) struct ResumableSession {
    /// The index of the session's pool in `Config::pools`.
    pub pool: usize,
    /// When the client stops waiting for the session to be resumed and gives up the shares.
    pub until: tokio::time::Instant,
    pub jobs: OpenJobs,
    /// The unanswered shares, in the order of their submission.
    pub shares: Vec<InFlightShare>,
    /// Whether the pool has resumed the session on a new connection. The client sends the shares again once the pool has
    /// authorized the client on that connection.
    pub resumed: bool,
}

impl ResumableSession {
    /// Adds a share that was found after the connection was lost; false if there is no room.
    pub fn add(&mut self, share: InFlightShare) -> bool {
        let fits = self.shares.len() < MAX_WAITING;
        if fits {
            self.shares.push(share);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use hasher::{CompactTarget, Target};

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

    fn share(ticket: u64, now: Instant) -> InFlightShare {
        let share = Share { job: "a".into(), extranonce2: vec![0; 4], ntime: 0, nonce: 0, version: 1 };
        InFlightShare::new(Ticket(ticket), share, 3, now)
    }

    #[test]
    fn only_a_clean_job_voids_the_others() {
        let (a, b, c) = (job("a", true), job("b", false), job("c", true));
        let mut jobs = OpenJobs::default();
        jobs.add(&a);
        jobs.add(&b);
        assert!(jobs.contains(&a) && jobs.contains(&b));
        jobs.add(&c);
        assert!(!jobs.contains(&a) && !jobs.contains(&b) && jobs.contains(&c));
        assert!(!jobs.contains(&job("c", true)), "another pool's job with the same id");
    }

    #[test]
    fn the_same_job_again_voids_nothing() {
        let mut jobs = OpenJobs::default();
        let first = job("a", true);
        jobs.add(&first);
        let harder = Arc::new(Job { target: Target::from_difficulty(2.0), ..Job::clone(&first) });
        jobs.add(&harder);
        assert!(jobs.contains(&first) && jobs.contains(&harder));
    }

    #[test]
    fn jobs_are_bounded_if_no_clean_job_comes() {
        let mut jobs = OpenJobs::default();
        for number in 0..2 * MAX_JOBS {
            jobs.add(&job(&number.to_string(), false));
        }
        assert_eq!(jobs.0.len(), MAX_JOBS);
    }

    #[test]
    fn jobs_of_the_connection_before_are_the_oldest() {
        let (mut before, mut jobs) = (OpenJobs::default(), OpenJobs::default());
        for number in 0..MAX_JOBS {
            before.add(&job(&number.to_string(), false));
        }
        let (oldest, new) = (before.0[0].clone(), job("new", false));
        jobs.add(&new);
        jobs.prepend(before);
        assert_eq!(jobs.0.len(), MAX_JOBS);
        assert!(jobs.contains(&new) && !jobs.contains(&oldest));
    }

    #[test]
    fn shares_are_taken_in_the_order_of_their_submission() {
        let now = Instant::now();
        let mut in_flight = InFlightShares::default();
        for (id, ticket) in [(1, 9), (2, 3), (3, 4)] {
            in_flight.insert(id, share(ticket, now));
        }
        assert_eq!(in_flight.take_all().iter().map(|share| share.ticket.0).collect::<Vec<_>>(), [3, 4, 9]);
    }

    #[test]
    fn each_share_gets_one_outcome() {
        let now = Instant::now();
        let later = now + Duration::from_millis(7);
        let mut in_flight = InFlightShares::default();
        for id in 1..=4 {
            in_flight.insert(id, share(id * 10, now));
        }
        let rejected = |code| Err(Reason::new(code, ""));
        let mut answer = |id, result| in_flight.on_answer(id, result, later).map(|answer| answer.outcome);
        assert_eq!(answer(2, Ok(())), Some(Outcome::Accepted));
        assert_eq!(answer(2, Ok(())), None, "answered twice");
        assert_eq!(answer(1, rejected(22)), Some(Outcome::Rejected(Reason::new(22, ""))));
        assert_eq!(answer(3, rejected(21)), Some(Outcome::Stale(Some(Reason::new(21, "")))));
        assert_eq!(answer(9, Ok(())), None);
        let left = in_flight.take_all();
        let lost: Vec<Answer> = left.iter().map(|share| share.give_up(later)).collect();
        let round_trip = Duration::from_millis(7);
        let answer = Answer { ticket: Ticket(40), outcome: Outcome::Unanswered, index: 3, round_trip };
        assert_eq!(lost, [answer]);
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn shares_without_an_answer_are_bounded() {
        let now = Instant::now();
        let mut in_flight = InFlightShares::default();
        for id in 0..MAX_IN_FLIGHT as u64 {
            in_flight.insert(id, share(id, now));
            assert!(in_flight.expire(now).is_none());
        }
        in_flight.insert(MAX_IN_FLIGHT as u64, share(MAX_IN_FLIGHT as u64, now));
        let oldest = in_flight.expire(now).map(|share| share.give_up(now));
        assert_eq!(
            oldest.map(|answer| (answer.ticket, answer.outcome)),
            Some((Ticket(0), Outcome::Unanswered))
        );
        assert_eq!(in_flight.len(), MAX_IN_FLIGHT);
    }

    #[test]
    fn a_share_without_an_answer_expires_while_the_connection_lasts() {
        let now = Instant::now();
        let mut in_flight = InFlightShares::default();
        in_flight.insert(1, share(1, now));
        in_flight.insert(2, share(2, now + Duration::from_secs(1)));
        assert!(in_flight.expire(now + ANSWER_TIMEOUT - Duration::from_secs(1)).is_none());
        let lost = in_flight.expire(now + ANSWER_TIMEOUT).map(|share| share.ticket);
        assert_eq!(lost, Some(Ticket(1)));
        assert!(in_flight.expire(now + ANSWER_TIMEOUT).is_none());
        assert_eq!(in_flight.on_answer(1, Ok(()), now), None, "the share has expired");
    }

    #[test]
    fn a_duplicate_counts_as_accepted_only_if_it_was_sent_before() {
        let now = Instant::now();
        let mut in_flight = InFlightShares::default();
        in_flight.insert(1, share(1, now));
        let again = in_flight.take_all().remove(0);
        in_flight.insert(7, again);
        in_flight.insert(8, share(2, now));
        let duplicate = || Err(Reason::new(22, "Duplicate share"));
        assert_eq!(
            in_flight.on_answer(7, duplicate(), now).map(|answer| answer.outcome),
            Some(Outcome::Accepted)
        );
        let fresh = in_flight.on_answer(8, duplicate(), now).map(|answer| answer.outcome);
        assert!(matches!(fresh, Some(Outcome::Rejected(_))));
        assert_eq!(share(3, now).give_up(now).outcome, Outcome::Stale(None), "it was never sent");
    }
}
