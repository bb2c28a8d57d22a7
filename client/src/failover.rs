//! Failover: which pool to try next, and when. Deterministic except for the jitter of the pauses.

use std::time::Duration;

use net::Backoff;

/// The first pause before the pools are tried again. Each further pause is twice as long, up to the longest pause that is
/// configured.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// After a connection that provided work for at least this long, pauses start with [`FIRST_PAUSE`] again. So a pool that
/// repeatedly sends a job and soon hangs up is tried less and less often.
const RESETS_PAUSE: Duration = Duration::from_secs(10);
/// If a pool's connection provided work for at least this long before it was lost, the client tries this pool again before the
/// next one, however often that happens. If the connection provided work for less time, the client tries the pool only once more.
const STABLE: Duration = Duration::from_secs(60);

/// Maximum number of redirects in a row that the client follows without receiving work. Load balancers need up to two; the third
/// is a reserve.
const MAX_REDIRECTS: u64 = 3;
/// The longest wait that a redirect may ask for. A redirect that asks for a longer wait is refused if another pool is configured.
const MAX_REDIRECT_WAIT: Duration = Duration::from_secs(30);

/// The state of failover among pools 0, 1, 2 … in order of preference.
#[derive(Debug)]
pub(crate) struct Failover {
    pools: usize,
    index: usize,
    /// The number of failures since a pool last provided work. Each failed attempt and each lost connection is a failure. At more
    /// than `retries` failures, the client stops trying.
    failures: u64,
    retries: Option<u64>,
    backoff: Backoff,
    /// Whether the current pool was lost after it provided work, and is therefore tried once more before the next pool.
    second_chance: bool,
    /// The number of redirects in a row that the current pool has asked for without providing any work.
    redirects: u64,
    next_probe: usize,
}

impl Failover {
    pub fn new(pools: usize, retries: Option<u64>, retry_pause: Duration) -> Self {
        let backoff = Backoff::new(FIRST_PAUSE, retry_pause);
        Failover {
            pools,
            index: 0,
            failures: 0,
            retries,
            backoff,
            second_chance: false,
            redirects: 0,
            next_probe: 0,
        }
    }

    /// The index of the pool to use.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The current pool was lost. `worked` is how long it had provided work, `None` if it had provided none. Returns the pause
    /// before the next attempt, perhaps to another pool, or `None` if no retries are left.
    pub fn on_lost(&mut self, worked: Option<Duration>) -> Option<Duration> {
        self.redirects = 0;
        if worked.is_some() {
            self.failures = 0;
        }
        self.failures += 1;
        if self.retries.is_some_and(|retries| self.failures > retries) {
            return None;
        }
        self.reset_backoff_after(worked);
        let stable = worked.is_some_and(|time| time >= STABLE);
        if stable || worked.is_some() && !self.second_chance {
            // If the pool is restarting or the network was interrupted, the session may be resumed.
            self.second_chance = true;
            return Some(self.backoff.delay());
        }
        self.second_chance = false;
        self.index = (self.index + 1).checked_rem(self.pools).unwrap_or(0);
        Some(if self.index == 0 { self.backoff.delay() } else { Duration::ZERO })
    }

    /// The current pool asks us to reconnect, perhaps to another address, after `wait`. `worked` is as in [`Failover::on_lost`].
    /// Returns the pause before the next connection, or `None` to refuse the redirect. After a refusal, the caller must call
    /// [`Failover::on_lost`] with `None`.
    pub fn on_redirect(&mut self, worked: Option<Duration>, wait: Duration) -> Option<Duration> {
        if worked.is_some() {
            (self.failures, self.redirects) = (0, 0);
        }
        self.reset_backoff_after(worked);
        self.redirects += 1;
        let follow = self.redirects <= MAX_REDIRECTS && (self.pools == 1 || wait <= MAX_REDIRECT_WAIT);
        // The backoff also slows down redirect loops.
        follow.then(|| wait.max(self.backoff.delay()))
    }

    /// The current pool has hung up on a request that the next connection leaves out. `worked` is as in [`Failover::on_lost`].
    /// Returns the pause before that connection, which is to the same pool, or `None` if no retries are left.
    pub fn on_dialect(&mut self, worked: Option<Duration>) -> Option<Duration> {
        if worked.is_some() {
            self.failures = 0;
        }
        self.failures += 1;
        self.reset_backoff_after(worked);
        self.retries.is_none_or(|retries| self.failures <= retries).then(|| self.backoff.delay())
    }

    /// The client leaves the current pool for this one, because the current one is of no use.
    pub fn move_to(&mut self, index: usize) {
        (self.index, self.second_chance, self.redirects) = (index, false, 0);
    }

    fn reset_backoff_after(&mut self, worked: Option<Duration>) {
        if worked.is_some_and(|time| time >= RESETS_PAUSE) {
            self.backoff.reset();
        }
    }

    /// Whether a pool is preferred to the current one.
    pub fn has_better_pool(&self) -> bool {
        self.index > 0
    }

    /// The index of the better pool to probe next. The better pools take turns.
    pub fn next_probe(&mut self) -> usize {
        let index = self.next_probe.checked_rem(self.index).unwrap_or(0);
        self.next_probe = index + 1;
        index
    }

