//! Decides when a node's plain calls have become slow.

use std::time::Duration;

/// A plain call usually takes a millisecond, and fractions of a second while the node checks a block.
const SLOW: Duration = Duration::from_millis(500);
/// How many calls in a row must be slow, or quick, before it is said.
const IN_A_ROW: u32 = 4;

/// Whether the plain calls to a node are slow.
#[derive(Debug, Default)]
pub struct Slowness {
    is_slow: bool,
    /// How many calls in a row were otherwise than `is_slow`.
    otherwise: u32,
}

impl Slowness {
    /// Notes how long a call took; `refused` is whether the node was too busy to answer it. Returns how long calls take if they
    /// have become slow, or `Some(None)` if they are quick again.
    pub fn note(&mut self, took: Duration, refused: bool) -> Option<Option<Duration>> {
        let is_slow = refused || took >= SLOW;
        self.otherwise = if is_slow == self.is_slow { 0 } else { self.otherwise + 1 };
        if self.otherwise < IN_A_ROW {
            return None;
        }
        (self.is_slow, self.otherwise) = (is_slow, 0);
        Some(is_slow.then_some(took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_slow_calls_are_not_worth_a_word() {
        let mut slowness = Slowness::default();
        let (quick, slow) = (Duration::from_millis(2), Duration::from_secs(3));
        let mut note = |took| slowness.note(took, false);
        for took in [quick, slow, slow, slow, quick, slow, slow, slow] {
            assert_eq!(note(took), None);
        }
        assert_eq!(note(slow), Some(Some(slow)));
        for took in [slow, quick, quick, quick, slow, quick, quick, quick] {
            assert_eq!(note(took), None);
        }
        assert_eq!(note(quick), Some(None));
        assert_eq!(note(quick), None);
    }

    #[test]
    fn refused_calls_are_slow() {
        let mut slowness = Slowness::default();
        let mut note = || slowness.note(Duration::from_millis(1), true);
        assert_eq!([note(), note(), note(), note()].map(|said| said.is_some()), [false, false, false, true]);
    }
}
