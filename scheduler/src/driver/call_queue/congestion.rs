//! Limits the calls in flight to an overloaded master.
//!
//! A master, or a proxy in front of it, that cannot accept more calls for now answers 503 or 429. Then the window, which is the
//! maximum number of calls in flight, is halved, and nothing is sent for a pause that grows. Each time a full window of calls has
//! been accepted, the window grows again.

use std::time::{Duration, Instant};

/// The shortest and the longest pause. After a refusal, no call is sent during a pause. Each pause is twice as long as the
/// previous one, until the master has accepted a full window of calls.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// If the master has refused no call for this time, it counts as no longer overloaded, even if calls still wait to be sent.
const CALM: Duration = Duration::from_secs(10);
/// The minimum time between two messages that tell the user that the master is overloaded.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The window (the maximum number of calls in flight), and the state that determines the size of the window.
#[derive(Debug)]
pub(super) struct CongestionWindow {
    most: usize,
    /// Maximum number of calls in flight at present; `most` is its upper limit.
    window: usize,
    /// The number of calls that the master accepted since `window` last changed. `window` grows when the number reaches `window`.
    taken: usize,
    pause: Duration,
    /// When the current pause ends; `None` if calls may be sent.
    resume: Option<Instant>,
    /// When the master last refused a call; `None` if it is not overloaded.
    refused: Option<Instant>,
    /// When the current series of refusals began. An accepted call ends the series.
    refused_since: Option<Instant>,
    /// When the user was last informed that the master is overloaded. The next such message follows after [`TELL_EVERY`] at the
    /// earliest.
    told: Option<Instant>,
    /// Whether the user has been informed of the current overload, and so must be informed of its end.
    known: bool,
}

impl CongestionWindow {
    /// A window of at most `most` calls.
    pub fn new(most: usize) -> Self {
        CongestionWindow {
            most,
            window: most,
            taken: 0,
            pause: PAUSE.0,
            resume: None,
            refused: None,
            refused_since: None,
            told: None,
            known: false,
        }
    }

    /// The number of calls that may be sent now, in addition to those in flight.
    pub fn room(&mut self, in_flight: usize, now: Instant) -> usize {
        if self.resume.is_some_and(|at| now < at) {
            return 0;
        }
        self.resume = None;
        self.window.saturating_sub(in_flight)
    }

    /// When the pause ends, if there is one.
    pub fn resume(&self) -> Option<Instant> {
        self.resume
    }

    /// Maximum number of calls in flight.
    pub fn window(&self) -> usize {
        self.window
    }

    /// How long all calls have been refused.
    pub fn refused_for(&self, now: Instant) -> Duration {
        self.refused_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Registers that the master has accepted a call. `waiting` is the number of calls that still wait to be sent. Returns
    /// whether to tell the user that the master has recovered.
    pub fn taken(&mut self, waiting: usize, now: Instant) -> bool {
        self.refused_since = None;
        self.grow();
        let Some(refused) = self.refused else { return false };
        let caught_up = waiting == 0 && self.resume.is_none();
        if !caught_up && now.saturating_duration_since(refused) < CALM {
            return false;
        }
        self.refused = None;
        std::mem::take(&mut self.known)
    }

    fn grow(&mut self) {
        if self.window == self.most {
            return;
        }
        self.taken += 1;
        if self.taken >= self.window {
            self.taken = 0;
            self.pause = PAUSE.0;
            self.window = (self.window + 1 + self.window / 8).min(self.most);
        }
    }

    /// Registers a refused call. Returns whether to tell the user that the master is overloaded.
    pub fn refused(&mut self, now: Instant) -> bool {
        // The master usually also refuses the calls that were in flight together with the first refused one. All these refusals
        // halve the window only once.
        if self.resume.is_none() {
            self.window = (self.window / 2).max(1);
            self.taken = 0;
            self.resume = Some(now + self.pause);
            self.pause = (self.pause * 2).min(PAUSE.1);
        }
        self.refused = Some(now);
        self.refused_since.get_or_insert(now);
        let tell = !self.known && self.told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
        if tell {
            (self.told, self.known) = (Some(now), true);
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 256;

    #[test]
    fn without_refusals_there_are_no_pauses_and_the_window_is_full() {
        let (mut window, now) = (CongestionWindow::new(MOST), Instant::now());
        assert_eq!((window.room(0, now), window.room(200, now), window.room(MOST + 1, now)), (MOST, 56, 0));
        assert!(!window.taken(1000, now) && window.resume().is_none());
    }

    #[test]
    fn refusals_halve_the_window_once_a_round_and_the_pauses_grow() {
        let (mut window, mut now) = (CongestionWindow::new(MOST), Instant::now());
        let mut pauses = Vec::new();
        for round in 1..=12 {
            for _ in 0..5 {
                window.refused(now);
            }
            assert_eq!(window.window(), (MOST >> round).max(1));
            let resume = window.resume().unwrap();
            pauses.push(resume.duration_since(now).as_millis());
            assert_eq!(window.room(0, resume - Duration::from_millis(1)), 0);
            now = resume;
            assert_eq!(window.room(0, now), window.window());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000]);
        assert!(window.refused_for(now) > Duration::from_secs(30));
        window.taken(1, now);
        assert_eq!(window.refused_for(now), Duration::ZERO);
    }

    #[test]
    fn accepted_calls_open_the_window_again_up_to_its_limit() {
        let (mut window, mut now) = (CongestionWindow::new(MOST), Instant::now());
        for _ in 0..20 {
            window.refused(now);
            now = window.resume().unwrap();
            window.room(0, now);
        }
        let mut sizes = vec![window.window()];
        for _ in 0..10_000 {
            window.taken(0, now);
            if sizes.last() != Some(&window.window()) {
                sizes.push(window.window());
            }
        }
        assert_eq!((sizes[..5].to_vec(), sizes.last()), (vec![1, 2, 3, 4, 5], Some(&MOST)));
        window.refused(now);
        assert_eq!(window.resume(), Some(now + PAUSE.0), "the first pause is the shortest again");
    }

    #[test]
    fn the_user_is_told_once_of_the_overload_and_once_of_its_end() {
        let (mut window, now) = (CongestionWindow::new(MOST), Instant::now());
        assert_eq!((window.refused(now), window.refused(now)), (true, false));
        let later = window.resume().unwrap();
        window.room(0, later);
        assert!(!window.taken(100, later), "others wait");
        assert!(window.taken(100, later + CALM), "it has refused none for some time");
        assert!(!window.taken(0, later + CALM));
        // The next overload begins so soon after the last message that the user is not told.
        let again = later + CALM;
        assert!(!window.refused(again));
        window.room(0, window.resume().unwrap());
        assert!(!window.taken(0, again + Duration::from_secs(1)));
        let much_later = now + TELL_EVERY;
        assert!(window.refused(much_later));
        window.room(0, window.resume().unwrap());
        assert!(window.taken(0, much_later + Duration::from_secs(1)), "nothing waits any more");
    }
}