    /// The client has switched to a better pool that has recovered.
    pub fn on_switch(&mut self, index: usize) {
        self.index = index;
        self.failures = 0;
        self.second_chance = false;
        self.next_probe = 0;
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(600));
    const SHORT: Option<Duration> = Some(Duration::from_secs(1));

    fn failover(pools: usize) -> Failover {
        Failover::new(pools, None, Duration::from_secs(30))
    }

    #[test]
    fn pools_are_tried_in_order_with_a_pause_before_the_first() {
        let mut failover = failover(3);
        for _ in 0..3 {
            assert_eq!((failover.index(), failover.on_lost(None)), (0, Some(Duration::ZERO)));
            assert_eq!((failover.index(), failover.on_lost(None)), (1, Some(Duration::ZERO)));
            assert_eq!(failover.index(), 2);
            assert!(failover.on_lost(None).is_some_and(|pause| pause > Duration::ZERO));
        }
    }

    #[test]
    fn pauses_grow_until_a_pool_gives_work() {
        let mut failover = failover(1);
        for _ in 0..12 {
            failover.on_lost(None);
        }
        assert!(failover.on_lost(None).is_some_and(|pause| pause >= Duration::from_secs(15)));
        assert!(failover.on_lost(LONG).is_some_and(|pause| pause <= FIRST_PAUSE));
        for _ in 0..12 {
            failover.on_lost(None);
        }
        failover.on_switch(0);
        assert!(failover.on_lost(None).is_some_and(|pause| pause <= FIRST_PAUSE));
    }

    #[test]
    fn a_pool_that_gives_a_job_and_hangs_up_is_tried_less_and_less_often() {
        let (mut failover, mut moving) = (failover(1), failover(1));
        for _ in 0..12 {
            failover.on_lost(SHORT);
            moving.on_redirect(SHORT, Duration::ZERO);
        }
        for pause in [failover.on_lost(SHORT), moving.on_redirect(SHORT, Duration::ZERO)] {
            assert!(pause.is_some_and(|pause| pause >= Duration::from_secs(15)), "{pause:?}");
        }
        assert!(failover.on_lost(Some(RESETS_PAUSE)).is_some_and(|pause| pause <= FIRST_PAUSE));
        assert!(
            moving.on_redirect(Some(RESETS_PAUSE), Duration::ZERO).is_some_and(|pause| pause <= FIRST_PAUSE)
        );
    }

    #[test]
    fn a_pool_that_gave_work_gets_a_second_chance_but_no_third() {
        let mut failover = failover(2);
        failover.on_lost(SHORT);
        assert_eq!(failover.index(), 0);
        failover.on_lost(SHORT);
        assert_eq!(failover.index(), 1, "it gives jobs and hangs up repeatedly");
        for worked in [SHORT, LONG, LONG] {
            failover.on_lost(worked);
            assert_eq!(failover.index(), 1, "each pool has its own second chance");
        }
        failover.on_switch(0);
        failover.on_lost(SHORT);
        assert_eq!(failover.index(), 0, "so has the better pool after the switch");
    }

    #[test]
    fn gives_up_after_the_configured_number_of_retries() {
        let mut failover = Failover::new(2, Some(2), Duration::from_secs(1));
        assert!(failover.on_lost(None).is_some() && failover.on_lost(None).is_some());
        assert_eq!(failover.on_lost(None), None);
        let mut failover = Failover::new(1, Some(1), Duration::from_secs(1));
        assert!((0..9).all(|_| failover.on_lost(SHORT).is_some()));
        assert!(Failover::new(1, Some(0), Duration::ZERO).on_lost(LONG).is_none());
    }

    #[test]
    fn a_pool_that_only_redirects_us_is_left() {
        let mut failover = failover(2);
        for _ in 0..2 {
            assert!((0..MAX_REDIRECTS).all(|_| failover.on_redirect(None, Duration::ZERO).is_some()));
            assert_eq!(failover.on_redirect(None, Duration::ZERO), None, "a redirect loop");
            failover.on_lost(None);
        }
        assert!(
            (0..9).all(|_| failover.on_redirect(SHORT, MAX_REDIRECT_WAIT) == Some(MAX_REDIRECT_WAIT)),
            "it gives work"
        );
        assert_eq!(
            failover.on_redirect(SHORT, MAX_REDIRECT_WAIT + FIRST_PAUSE),
            None,
            "there is another pool"
        );
        let (mut one, long) = (Failover::new(1, None, FIRST_PAUSE), 10 * MAX_REDIRECT_WAIT);
        assert_eq!(one.on_redirect(SHORT, long), Some(long));
    }

    #[test]
    fn all_better_pools_are_probed_in_turn() {
        let mut failover = failover(3);
        assert!(!failover.has_better_pool());
        failover.on_lost(None);
        failover.on_lost(None);
        assert!(failover.has_better_pool());
        assert_eq!([failover.next_probe(), failover.next_probe(), failover.next_probe()], [0, 1, 0]);
        failover.on_switch(1);
        assert_eq!((failover.index(), failover.next_probe(), failover.next_probe()), (1, 0, 0));
    }
}
