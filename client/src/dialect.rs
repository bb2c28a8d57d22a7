//! Which optional requests a pool survives, as learned from earlier connections. Does no I/O.
//!
//! Some pools close the connection when they receive a request that they do not know. After such an end the next connection
//! leaves out all requests that may be the reason. If it succeeds, they stay left out for some time; if it ends in the same way, they
//! were not the reason. A pool that has survived a request is not suspected of hanging up on it, unless it hangs up again and again.
//!
//! A pool may also hang up late, after it has sent a job. Then a later request is suspected first. If the pool hangs up in the same
//! way without it, it was not the reason, and the other requests are suspected one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stratum::OptionalRequest;
use tokio::time::Instant;

/// How long requests stay left out. Then they are sent again, because the pool may have hung up for another reason.
pub(crate) const LEFT_OUT_FOR: Duration = Duration::from_secs(30 * 60);
/// Once a pool has hung up this often in a row on a request that it had survived before, it may have changed its mind.
const CHANGED_ITS_MIND: u32 = 3;

/// What is known about one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolDialect {
    /// The requests that the pool does not survive, with the times when they were last found to be the reason.
    refused: BTreeMap<OptionalRequest, Instant>,
    /// The requests that the pool does not know, as it says, with the times when it last said so.
    unknown: BTreeMap<OptionalRequest, Instant>,
    /// The requests that the pool has survived.
    survived: BTreeSet<OptionalRequest>,
    /// How often in a row the pool has hung up on a request that it had survived before.
    hang_ups_on_survived: u32,
    /// The requests that the next connection leaves out on trial.
    suspected: BTreeSet<OptionalRequest>,
    /// Whether a connection without any suspect has ended in the same way since the pool last gave work. Then the pool is rather
    /// away than particular, and a success proves nothing.
    in_doubt: bool,
    /// Those suspects after which the pool had given work before it hung up.
    suspected_late: BTreeSet<OptionalRequest>,
    /// Those of them that the last success seems to have proven to be the reason. The pool has not worked for us for a while since.
    fresh: BTreeSet<OptionalRequest>,
    /// The requests that were such a reason until the pool hung up without them in the same way. They are suspects again once the
    /// pool has worked for us for a while.
    acquitted: BTreeSet<OptionalRequest>,
}

impl PoolDialect {
    /// The requests to leave out on the next connection.
    pub fn omit(&self, now: Instant) -> BTreeSet<OptionalRequest> {
        &self.hangs_up_on(now) | &valid(&self.unknown, now)
    }

    /// The requests that the pool hangs up on, as far as is known.
    pub fn hangs_up_on(&self, now: Instant) -> BTreeSet<OptionalRequest> {
        &valid(&self.refused, now) | &self.suspected
    }

    /// The pool has hung up, perhaps because of one of the `suspects`. `late` are all requests that it was sent, if it has given
    /// work, and may nevertheless not have survived them. Returns whether the next connection is to try without some requests, and
    /// does so for the first time since the pool last gave work.
    pub fn on_hang_up(
        &mut self,
        suspects: &BTreeSet<OptionalRequest>,
        late: Option<&BTreeSet<OptionalRequest>>,
    ) -> bool {
        let mut suspects = match late {
            Some(sent) => self.late_suspects(suspects, sent),
            None => suspects.clone(),
        };
        if !suspects.is_disjoint(&self.survived) {
            self.hang_ups_on_survived += 1;
            if self.in_doubt || self.hang_ups_on_survived < CHANGED_ITS_MIND {
                suspects = &suspects - &self.survived;
            }
        }
        if suspects.is_empty() {
            self.in_doubt |= !self.suspected.is_empty();
            self.suspected.clear();
            self.suspected_late.clear();
            return false;
        }
        if late.is_some() {
            self.suspected_late.extend(&suspects);
        }
        self.suspected.extend(suspects);
        !self.in_doubt
    }

    /// Takes back what the last success seemed to prove, since the pool hangs up all the same. Then another request is the reason:
    /// rather one that the pool has not survived, and version rolling, which is worth most, comes last.
    fn late_suspects(
        &mut self,
        suspects: &BTreeSet<OptionalRequest>,
        sent: &BTreeSet<OptionalRequest>,
    ) -> BTreeSet<OptionalRequest> {
        let fresh = std::mem::take(&mut self.fresh);
        self.refused.retain(|request, _| !fresh.contains(request));
        self.acquitted.extend(fresh);
        let suspects = suspects - &self.acquitted;
        if self.acquitted.is_empty() || !suspects.is_empty() {
            return suspects;
        }
        let others = sent - &self.acquitted;
        let next = others.iter().rev().min_by_key(|request| self.survived.contains(*request));
        next.copied().into_iter().collect()
    }

