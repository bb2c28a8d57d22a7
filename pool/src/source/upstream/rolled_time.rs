//! Whether a pool accepts header times later than its job's own, as its verdicts show. No I/O, no clock.

use crate::share::UpstreamShare;

/// How far the header time of a job may run ahead of the job's own, in seconds. The strictest common pools accept 600 s; the rest is
/// left to miners, which count the time on by themselves.
pub const MAX_ROLL: u32 = 540;
/// How far a share's time may be ahead of the time with which its miner started, in seconds. Beyond that, a rejection is the miner's
/// own doing.
const MINERS_OWN: u32 = 60;
/// After this many rejected shares in a row, their later time counts as the reason, whatever the pool says.
const REJECTED_IN_A_ROW: u32 = 3;

/// The header times of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareTime {
    /// How far the time with which the miner started was ahead of the job's own, in seconds.
    pub rolled: u32,
    /// How far the share's time is ahead of the time with which the miner started, in seconds.
    pub ahead: u32,
}

impl ShareTime {
    /// The times of a share for an upstream pool.
    pub fn of(share: &UpstreamShare) -> Self {
        let rolled = share.start.saturating_sub(share.job.ntime);
        Self { rolled, ahead: share.share.ntime.saturating_sub(share.start) }
    }
}

/// What a pool says about a share that was neither stale nor a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pool accepted it.
    Accepted,
    /// The pool rejected it because of its time.
    RejectedForTime,
    /// The pool rejected it for another reason, or so it says.
    Rejected,
}

/// Whether a pool accepts shares of jobs whose header time was moved on.
#[derive(Clone, Debug, Default)]
pub struct RolledTime {
    is_refused: bool,
    /// Whether the pool has accepted any share.
    accepts: bool,
    /// The number of shares with a later time that were rejected in a row.
    rejected: u32,
    /// Set while it is not sure that the time is the reason, since the pool had accepted no share at all: the number of shares with a
    /// job's own time that it has rejected since.
    own_rejected: Option<u32>,
}

impl RolledTime {
    /// Whether the pool accepts no other time than the job's own.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Takes in a verdict. Returns whether later times are refused from now on.
    pub fn on_verdict(&mut self, time: ShareTime, verdict: Verdict) -> bool {
        self.accepts |= verdict == Verdict::Accepted;
        if time.rolled == 0 {
            self.on_own_time(verdict);
            return false;
        }
        if verdict == Verdict::Accepted {
            self.rejected = 0;
            return false;
        }
        // Shares that were on their way when this was decided tell nothing new.
        if self.is_refused || time.ahead > MINERS_OWN {
            return false;
        }
        self.rejected += 1;
        if self.rejected < REJECTED_IN_A_ROW && verdict != Verdict::RejectedForTime {
            return false;
        }
        let is_sure = self.accepts || verdict == Verdict::RejectedForTime;
        *self = Self { is_refused: true, rejected: 0, own_rejected: (!is_sure).then_some(0), ..*self };
        true
    }

    /// If the pool now accepts shares with the job's own time at once, the later time was the reason. If it rejected these for a while,
    /// too, it was not.
    fn on_own_time(&mut self, verdict: Verdict) {
        if verdict == Verdict::Accepted {
            let rejected = self.own_rejected.take();
            self.is_refused &= rejected.is_none_or(|rejected| rejected < REJECTED_IN_A_ROW);
        } else if let Some(rejected) = &mut self.own_rejected {
            *rejected += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Accepted, Rejected, RejectedForTime};
    use super::*;

    fn share(rolled: u32) -> ShareTime {
        ShareTime { rolled, ahead: 1 }
    }

    fn is_refused_after(verdicts: &[(u32, Verdict)]) -> bool {
        let mut time = RolledTime::default();
        for (rolled, verdict) in verdicts {
            time.on_verdict(share(*rolled), *verdict);
        }
        time.is_refused()
    }

    #[test]
    fn three_rejections_in_a_row_are_enough_whatever_the_reason() {
        let mut time = RolledTime::default();
        time.on_verdict(share(0), Accepted);
        for _ in 0..2 {
            assert!(!time.on_verdict(share(30), Rejected));
            assert!(!time.on_verdict(share(0), Accepted), "that tells nothing about later times");
            assert!(!time.on_verdict(ShareTime { rolled: 30, ahead: 61 }, Rejected), "the miner's own time");
        }
        assert!(!time.is_refused());
        assert!(time.on_verdict(share(30), Rejected) && time.is_refused());
        // It is for good, and answers that come late change nothing.
        assert!(!time.on_verdict(share(30), Rejected));
        time.on_verdict(share(0), Accepted);
        assert!(time.is_refused());
    }

    #[test]
    fn an_accepted_later_time_starts_the_count_again() {
        let verdicts = [Rejected, Rejected, Accepted, Rejected, Rejected].map(|verdict| (30, verdict));
        assert!(!is_refused_after(&verdicts));
    }

    #[test]
    fn one_rejection_is_enough_if_the_pool_says_that_it_is_the_time() {
        assert!(is_refused_after(&[(30, RejectedForTime), (0, Rejected), (0, Accepted)]));
        assert!(!is_refused_after(&[(0, RejectedForTime)]), "that is the job's own time");
    }

    #[test]
    fn a_pool_that_rejects_the_job_s_own_time_too_has_another_reason() {
        let first = [(30, Rejected); 3];
        assert!(is_refused_after(&first));
        assert!(is_refused_after(&[&first[..], &[(0, Accepted), (0, Rejected)]].concat()));
        let too = [&first[..], &[(0, Rejected); 3]].concat();
        assert!(is_refused_after(&too));
        let later = [&too[..], &[(0, Accepted)]].concat();
        assert!(!is_refused_after(&later));
        assert!(is_refused_after(&[&later[..], &first[..]].concat()));
    }
}
