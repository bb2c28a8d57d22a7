//! Which lines are printed again. A peer that is away is tried every few seconds, and each try fails alike.

use std::time::{Duration, Instant};

/// The shortest time between two equal lines.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Maximum number of lines to remember. There are a few for each peer.
const MAX_LINES: usize = 64;

/// The lines that were printed lately. A line that is repeated is printed once a minute.
#[derive(Debug, Default)]
pub struct Repeats {
    /// Each line, when it was last printed, and how often it came since then.
    lines: Vec<(String, Instant, u64)>,
}

impl Repeats {
    /// Whether to print this line now. Returns how often the line was left out since it was last printed; `None` leaves it out.
    pub fn print(&mut self, line: &str, now: Instant) -> Option<u64> {
        if let Some((_, printed, omitted)) = self.lines.iter_mut().find(|(known, ..)| known == line) {
            if now.saturating_duration_since(*printed) < AGAIN_AFTER {
                *omitted += 1;
                return None;
            }
            *printed = now;
            return Some(std::mem::take(omitted));
        }
        if self.lines.len() >= MAX_LINES {
            self.lines.remove(0);
        }
        self.lines.push((line.to_owned(), now, 0));
        Some(0)
    }

    /// Forgets all lines, because a peer works: what fails after that is news.
    pub fn clear(&mut self) {
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_line_is_printed_once_a_minute_and_another_one_at_once() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        let mut printed = 0;
        for second in 0..=60 {
            printed += u64::from(repeats.print("refused", start + Duration::from_secs(second)).is_some());
        }
        assert_eq!(printed, 2);
        assert_eq!(repeats.print("unknown user", start), Some(0));
        let now = start + Duration::from_secs(119);
        assert_eq!(repeats.print("refused", now), None);
        assert_eq!(repeats.print("refused", now + Duration::from_secs(1)), Some(1));
        repeats.clear();
        assert_eq!(repeats.print("refused", now), Some(0));
    }

    #[test]
    fn the_memory_for_lines_is_limited() {
        let now = Instant::now();
        let mut repeats = Repeats::default();
        for line in 0..10 * MAX_LINES {
            assert_eq!(repeats.print(&line.to_string(), now), Some(0));
        }
        assert_eq!(repeats.lines.len(), MAX_LINES);
    }
}
