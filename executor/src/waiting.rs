//! What a task without work waits for, and when it tells the scheduler.

use std::time::Duration;

use problem::{Problem, ProblemKind};
use tokio::time::Instant;

/// A task that is without work for this long says why. A server that starts a moment after its workers, or a pool that restarts,
/// is not worth a message. The time is short, because the user is to know the reason within ten seconds.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// Why a task has no work.
#[derive(Debug)]
pub struct Waiting {
    /// Since when the task has had no work; `None` while it has work.
    since: Option<Instant>,
    /// What is said as long as nothing has failed yet.
    silence: Problem,
    /// The problems that the last attempts met, the newest last.
    met: Vec<Problem>,
    /// Maximum number of `met`, one for each peer.
    peers: usize,
    /// When the scheduler was last told why, and the kind of that problem. `None` if it was not told since the task had work.
    told: Option<(Instant, ProblemKind)>,
}

impl Waiting {
    /// A task that begins to wait. `silence` is what it says as long as no attempt has failed; `peers` is the number of peers that
    /// it tries.
    pub fn new(silence: Problem, peers: usize, now: Instant) -> Self {
        Waiting { since: Some(now), silence, met: Vec::new(), peers: peers.max(1), told: None }
    }

    /// An attempt to get work has failed.
    pub fn met(&mut self, problem: Problem, now: Instant) {
        self.since.get_or_insert(now);
        self.met.retain(|known| *known != problem);
        self.met.push(problem);
        let superfluous = self.met.len().saturating_sub(self.peers);
        self.met.drain(..superfluous);
    }

    /// The task has work. Returns whether the scheduler was told that it waits.
    pub fn works(&mut self) -> bool {
        self.since = None;
        self.met.clear();
        self.told.take().is_some()
    }

    /// Begins anew, because the task now waits for other peers.
    pub fn restart(&mut self, silence: Problem, peers: usize, now: Instant) {
        *self = Waiting { told: self.told, ..Waiting::new(silence, peers, now) };
    }

    /// Why the task has no work; `None` if it has. Of several problems the one that a user can act on first gives the kind, and the
    /// text has all of them.
    pub fn problem(&self) -> Option<Problem> {
        self.since?;
        let Some(kind) = self.met.iter().map(|problem| problem.kind).min() else {
            return Some(self.silence.clone());
        };
        let texts: Vec<_> = self.met.iter().map(|problem| problem.text.as_str()).collect();
        Some(Problem::new(kind, texts.join("; ")))
    }

    /// When the scheduler is to be told why; `None` if it need not be. It is told at once when the kind of the problem
    /// changes, and again after `again`, because messages may be lost.
    pub fn tell_at(&self, again: Option<Duration>) -> Option<Instant> {
        let since = self.since?;
        let kind = self.problem()?.kind;
        match self.told {
            Some((at, told)) if told == kind => Some(at + again?),
            _ => Some(since + TELL_AFTER),
        }
    }

    /// The problem to tell the scheduler now. It counts as told.
    pub fn tell(&mut self, now: Instant) -> Option<Problem> {
        let problem = self.problem()?;
        self.told = Some((now, problem.kind));
        Some(problem)
    }

    /// The problem, if the scheduler was told of it: live messages repeat it.
    pub fn told(&self) -> Option<Problem> {
        self.told.and(self.problem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: Duration = Duration::from_secs(5);

    fn problem(kind: ProblemKind, text: &str) -> Problem {
        Problem::new(kind, text)
    }

    fn silence() -> Problem {
        problem(ProblemKind::PoolUnreachable, "no answer")
    }

    #[test]
    fn a_task_that_waits_says_why_within_seconds_and_repeats_it() {
        let start = Instant::now();
        let mut waiting = Waiting::new(silence(), 1, start);
        assert_eq!(waiting.tell_at(Some(AGAIN)), Some(start + TELL_AFTER));
        waiting.met(problem(ProblemKind::PoolUnreachable, "refused"), start);
        assert_eq!((waiting.tell_at(Some(AGAIN)), waiting.told()), (Some(start + TELL_AFTER), None));
        let now = start + TELL_AFTER;
        assert_eq!(waiting.tell(now), Some(problem(ProblemKind::PoolUnreachable, "refused")));
        assert_eq!((waiting.tell_at(Some(AGAIN)), waiting.tell_at(None)), (Some(now + AGAIN), None));
        // A new kind of problem is told at once.
        waiting.met(problem(ProblemKind::PoolRefusesUser, "unknown user"), now);
        assert!(waiting.tell_at(Some(AGAIN)).is_some_and(|at| at <= now));
    }

    /// The user is to know the reason within ten seconds; the scheduler shows it within three seconds of the message.
    #[test]
    fn a_reason_is_told_within_seven_seconds_whenever_it_is_met() {
        let start = Instant::now();
        let limit = start + Duration::from_secs(7);
        // Nothing has answered yet, not even with an error.
        let waiting = Waiting::new(silence(), 1, start);
        assert!(waiting.tell_at(None).is_some_and(|at| at <= limit));
        for met in 0..7 {
            let mut waiting = Waiting::new(silence(), 1, start);
            let now = start + Duration::from_secs(met);
            if waiting.tell_at(None).is_some_and(|at| at <= now) {
                waiting.tell(now);
            }
            waiting.met(problem(ProblemKind::PoolRefusesUser, "unknown user"), now);
            let at = waiting.tell_at(None).expect("a message");
            assert!(at.max(now) <= limit, "met after {met} s");
        }
    }

    #[test]
    fn a_task_that_works_says_nothing() {
        let start = Instant::now();
        let mut waiting = Waiting::new(silence(), 1, start);
        assert!(!waiting.works(), "nothing was told");
        assert_eq!((waiting.tell_at(Some(AGAIN)), waiting.problem()), (None, None));
        let now = start + AGAIN;
        waiting.met(problem(ProblemKind::PoolUnreachable, "closed"), now);
        assert_eq!(waiting.tell_at(Some(AGAIN)), Some(now + TELL_AFTER), "the time counts from the loss");
        waiting.tell(now + TELL_AFTER);
        assert!(waiting.told().is_some() && waiting.works() && waiting.told().is_none());
    }

    #[test]
    fn the_last_problem_of_each_peer_is_told_and_the_first_in_rank_gives_the_kind() {
        let start = Instant::now();
        let mut waiting = Waiting::new(silence(), 2, start);
        for text in ["old", "refused"] {
            waiting.met(problem(ProblemKind::PoolUnreachable, text), start);
        }
        waiting.met(problem(ProblemKind::PoolRefusesUser, "unknown user"), start);
        let both = problem(ProblemKind::PoolRefusesUser, "refused; unknown user");
        assert_eq!(waiting.problem(), Some(both));
        waiting.restart(silence(), 1, start + AGAIN);
        assert_eq!(waiting.problem(), Some(silence()));
    }
}