    /// The pool has authorized us and sent a job. Returns the requests that are left out from now on because the pool did not
    /// survive them.
    pub fn on_success(&mut self, now: Instant) -> BTreeSet<OptionalRequest> {
        let proven = std::mem::take(&mut self.suspected);
        let late = std::mem::take(&mut self.suspected_late);
        if std::mem::take(&mut self.in_doubt) {
            return BTreeSet::new();
        }
        self.refused.extend(proven.iter().map(|request| (*request, now)));
        self.survived = &self.survived - &proven;
        self.fresh.extend(&proven & &late);
        proven
    }

    /// The pool has survived these requests, and does not know those.
    pub fn on_answers(
        &mut self,
        survived: &BTreeSet<OptionalRequest>,
        unknown: &BTreeSet<OptionalRequest>,
        now: Instant,
    ) {
        self.survived.extend(survived);
        for request in unknown {
            self.unknown.insert(*request, now);
        }
    }

    /// The pool has worked for us for a while.
    pub fn on_stable(&mut self) {
        self.hang_ups_on_survived = 0;
        self.fresh.clear();
        self.acquitted.clear();
    }
}

fn valid(learned: &BTreeMap<OptionalRequest, Instant>, now: Instant) -> BTreeSet<OptionalRequest> {
    let valid = learned.iter().filter(|(_, since)| now < **since + LEFT_OUT_FOR);
    valid.map(|(request, _)| *request).collect()
}

