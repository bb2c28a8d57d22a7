//! Decides when a node's plain calls have become slow, and when the node does not answer at all.

use std::time::Duration;

use text::InWords;

use crate::rpc::NodeUrl;

/// A plain call usually takes a millisecond, and fractions of a second while the node checks a block.
const SLOW: Duration = Duration::from_millis(500);
/// How many calls in a row must be slow, or quick, before it is said.
const IN_A_ROW: u32 = 4;
/// A plain call that has no answer after this time is slow at once.
pub const OVERDUE: Duration = Duration::from_secs(5);
/// A node that has answered nothing for this time is silent.
const SILENT: Duration = Duration::from_secs(10);

/// How a node's answers are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Plain calls take this time.
    Slow(Duration),
    /// A plain call has no answer yet after this time.
    Overdue(Duration),
    /// No call has been answered for this time.
    Silent(Duration),
}

impl Delay {
    /// Whether the node answers nothing.
    pub fn is_silence(self) -> bool {
        matches!(self, Delay::Silent(_))
    }

    /// The warning that names the node.
    pub fn text(self, node: &NodeUrl) -> String {
        match self {
            Delay::Slow(took) => {
                format!("node {node} answers slowly: it took {} for a plain call", InWords(took))
            }
            Delay::Overdue(so_far) => {
                format!("node {node} answers slowly: a plain call has no answer after {}", InWords(so_far))
            }
            Delay::Silent(time) => format!("node {node} has answered no call for {}", InWords(time)),
        }
    }
}

/// Whether the plain calls to a node are slow.
#[derive(Debug, Default)]
pub struct Slowness {
    is_slow: bool,
    /// Whether the node was said to be silent, and has answered nothing since.
    is_silent: bool,
    /// How many calls in a row were otherwise than `is_slow`.
    otherwise: u32,
}

impl Slowness {
    /// Notes how long a call took; `refused` is whether the node was too busy to answer it. Returns how long calls take if they
    /// have become slow, or `Some(None)` if they are quick again.
    pub fn note(&mut self, took: Duration, refused: bool) -> Option<Option<Delay>> {
        let is_slow = refused || took >= SLOW;
        if std::mem::take(&mut self.is_silent) {
            return Some(Some(Delay::Slow(took)));
        }
        self.otherwise = if is_slow == self.is_slow { 0 } else { self.otherwise + 1 };
        if self.otherwise < IN_A_ROW {
            return None;
        }
        (self.is_slow, self.otherwise) = (is_slow, 0);
        Some(is_slow.then_some(Delay::Slow(took)))
    }

    /// Notes that a call has had no answer for [`OVERDUE`] or longer, and for how long no call at all was answered. Returns what
    /// is new about it.
    pub fn overdue(&mut self, so_far: Duration, silent: Duration) -> Option<Option<Delay>> {
        let delay = match silent >= SILENT {
            true if self.is_silent => return None,
            true => Delay::Silent(silent),
            false if self.is_slow => return None,
            false => Delay::Overdue(so_far),
        };
        (self.is_slow, self.is_silent, self.otherwise) = (true, delay.is_silence(), 0);
        Some(Some(delay))
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
        assert_eq!(note(slow), Some(Some(Delay::Slow(slow))));
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

    #[test]
    fn a_call_without_an_answer_is_slow_at_once_and_then_the_node_is_silent() {
        let mut slowness = Slowness::default();
        let seconds = Duration::from_secs;
        assert_eq!(slowness.overdue(seconds(5), seconds(6)), Some(Some(Delay::Overdue(seconds(5)))));
        assert_eq!(slowness.overdue(seconds(6), seconds(7)), None);
        assert_eq!(slowness.overdue(seconds(9), seconds(10)), Some(Some(Delay::Silent(seconds(10)))));
        assert_eq!(slowness.overdue(seconds(10), seconds(11)), None);
        // The answer ends the silence, and a few quick ones the slowness.
        assert_eq!(slowness.note(seconds(20), false), Some(Some(Delay::Slow(seconds(20)))));
        let mut quick = || slowness.note(Duration::from_millis(1), false);
        assert_eq!([quick(), quick(), quick(), quick()], [None, None, None, Some(None)]);
        // Other calls are answered.
        assert_eq!(slowness.overdue(seconds(12), seconds(1)), Some(Some(Delay::Overdue(seconds(12)))));
    }
}
