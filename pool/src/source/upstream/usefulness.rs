//! Whether the upstream pool that gives work is of any use. The client leaves a pool that is not, if there is another one; with only
//! one, this is for the health check. No I/O except logging, no clock.

use std::time::Instant;

use client::Outcome;
use problem::Problem;

use super::stale_shares::StaleShares;
use crate::source::upstream_problem;

/// What is wrong with the upstream pool that gives work.
#[derive(Debug, Default)]
pub struct Usefulness {
    /// Why the client would leave the pool, as the client says.
    problem: Option<Problem>,
    stale: StaleShares,
    /// What is wrong because of the stale shares.
    all_stale: Option<Problem>,
    /// The address of the pool that gives jobs.
    pool: Option<String>,
}

impl Usefulness {
    /// For the pool of this address, which gives jobs, if there is one.
    pub fn of(pool: Option<&str>) -> Self {
        Usefulness { pool: pool.map(str::to_owned), ..Usefulness::default() }
    }

    /// Takes in an event of the client. Returns whether [`Usefulness::problem`] may have changed.
    pub fn on_event(&mut self, event: &client::Event, now: Instant) -> bool {
        use client::Event::{Answer, Authorized, Fit, Unfit};
        let before = self.problem().is_some();
        match event {
            Unfit { error } => self.problem = upstream_problem(error),
            Fit => self.problem = None,
            Answer(answer) => self.on_outcome(&answer.outcome, now),
            // A pool that calls all shares stale does so after a new connection, too.
            Authorized { pool, .. } => {
                let pool = pool.to_string();
                if self.pool.replace(pool.clone()).is_some_and(|last| last != pool) {
                    (self.stale, self.all_stale) = (StaleShares::default(), None);
                }
            }
            _ => {}
        }
        before || self.problem().is_some()
    }

    fn on_outcome(&mut self, outcome: &Outcome, now: Instant) {
        self.stale.on_outcome(outcome, now);
        let problem = self.stale.problem(self.pool.as_deref().unwrap_or_default());
        if let (Some(problem), None) = (&problem, &self.all_stale) {
            tracing::warn!(error = problem.text, "the upstream pool is of no use");
        }
        self.all_stale = problem;
    }

    /// What is wrong, if anything is.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref().or(self.all_stale.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use client::{ClientError, Event};
    use hasher::{CompactTarget, Target};
    use problem::ProblemKind;
    use stratum::{Job, Reason};

    use super::*;

    fn job(id: &str) -> Event {
        let job = Job {
            id: id.into(),
            prev_hash: [1; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 0x2000_0000,
            nbits: CompactTarget(0x1d00_ffff),
            ntime: 0,
            clean: true,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: Vec::new(),
            extranonce2_len: 8,
        };
        Event::Job { job: Arc::new(job), index: 0, received: std::time::Instant::now() }
    }

    fn authorized(pool: &str) -> Event {
        Event::Authorized { pool: pool.parse().unwrap(), index: 0 }
    }

    fn rejects_all() -> Event {
        let (pool, reason) = ("a:1".parse().unwrap(), Reason::new(23, "above target"));
        Event::Unfit { error: ClientError::RejectsAll { pool, shares: 20, reason } }
    }

    fn kind(usefulness: &Usefulness) -> Option<ProblemKind> {
        usefulness.problem().map(|problem| problem.kind)
    }

    #[test]
    fn a_pool_is_of_no_use_from_the_word_of_the_client_until_its_next() {
        let (mut usefulness, now) = (Usefulness::default(), Instant::now());
        usefulness.on_event(&authorized("a:1"), now);
        assert!(!usefulness.on_event(&job("a"), now) && usefulness.problem().is_none());
        assert!(usefulness.on_event(&rejects_all(), now));
        let problem = usefulness.problem().unwrap();
        assert!(problem.text.contains("20 shares") && problem.text.contains("above target"), "{problem}");
        // New jobs and new connections change nothing.
        usefulness.on_event(&job("b"), now);
        let lost = Event::Lost { error: ClientError::NoPool, index: 0, retry_in: Duration::ZERO };
        usefulness.on_event(&lost, now);
        usefulness.on_event(&authorized("a:1"), now);
        assert_eq!(kind(&usefulness), Some(ProblemKind::UpstreamRejectsShares));
        usefulness.on_event(&authorized("b:1"), now);
        assert!(usefulness.on_event(&Event::Fit, now));
        assert_eq!(kind(&usefulness), None);
    }

    #[test]
    fn a_pool_that_stays_on_one_block_is_of_no_use_although_it_sends_jobs() {
        let (mut usefulness, now) = (Usefulness::default(), Instant::now());
        usefulness.on_event(&job("a"), now);
        let after = Duration::from_secs(10_800);
        let error = ClientError::BlockTooOld { pool: "a:1".parse().unwrap(), after };
        usefulness.on_event(&Event::Unfit { error }, now);
        for id in ["a", "b", "c"] {
            usefulness.on_event(&job(id), now);
            assert_eq!(kind(&usefulness), Some(ProblemKind::PoolJobOutdated), "{id}");
        }
        assert!(usefulness.on_event(&Event::Fit, now));
        assert_eq!(kind(&usefulness), None);
    }

    #[test]
    fn a_pool_that_calls_all_shares_stale_is_of_no_use_until_it_accepts_one_or_another_gives_work() {
        let start = Instant::now();
        let mut usefulness = Usefulness::default();
        usefulness.on_event(&authorized("a:1"), start);
        let stale = Outcome::Stale(Some(Reason::new(21, "Job not found")));
        let run = |usefulness: &mut Usefulness| {
            (0..60).for_each(|step| usefulness.on_outcome(&stale, start + Duration::from_secs(step * 2)));
        };
        run(&mut usefulness);
        assert_eq!(kind(&usefulness), Some(ProblemKind::UpstreamSharesStale));
        // New jobs and new connections change nothing.
        usefulness.on_event(&job("b"), start);
        usefulness.on_event(&authorized("a:1"), start);
        assert_eq!(kind(&usefulness), Some(ProblemKind::UpstreamSharesStale));
        usefulness.on_outcome(&Outcome::Accepted, start);
        assert_eq!(kind(&usefulness), None);
        run(&mut usefulness);
        assert!(usefulness.on_event(&authorized("b:1"), start));
        assert_eq!(kind(&usefulness), None);
    }
}
