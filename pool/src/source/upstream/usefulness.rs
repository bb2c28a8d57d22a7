//! Whether the upstream pool that gives work is of any use. The client leaves a pool that is not, if there is another one; with only
//! one, this is for the health check. No I/O, no clock.

use std::sync::Arc;

use client::Outcome;
use problem::{Problem, ProblemKind};
use stratum::Job;

use crate::source::upstream_problem;

/// What is wrong with the upstream pool that gives work.
#[derive(Debug, Default)]
pub struct Usefulness {
    problem: Option<Problem>,
    /// The address of the pool that gives jobs.
    pool: Option<String>,
    job: Option<Arc<Job>>,
}

impl Usefulness {
    /// Takes in an event of the client. Returns whether [`Usefulness::problem`] may have changed.
    pub fn on_event(&mut self, event: &client::Event) -> bool {
        use client::Event::{Answer, Authorized, Job, Unfit};
        let before = self.problem.is_some();
        match event {
            Unfit { error } => self.problem = upstream_problem(error),
            Answer(answer) if answer.outcome == Outcome::Accepted => {
                self.problem.take_if(|problem| problem.kind == ProblemKind::UpstreamRejectsShares);
            }
            Job(job) => {
                // The same job with another difficulty is no news.
                if self.job.as_ref().is_none_or(|last| !last.same_work(job)) {
                    self.problem.take_if(|problem| problem.kind != ProblemKind::UpstreamRejectsShares);
                }
                self.job = Some(job.clone());
            }
            // A pool that rejects all shares does so after a new connection, too.
            Authorized { pool } => {
                let pool = pool.to_string();
                if self.pool.replace(pool.clone()).is_some_and(|last| last != pool) {
                    self.problem = None;
                }
            }
            _ => {}
        }
        before || self.problem.is_some()
    }

    /// What is wrong, if anything is.
    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use client::{ClientError, Event};
    use hasher::{CompactTarget, Target};
    use stratum::Reason;

    use super::*;

    fn job(id: &str) -> Event {
        Event::Job(Arc::new(Job {
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
        }))
    }

    fn authorized(pool: &str) -> Event {
        Event::Authorized { pool: pool.parse().unwrap() }
    }

    fn rejects_all() -> Event {
        let (pool, reason) = ("a:1".parse().unwrap(), Reason::new(23, "above target"));
        Event::Unfit { error: ClientError::RejectsAll { pool, shares: 20, reason } }
    }

    fn kind(usefulness: &Usefulness) -> Option<ProblemKind> {
        usefulness.problem().map(|problem| problem.kind)
    }

    #[test]
    fn a_pool_that_rejects_everything_is_of_no_use_until_another_one_gives_work() {
        let mut usefulness = Usefulness::default();
        usefulness.on_event(&authorized("a:1"));
        assert!(!usefulness.on_event(&job("a")) && usefulness.problem().is_none());
        assert!(usefulness.on_event(&rejects_all()));
        let problem = usefulness.problem().unwrap();
        assert!(problem.text.contains("20 shares") && problem.text.contains("above target"), "{problem}");
        // New jobs and new connections change nothing.
        usefulness.on_event(&job("b"));
        usefulness.on_event(&Event::Lost { error: ClientError::NoPool, retry_in: Duration::ZERO });
        usefulness.on_event(&authorized("a:1"));
        assert_eq!(kind(&usefulness), Some(ProblemKind::UpstreamRejectsShares));
        assert!(usefulness.on_event(&authorized("b:1")));
        assert_eq!(kind(&usefulness), None);
    }

    #[test]
    fn a_pool_with_an_old_job_is_of_use_again_with_a_new_one() {
        let mut usefulness = Usefulness::default();
        usefulness.on_event(&job("a"));
        let after = Duration::from_secs(7_200);
        let error = ClientError::JobTooOld { pool: "a:1".parse().unwrap(), after };
        usefulness.on_event(&Event::Unfit { error });
        usefulness.on_event(&job("a"));
        assert_eq!(kind(&usefulness), Some(ProblemKind::PoolJobOutdated));
        assert!(usefulness.on_event(&job("b")));
        assert_eq!(kind(&usefulness), None);
    }
}