/// Names these requests for a message: `mining.configure and mining.suggest_difficulty`.
pub(crate) fn names(requests: &BTreeSet<OptionalRequest>) -> String {
    requests.iter().map(|request| request.method()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use OptionalRequest::{Configure, SubscribeExtranonce, SuggestDifficulty};

    use super::*;

    #[test]
    fn requests_that_a_pool_does_not_survive_stay_left_out() {
        let (mut dialect, now) = (PoolDialect::default(), Instant::now());
        // The pool hangs up on the first request, then on the second.
        assert!(dialect.on_hang_up(&[Configure].into(), None));
        assert_eq!(dialect.omit(now), [Configure].into());
        assert!(dialect.on_hang_up(&[SuggestDifficulty].into(), None));
        assert_eq!(dialect.on_success(now), [Configure, SuggestDifficulty].into());
        assert_eq!(dialect.on_success(now), [].into(), "told once");
        // Later it hangs up on a third one.
        assert!(dialect.on_hang_up(&[SubscribeExtranonce].into(), None));
        dialect.on_success(now);
        assert_eq!(dialect.omit(now), [Configure, SuggestDifficulty, SubscribeExtranonce].into());
        // A restart of the pool changes nothing.
        assert!(!dialect.on_hang_up(&[].into(), None));
        dialect.on_success(now);
        assert_eq!(dialect.omit(now).len(), 3);
    }

    #[test]
    fn a_pool_that_is_away_for_a_while_loses_nothing() {
        let (mut dialect, now) = (PoolDialect::default(), Instant::now());
        // A load balancer without a pool behind it closes all connections, with the request or without.
        for again in [true, false, false] {
            assert_eq!(dialect.on_hang_up(&[Configure].into(), None), again);
            assert!(!dialect.on_hang_up(&[].into(), None));
            assert_eq!(dialect.omit(now), [].into());
        }
        dialect.on_hang_up(&[Configure].into(), None);
        // The pool comes back during a connection without the request, by chance.
        assert_eq!(dialect.on_success(now), [].into());
        assert_eq!(dialect.omit(now), [].into(), "the next connection sends it again");
    }

    #[test]
    fn what_was_left_out_is_tried_once_in_each_period() {
        let (mut dialect, start) = (PoolDialect::default(), Instant::now());
        dialect.on_answers(&[].into(), &[SubscribeExtranonce].into(), start);
        for period in 1..4 {
            let now = start + LEFT_OUT_FOR * period;
            assert!(dialect.on_hang_up(&[Configure].into(), None));
            assert_eq!(dialect.on_success(now), [Configure].into());
            assert!(dialect.omit(now + LEFT_OUT_FOR - Duration::from_secs(1)).contains(&Configure));
            assert_eq!(dialect.omit(now + LEFT_OUT_FOR), [].into(), "the next connection tries again");
        }
        assert!(
            dialect.hangs_up_on(start).contains(&Configure)
                && dialect.omit(start).contains(&SubscribeExtranonce)
        );
        assert!(
            !dialect.hangs_up_on(start).contains(&SubscribeExtranonce),
            "it only says that it does not know it"
        );
    }

    #[test]
    fn a_pool_that_has_survived_a_request_keeps_it_when_its_load_balancer_hangs_up() {
        let (mut dialect, now) = (PoolDialect::default(), Instant::now());
        dialect.on_answers(&[Configure].into(), &[].into(), now);
        for _ in 1..CHANGED_ITS_MIND {
            assert!(!dialect.on_hang_up(&[Configure].into(), None));
            assert_eq!(dialect.omit(now), [].into());
        }
        dialect.on_success(now);
        dialect.on_stable();
        // The pool stays away for long: one connection tries without the request, and then none does.
        for again in (1..CHANGED_ITS_MIND).map(|_| false).chain([true]) {
            assert_eq!(dialect.on_hang_up(&[Configure].into(), None), again);
        }
        assert_eq!(dialect.omit(now), [Configure].into());
        assert!(!dialect.on_hang_up(&[].into(), None));
        for _ in 0..9 {
            assert!(!dialect.on_hang_up(&[Configure].into(), None));
            assert_eq!(dialect.omit(now), [].into());
        }
        assert_eq!(dialect.on_success(now), [].into());
    }

    #[test]
    fn a_late_hang_up_without_the_blamed_request_takes_the_verdict_back() {
        let (mut dialect, now) = (PoolDialect::default(), Instant::now());
        dialect.on_answers(&[Configure].into(), &[].into(), now);
        // The pool hangs up on the suggestion, but only when the next request has come.
        let all = [Configure, SuggestDifficulty, SubscribeExtranonce].into();
        assert!(dialect.on_hang_up(&[SubscribeExtranonce].into(), Some(&all)));
        assert_eq!(dialect.on_success(now), [SubscribeExtranonce].into());
        let sent = [Configure, SuggestDifficulty].into();
        assert!(dialect.on_hang_up(&[].into(), Some(&sent)));
        assert_eq!(dialect.omit(now), [SuggestDifficulty].into());
        assert_eq!(dialect.on_success(now), [SuggestDifficulty].into());
        dialect.on_stable();
        assert!(!dialect.on_hang_up(&[].into(), None), "the pool restarts");
        assert_eq!(dialect.omit(now), [SuggestDifficulty].into());
    }

    #[test]
    fn a_pool_that_always_hangs_up_after_its_first_job_blames_each_request_once() {
        let (mut dialect, now) = (PoolDialect::default(), Instant::now());
        dialect.on_answers(&[Configure].into(), &[].into(), now);
        let all: BTreeSet<_> = [Configure, SuggestDifficulty, SubscribeExtranonce].into();
        let mut omitted = Vec::new();
        for _ in 0..20 {
            let sent = &all - &dialect.omit(now);
            let suspects = &sent & &[SubscribeExtranonce].into();
            dialect.on_hang_up(&suspects, Some(&sent));
            omitted.push(dialect.omit(now).into_iter().collect::<Vec<_>>());
            dialect.on_success(now);
        }
        omitted.dedup();
        let once: [&[_]; 5] = [&[SubscribeExtranonce], &[SuggestDifficulty], &[], &[Configure], &[]];
        assert_eq!(omitted, once);
    }

    #[test]
    fn a_pool_that_no_longer_survives_a_request_is_found_out() {
        let (mut dialect, now) = (PoolDialect::default(), Instant::now());
        dialect.on_answers(&[Configure].into(), &[].into(), now);
        let tries: Vec<bool> =
            (0..CHANGED_ITS_MIND).map(|_| dialect.on_hang_up(&[Configure].into(), None)).collect();
        assert_eq!(tries, [false, false, true]);
        assert_eq!(dialect.on_success(now), [Configure].into());
        assert_eq!(dialect.omit(now), [Configure].into());
    }
}
