//! Limits the lines about events that may come by the thousand, such as miners that connect.

use std::time::{Duration, Instant};

/// Maximum number of lines in a period.
const LINES: u32 = 3;
/// The first length of a period.
const SHORTEST: Duration = Duration::from_secs(1);
/// The greatest length of a period. While more events come than there may be lines, each period is twice as long as the last one,
/// so that a log of limited size is not filled.
const LONGEST: Duration = Duration::from_secs(60);

/// Decides which events get a line of their own.
#[derive(Debug)]
pub struct LineLimit {
    longest: Duration,
    period: Duration,
    ends: Instant,
    lines: u32,
    /// Whether an event of this period got no line.
    overflowed: bool,
    /// The number of events without a line since [`LineLimit::take_omitted`].
    omitted: u64,
}

impl LineLimit {
    /// No events yet.
    pub fn new(now: Instant) -> Self {
        LineLimit::with_longest(LONGEST, now)
    }

    /// No events yet. However many events come, there are lines again after this time.
    pub fn with_longest(longest: Duration, now: Instant) -> Self {
        LineLimit { longest, period: SHORTEST, ends: now, lines: 0, overflowed: false, omitted: 0 }
    }

    /// An event happens. Returns whether it gets a line.
    pub fn admit(&mut self, now: Instant) -> bool {
        if self.is_over(now) {
            let still = now.saturating_duration_since(self.ends) < self.period;
            let longer = self.overflowed && still;
            self.period = if longer { (self.period * 2).min(self.longest) } else { SHORTEST };
            (self.ends, self.lines, self.overflowed) = (now + self.period, 0, false);
        }
        self.lines += 1;
        let admitted = self.lines <= LINES;
        self.overflowed |= !admitted;
        self.omitted += u64::from(!admitted);
        admitted
    }

    /// The number of events that got no line since the last call.
    pub fn take_omitted(&mut self) -> u64 {
        std::mem::take(&mut self.omitted)
    }

    /// When the period is over.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Whether the period is over, so that the events without a line can be summed up.
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of lines if an event happens every 10 ms for this time.
    fn lines(limit: &mut LineLimit, from: Instant, seconds: u64) -> usize {
        let events = (0..seconds * 100).map(|step| from + Duration::from_millis(10 * step));
        events.filter(|at| limit.admit(*at)).count()
    }

    #[test]
    fn a_few_events_get_a_line_each() {
        let now = Instant::now();
        let mut limit = LineLimit::new(now);
        for second in 0..100 {
            assert!(limit.admit(now + Duration::from_secs(second)), "{second}");
        }
    }

    #[test]
    fn a_burst_gets_a_few_lines_and_a_long_one_few_lines_a_minute() {
        let now = Instant::now();
        let mut limit = LineLimit::new(now);
        assert_eq!(lines(&mut limit, now, 1), 3);
        assert!(limit.is_over(now + Duration::from_secs(1)));
        // Periods of 2, 4, 8, 16, 32 and 60 s follow.
        let lines = lines(&mut limit, now + Duration::from_secs(1), 600);
        assert!((3 * 14..=3 * 16).contains(&lines), "{lines} lines in ten minutes");
        let events = 100 + 600 * 100;
        assert_eq!(limit.take_omitted(), events - 3 - lines as u64);
        assert_eq!(limit.take_omitted(), 0);
        // After a pause, periods are short again.
        let later = now + Duration::from_secs(2_000);
        assert!(limit.admit(later) && limit.is_over(later + SHORTEST));
    }
}
