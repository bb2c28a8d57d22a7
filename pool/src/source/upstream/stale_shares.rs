//! Whether the upstream pool calls all shares stale. No I/O, no clock.

use std::time::{Duration, Instant};

use client::Outcome;
use problem::{Problem, ProblemKind};
use stratum::Reason;
use text::InWords;

/// Fewer stale shares than this may be the miners' bad luck.
const ENOUGH: u32 = 50;
/// A pool that answers late, or changes jobs quickly, may call all shares stale for a shorter time than this.
const LONG: Duration = Duration::from_secs(60);

/// The stale shares since the upstream pool last accepted a share.
#[derive(Debug, Default)]
pub struct StaleShares(Option<Run>);

#[derive(Debug)]
struct Run {
    count: u32,
    first: Instant,
    last: Instant,
    /// The pool's reason for the last one.
    reason: Reason,
}

impl StaleShares {
    /// Takes in the outcome of a share. Shares that were not submitted, and those that are rejected for other reasons, do not count.
    pub fn on_outcome(&mut self, outcome: &Outcome, now: Instant) {
        match outcome {
            Outcome::Accepted => self.0 = None,
            Outcome::Stale(Some(reason)) => {
                let before = self.0.take();
                let (count, first) = before.map_or((0, now), |run| (run.count, run.first));
                self.0 =
                    Some(Run { count: count.saturating_add(1), first, last: now, reason: reason.clone() });
            }
            Outcome::Stale(None) | Outcome::Rejected(_) | Outcome::Unanswered => {}
        }
    }

    /// The problem, if `pool` calls all shares stale.
    pub fn problem(&self, pool: &str) -> Option<Problem> {
        let run = self.0.as_ref()?;
        let time = run.last.saturating_duration_since(run.first);
        let text = || {
            let (count, reason, time) =
                (run.count, &run.reason, InWords(Duration::from_secs(time.as_secs())));
            format!("{pool} has called {count} shares stale in {time}, and accepted none: {reason}")
        };
        (run.count >= ENOUGH && time >= LONG).then(|| Problem::new(ProblemKind::UpstreamSharesStale, text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale() -> Outcome {
        Outcome::Stale(Some(Reason::new(21, "Job not found")))
    }

    /// The problem after this many stale shares, one in each `pause`, and then `last`.
    fn problem_after(count: u32, pause: Duration, last: &[Outcome]) -> Option<Problem> {
        let (mut shares, start) = (StaleShares::default(), Instant::now());
        for number in 0..count {
            shares.on_outcome(&stale(), start + pause * number);
        }
        last.iter().for_each(|outcome| shares.on_outcome(outcome, start + pause * count));
        shares.problem("a:1")
    }

    #[test]
    fn many_stale_shares_over_a_minute_are_a_problem_if_none_is_accepted() {
        let (often, rarely) = (Duration::from_millis(500), Duration::from_secs(2));
        assert_eq!(problem_after(49, rarely, &[]), None);
        assert_eq!(problem_after(100, often, &[]), None);
        let problem = problem_after(50, rarely, &[]).unwrap();
        assert_eq!(problem.kind, ProblemKind::UpstreamSharesStale);
        let text = &problem.text;
        assert!(
            text.starts_with("a:1 has called 50 shares stale in ") && text.contains("Job not found"),
            "{text}"
        );
        assert!(problem_after(121, often, &[]).is_some());
        assert_eq!(problem_after(80, rarely, &[Outcome::Accepted, stale()]), None);
        let others = [Outcome::Stale(None), Outcome::Unanswered, Outcome::Rejected(Reason::new(23, "low"))];
        assert_eq!(problem_after(49, rarely, &others), None);
        assert!(problem_after(50, rarely, &others).is_some());
    }
}
