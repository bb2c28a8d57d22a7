//! How fast calls are sent to a master that has too much to do.
//!
//! A master, or what is in front of it, that takes no more calls for now says so (503, 429). Then half as many calls are
//! on the way at once, after a pause that grows; each time that as many were taken, there are some more.

use std::time::{Duration, Instant};

/// First and longest pause.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// After so long without a refusal the master is no longer slow.
const CALM: Duration = Duration::from_secs(10);
/// The user is told at most so often that it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// See above.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// Calls on the way at most.
    window: usize,
    /// Calls that were taken since the window last changed.
    taken: usize,
    pause: Duration,
    /// When calls are sent again.
    resume: Option<Instant>,
    /// The last refusal, until the master is no longer slow.
    refused: Option<Instant>,
    /// The first refusal since a call was taken.
    refused_since: Option<Instant>,
    told: Option<Instant>,
    /// Whether the user knows that the master is slow.
    known: bool,
}

impl Pace {
    /// At most so many calls are on the way at once.
    pub fn new(most: usize) -> Self {
        Pace {
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

    /// How many more may be sent when so many are on the way.
    pub fn room(&mut self, on_the_way: usize, now: Instant) -> usize {
        if self.resume.is_some_and(|at| now < at) {
            return 0;
        }
        self.resume = None;
        self.window.saturating_sub(on_the_way)
    }

    /// When a pause ends, if there is one.
    pub fn resume(&self) -> Option<Instant> {
        self.resume
    }

    /// How many calls may be on the way.
    pub fn window(&self) -> usize {
        self.window
    }

    /// For how long all calls were refused.
    pub fn refused_for(&self, now: Instant) -> Duration {
        self.refused_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// A call was taken; whether that is worth telling the user, who knows that the master is slow. `waiting` others
    /// are to be sent.
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

    /// A call was refused for now; whether that is worth telling the user.
    pub fn refused(&mut self, now: Instant) -> bool {
        // Of the calls that were on the way with the first one, some more are refused: that is no news.
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
    fn without_refusals_there_are_no_pauses_and_all_may_be_on_the_way() {
        let (mut pace, now) = (Pace::new(MOST), Instant::now());
        assert_eq!((pace.room(0, now), pace.room(200, now), pace.room(MOST + 1, now)), (MOST, 56, 0));
        assert!(!pace.taken(1000, now) && pace.resume().is_none());
    }

    #[test]
    fn refusals_halve_the_window_once_a_round_and_the_pauses_grow() {
        let (mut pace, mut now) = (Pace::new(MOST), Instant::now());
        let mut pauses = Vec::new();
        for round in 1..=12 {
            for _ in 0..5 {
                pace.refused(now);
            }
            assert_eq!(pace.window(), (MOST >> round).max(1));
            let resume = pace.resume().unwrap();
            pauses.push(resume.duration_since(now).as_millis());
            assert_eq!(pace.room(0, resume - Duration::from_millis(1)), 0);
            now = resume;
            assert_eq!(pace.room(0, now), pace.window());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000]);
        assert!(pace.refused_for(now) > Duration::from_secs(30));
        pace.taken(1, now);
        assert_eq!(pace.refused_for(now), Duration::ZERO);
    }

    #[test]
    fn what_is_taken_opens_the_window_again_also_after_it_is_over() {
        let (mut pace, mut now) = (Pace::new(MOST), Instant::now());
        for _ in 0..20 {
            pace.refused(now);
            now = pace.resume().unwrap();
            pace.room(0, now);
        }
        let mut windows = vec![pace.window()];
        for _ in 0..10_000 {
            pace.taken(0, now);
            if windows.last() != Some(&pace.window()) {
                windows.push(pace.window());
            }
        }
        assert_eq!((windows[..5].to_vec(), windows.last()), (vec![1, 2, 3, 4, 5], Some(&MOST)));
        pace.refused(now);
        assert_eq!(pace.resume(), Some(now + PAUSE.0), "the first pause is the shortest again");
    }

    #[test]
    fn the_user_hears_of_it_once_and_of_its_end_once() {
        let (mut pace, now) = (Pace::new(MOST), Instant::now());
        assert_eq!((pace.refused(now), pace.refused(now)), (true, false));
        let later = pace.resume().unwrap();
        pace.room(0, later);
        assert!(!pace.taken(100, later), "others wait");
        assert!(pace.taken(100, later + CALM), "it has refused none for some time");
        assert!(!pace.taken(0, later + CALM));
        // Soon again: the user has heard enough for now.
        let again = later + CALM;
        assert!(!pace.refused(again));
        pace.room(0, pace.resume().unwrap());
        assert!(!pace.taken(0, again + Duration::from_secs(1)));
        let much_later = now + TELL_EVERY;
        assert!(pace.refused(much_later));
        pace.room(0, pace.resume().unwrap());
        assert!(pace.taken(0, much_later + Duration::from_secs(1)), "nothing waits any more");
    }
}
