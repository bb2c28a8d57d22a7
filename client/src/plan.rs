//! Which pool to try next, and when. Pure but for the jitter.

use std::time::Duration;

use net::Backoff;

/// First pause before the pools are tried again; doubled up to the configured one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A connection that gave work for so long makes the next pause the first one again. One that gives a job and ends, over
/// and over, is made less and less often.
const WORTH: Duration = Duration::from_secs(10);
/// A connection that gave work for so long is worth being made again, as often as it is lost.
const STABLE: Duration = Duration::from_secs(60);

/// How often in a row a pool may send us elsewhere without giving work; two for load balancers, one for good measure.
const MOVES: u64 = 3;
/// How long a pool may have us wait before we connect elsewhere, where another pool stands by.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The state of failover among pools 0, 1, 2 … in order of preference.
#[derive(Debug)]
pub(crate) struct Plan {
    pools: usize,
    index: usize,
    /// Tries in a row that brought no work.
    failures: u64,
    retries: Option<u64>,
    backoff: Backoff,
    /// Whether the present pool was lost after working and is getting its second chance.
    second_chance: bool,
    /// How often in a row the present pool sent us elsewhere without giving work.
    moves: u64,
    probed: usize,
}

impl Plan {
    pub fn new(pools: usize, retries: Option<u64>, retry_pause: Duration) -> Plan {
        let backoff = Backoff::new(FIRST_PAUSE, retry_pause);
        Plan { pools, index: 0, failures: 0, retries, backoff, second_chance: false, moves: 0, probed: 0 }
    }

    /// The pool to use.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The present pool was lost; `worked`: how long it had given work, if at all. How long to wait before the
    /// (perhaps other) pool is tried, or `None` to give up.
    pub fn lost(&mut self, worked: Option<Duration>) -> Option<Duration> {
        self.moves = 0;
        if worked.is_some() {
            self.failures = 0;
        }
        self.failures += 1;
        if self.retries.is_some_and(|retries| self.failures > retries) {
            return None;
        }
        self.forgive(worked);
        let stable = worked.is_some_and(|time| time >= STABLE);
        if stable || worked.is_some() && !self.second_chance {
            // The pool restarts, or the network had a hiccup: it may resume the session.
            self.second_chance = true;
            return Some(self.backoff.delay());
        }
        self.second_chance = false;
        self.index = (self.index + 1).checked_rem(self.pools).unwrap_or(0);
        Some(if self.index == 0 { self.backoff.delay() } else { Duration::ZERO })
    }

    /// The present pool asks to connect elsewhere, or again, after `wait`; `worked` as for [`Plan::lost`]. How long to
    /// wait before that, or `None` not to do it: then it counts as lost without having worked.
    pub fn moved(&mut self, worked: Option<Duration>, wait: Duration) -> Option<Duration> {
        if worked.is_some() {
            (self.failures, self.moves) = (0, 0);
        }
        self.forgive(worked);
        self.moves += 1;
        let obey = self.moves <= MOVES && (self.pools == 1 || wait <= LONGEST_WAIT);
        // A pool that moves its miners in circles must not keep them busy with that.
        obey.then(|| wait.max(self.backoff.delay()))
    }

    fn forgive(&mut self, worked: Option<Duration>) {
        if worked.is_some_and(|time| time >= WORTH) {
            self.backoff.reset();
        }
    }

    /// Whether there is a better pool than the present one.
    pub fn can_improve(&self) -> bool {
        self.index > 0
    }

    /// The next better pool to look at; all of them in turn.
    pub fn probe(&mut self) -> usize {
        let index = self.probed.checked_rem(self.index).unwrap_or(0);
        self.probed = index + 1;
        index
    }

    /// A better pool is back and used from now on.
    pub fn improved(&mut self, index: usize) {
        self.index = index;
        self.failures = 0;
        self.second_chance = false;
        self.probed = 0;
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(600));
    const SHORT: Option<Duration> = Some(Duration::from_secs(1));

    fn plan(pools: usize) -> Plan {
        Plan::new(pools, None, Duration::from_secs(30))
    }

