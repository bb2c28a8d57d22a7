//! A writer that limits the size of a log file. Without a limit, the file could grow as long as the program runs: stderr in a
//! Mesos sandbox is rotated only if the cluster's operator has configured rotation.
//!
//! The writer lets a burst through and then limits the rate, so that one noisy error does not use up the space for later
//! ones. It counts the lines that it drops, and writes the count before the next line.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tracing::Level;

use crate::output::rendered_notice;

/// Size of the allowance for bursts, in bytes. A line that exceeds what is left of the allowance is dropped.
const BURST: u64 = 256 << 10;
/// Time in which a used-up allowance for bursts fills up again.
const REFILL: Duration = Duration::from_secs(30 * 60);
/// Maximum size of a task's log file in bytes. When the file is full, a notice is written as its last line.
const TOTAL: u64 = 32 << 20;

/// The decision about one line.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Write the line; `dropped` lines were dropped just before it.
    Write { dropped: u64 },
    /// Drop the line.
    Drop,
    /// The file has reached its maximum size: write a final notice instead of the line.
    End,
}

/// The bytes that may still be written.
#[derive(Debug)]
struct Budget {
    /// Bytes that may still be written before the file reaches [`TOTAL`].
    total: u64,
    /// Bytes left of the allowance for bursts.
    burst: u64,
    refilled: Instant,
    /// The number of lines dropped since the last written line.
    dropped: u64,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { total: TOTAL, burst: BURST, refilled: now, dropped: 0 }
    }

    fn spend(&mut self, bytes: u64, now: Instant) -> Decision {
        self.refill(now);
        if self.total == 0 || bytes > self.burst {
            self.dropped += 1;
            return Decision::Drop;
        }
        if bytes > self.total {
            self.total = 0;
            return Decision::End;
        }
        self.total -= bytes;
        self.burst -= bytes;
        Decision::Write { dropped: std::mem::take(&mut self.dropped) }
    }

    fn refill(&mut self, now: Instant) {
        let share = now.duration_since(self.refilled).as_secs_f64() / REFILL.as_secs_f64();
        let more = (share * BURST as f64) as u64;
        // If the time is too short to allow one more byte, `refilled` stays unchanged, so that the next call counts this time,
        // too.
        if more > 0 {
            self.burst = self.burst.saturating_add(more).min(BURST);
            self.refilled = now;
        }
    }
}

/// Writes whole lines, within the limits. Each call of `write` must pass one line.
#[derive(Debug)]
pub(super) struct BoundedWriter<W> {
    budget: Budget,
    writer: W,
}

impl<W: Write> BoundedWriter<W> {
    pub fn new(writer: W) -> Self {
        Self { budget: Budget::new(Instant::now()), writer }
    }
}

impl<W: Write> Write for BoundedWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let writer = &mut self.writer;
        match self.budget.spend(line.len() as u64, Instant::now()) {
            Decision::Drop => {}
            Decision::End => {
                let text = format!("the log ends here: it has reached its bound of {} MiB", TOTAL >> 20);
                writer.write_all(rendered_notice(Level::WARN, &text).as_bytes())?;
            }
            Decision::Write { dropped } => {
                if dropped > 0 {
                    let text = format!("{dropped} lines are left out: they came too fast");
                    writer.write_all(rendered_notice(Level::WARN, &text).as_bytes())?;
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
    fn a_burst_passes_then_the_rate_limits_and_dropped_lines_are_counted() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut written = 0;
        while budget.spend(1024, start) == (Decision::Write { dropped: 0 }) {
            written += 1;
        }
        assert_eq!(written, 256);
        assert_eq!(budget.spend(1024, start + REFILL / 1000), Decision::Drop);
        assert_eq!(budget.spend(1024, start + REFILL / 128), Decision::Write { dropped: 2 });
        assert_eq!(budget.spend(1024, start + REFILL / 64), Decision::Write { dropped: 0 });
    }

    /// A year of the same error, every ten seconds.
    #[test]
    fn the_total_is_bounded_and_ends_with_one_notice() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let (mut bytes, mut ends) = (0, 0);
        for second in 0..365 * 24 * 360 {
            match budget.spend(100, start + Duration::from_secs(second * 10)) {
                Decision::Write { .. } => bytes += 100,
                Decision::End => ends += 1,
                Decision::Drop => {}
            }
        }
        assert!(bytes <= TOTAL && bytes > TOTAL - 200, "{bytes}");
        assert_eq!(ends, 1);
    }

    #[test]
    fn lines_are_written_whole_or_not_at_all() {
        let mut writer = BoundedWriter::new(Vec::new());
        let line = format!("{}\n", "x".repeat(99));
        for _ in 0..10_000 {
            writer.write_all(line.as_bytes()).unwrap();
        }
        let text = String::from_utf8(writer.writer).unwrap();
        // On a slow machine, the writer's allowance may grow during the test. Then the writer reports how many lines it dropped,
        // and writes further lines.
        assert!(text.len() as u64 >= BURST - 100);
        assert!(
            text.lines()
                .all(|text| text == line.trim_end()
                    || text.ends_with(" lines are left out: they came too fast")),
            "whole lines"
        );
        assert!(writer.budget.dropped > 0);
    }
}
