//! Logs for a file that grows for as long as the program runs, such as stderr in a Mesos sandbox, which Mesos rotates
//! only if its operator has set that up.
//!
//! A burst is let through, then what a rate allows, so that the first trouble of a night does not hide the next one;
//! and in all no more than a bound. What is left out is counted, and said with the next line that is written.

use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Bytes that may come at once.
const BURST: u64 = 256 << 10;
/// The time after which a burst may come again.
const REFILL: Duration = Duration::from_secs(30 * 60);
/// Bytes in all. A task that is renewed starts with a new file.
const TOTAL: u64 = 32 << 20;

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is written, after so many that were left out.
    Written { left_out: u64 },
    /// It is left out.
    LeftOut,
    /// The last line is written in its place.
    End,
}

/// How much may be written.
#[derive(Debug)]
struct Budget {
    /// Bytes left in all.
    total: u64,
    /// Bytes left at this time.
    now: u64,
    filled: Instant,
    /// Lines since the last one that was written.
    left_out: u64,
}

impl Budget {
    fn new(now: Instant) -> Budget {
        Budget { total: TOTAL, now: BURST, filled: now, left_out: 0 }
    }

    fn spend(&mut self, bytes: u64, now: Instant) -> Fate {
        self.refill(now);
        if self.total == 0 || bytes > self.now {
            self.left_out += 1;
            return Fate::LeftOut;
        }
        if bytes > self.total {
            self.total = 0;
            return Fate::End;
        }
        self.total -= bytes;
        self.now -= bytes;
        Fate::Written { left_out: std::mem::take(&mut self.left_out) }
    }

    fn refill(&mut self, now: Instant) {
        let share = now.duration_since(self.filled).as_secs_f64() / REFILL.as_secs_f64();
        let more = (share * BURST as f64) as u64;
        // Small times add nothing: they go on to count.
        if more > 0 {
            self.now = self.now.saturating_add(more).min(BURST);
            self.filled = now;
        }
    }
}

/// A writer of whole lines.
#[derive(Debug)]
pub(super) struct Bounded<W> {
    budget: Budget,
    writer: W,
}

impl<W: Write> Bounded<W> {
    pub fn new(writer: W) -> Bounded<W> {
        Bounded { budget: Budget::new(Instant::now()), writer }
    }
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let writer = &mut self.writer;
        match self.budget.spend(line.len() as u64, Instant::now()) {
            Fate::LeftOut => {}
            Fate::End => {
                writeln!(writer, "the log ends here: it has reached its bound of {} MiB", TOTAL >> 20)?
            }
            Fate::Written { left_out } => {
                if left_out > 0 {
                    writeln!(writer, "({left_out} lines are left out: they came too fast)")?;
                }
                writer.write_all(line)?;
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_rate_and_what_is_left_out_is_counted() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut written = 0;
        while budget.spend(1024, start) == (Fate::Written { left_out: 0 }) {
            written += 1;
        }
        assert_eq!(written, 256);
        assert_eq!(budget.spend(1024, start + REFILL / 1000), Fate::LeftOut);
        assert_eq!(budget.spend(1024, start + REFILL / 128), Fate::Written { left_out: 2 });
        assert_eq!(budget.spend(1024, start + REFILL / 64), Fate::Written { left_out: 0 });
    }

    /// A year of the same trouble, ten times a second.
    #[test]
    fn the_whole_is_bounded_and_says_so_once() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let (mut bytes, mut ends) = (0, 0);
        for second in 0..365 * 24 * 360 {
            match budget.spend(100, start + Duration::from_secs(second * 10)) {
                Fate::Written { .. } => bytes += 100,
                Fate::End => ends += 1,
                Fate::LeftOut => {}
            }
        }
        assert!(bytes <= TOTAL && bytes > TOTAL - 200, "{bytes}");
        assert_eq!(ends, 1);
    }

    #[test]
    fn lines_are_written_whole_or_not_at_all() {
        let mut writer = Bounded::new(Vec::new());
        let line = format!("{}\n", "x".repeat(99));
        for _ in 0..10_000 {
            writer.write_all(line.as_bytes()).unwrap();
        }
        let text = String::from_utf8(writer.writer).unwrap();
        // A slow machine may have been given some more by the rate, after a line that says what was left out.
        assert!(text.len() as u64 >= BURST - 100);
        assert!(text.lines().all(|text| text == line.trim_end() || text.starts_with('(')), "whole lines");
        assert!(writer.budget.left_out > 0);
    }
}