    #[test]
    fn pools_are_tried_in_order_with_a_pause_before_the_first() {
        let mut plan = plan(3);
        for _ in 0..3 {
            assert_eq!((plan.index(), plan.lost(None)), (0, Some(Duration::ZERO)));
            assert_eq!((plan.index(), plan.lost(None)), (1, Some(Duration::ZERO)));
            assert_eq!(plan.index(), 2);
            assert!(plan.lost(None).is_some_and(|pause| pause > Duration::ZERO));
        }
    }

    #[test]
    fn pauses_grow_until_something_works() {
        let mut plan = plan(1);
        for _ in 0..12 {
            plan.lost(None);
        }
        assert!(plan.lost(None).is_some_and(|pause| pause >= Duration::from_secs(15)));
        assert!(plan.lost(LONG).is_some_and(|pause| pause <= FIRST_PAUSE));
        for _ in 0..12 {
            plan.lost(None);
        }
        plan.improved(0);
        assert!(plan.lost(None).is_some_and(|pause| pause <= FIRST_PAUSE));
    }

    #[test]
    fn a_pool_that_gives_a_job_and_ends_is_not_hammered() {
        let (mut plan, mut moving) = (plan(1), plan(1));
        for _ in 0..12 {
            plan.lost(SHORT);
            moving.moved(SHORT, Duration::ZERO);
        }
        for pause in [plan.lost(SHORT), moving.moved(SHORT, Duration::ZERO)] {
            assert!(pause.is_some_and(|pause| pause >= Duration::from_secs(15)), "{pause:?}");
        }
        assert!(plan.lost(Some(WORTH)).is_some_and(|pause| pause <= FIRST_PAUSE));
        assert!(moving.moved(Some(WORTH), Duration::ZERO).is_some_and(|pause| pause <= FIRST_PAUSE));
    }

    #[test]
    fn what_worked_gets_a_second_chance_and_no_third() {
        let mut plan = plan(2);
        plan.lost(SHORT);
        assert_eq!(plan.index(), 0);
        plan.lost(SHORT);
        assert_eq!(plan.index(), 1, "it gives jobs and hangs up again and again");
        for worked in [SHORT, LONG, LONG] {
            plan.lost(worked);
            assert_eq!(plan.index(), 1, "it has chances of its own");
        }
        plan.improved(0);
        plan.lost(SHORT);
        assert_eq!(plan.index(), 0, "as has the better one when it is back");
    }

    #[test]
    fn gives_up_after_so_many_tries_in_a_row() {
        let mut plan = Plan::new(2, Some(2), Duration::from_secs(1));
        assert!(plan.lost(None).is_some() && plan.lost(None).is_some());
        assert_eq!(plan.lost(None), None);
        let mut plan = Plan::new(1, Some(1), Duration::from_secs(1));
        assert!((0..9).all(|_| plan.lost(SHORT).is_some()));
        assert!(Plan::new(1, Some(0), Duration::ZERO).lost(LONG).is_none());
    }

    #[test]
    fn a_pool_that_only_sends_us_about_is_left() {
        let mut plan = plan(2);
        for _ in 0..2 {
            assert!((0..MOVES).all(|_| plan.moved(None, Duration::ZERO).is_some()));
            assert_eq!(plan.moved(None, Duration::ZERO), None, "in circles");
            plan.lost(None);
        }
        assert!((0..9).all(|_| plan.moved(SHORT, LONGEST_WAIT) == Some(LONGEST_WAIT)), "it gives work");
        assert_eq!(plan.moved(SHORT, LONGEST_WAIT + FIRST_PAUSE), None, "another one stands by");
        let (mut one, long) = (Plan::new(1, None, FIRST_PAUSE), 10 * LONGEST_WAIT);
        assert_eq!(one.moved(SHORT, long), Some(long));
    }

    #[test]
    fn all_better_pools_are_probed_in_turn() {
        let mut plan = plan(3);
        assert!(!plan.can_improve());
        plan.lost(None);
        plan.lost(None);
        assert!(plan.can_improve());
        assert_eq!([plan.probe(), plan.probe(), plan.probe()], [0, 1, 0]);
        plan.improved(1);
        assert_eq!((plan.index(), plan.probe(), plan.probe()), (1, 0, 0));
    }
}
