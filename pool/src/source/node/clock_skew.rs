//! Compares the clock of this machine with that of the node. Pure.
//!
//! Work goes by the node's clock alone, so a difference costs nothing here. But one of the two clocks is wrong: if it is the
//! node's, the network rejects blocks with its time; if it is ours, the times in logs and records are wrong.

use std::time::Duration;

use node::NodeClock;
use problem::{Problem, ProblemKind};
use text::InWords;

use crate::clock::Now;

/// From this difference on, the clocks differ.
const DIFFER: Duration = Duration::from_secs(60);
/// Up to this difference, clocks that differed agree again. It is smaller than [`DIFFER`], so that a difference that varies a
/// little is not said again and again.
const AGREE: Duration = Duration::from_secs(30);

/// What the comparison with a node's clock tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockSkew {
    /// The clocks agree.
    None,
    /// The clocks differ, and how.
    Differs(Problem),
    /// Nothing new: the difference is too small to be said and too large to be withdrawn, or the node's clock is not known exactly.
    Unclear,
}

impl ClockSkew {
    /// Compares the clocks at `now`. `node` is the node's address.
    pub fn of(clock: &NodeClock, node: &str, now: Now) -> Self {
        let theirs = clock.at(now.boot);
        let difference = Duration::from_secs(now.unix.abs_diff(theirs).into());
        let ahead = now.unix > theirs;
        // If the node's clock is not known exactly, it is not later.
        let is_told = clock.is_exact() || (ahead && difference > DIFFER);
        if !is_told {
            ClockSkew::Unclear
        } else if difference <= AGREE {
            ClockSkew::None
        } else if difference <= DIFFER {
            ClockSkew::Unclear
        } else {
            let side = if ahead { "ahead of" } else { "behind" };
            let text = format!("this machine's clock is {} {side} that of node {node}", InWords(difference));
            ClockSkew::Differs(Problem::new(ProblemKind::ClockSkew, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIX: u32 = 1_800_000_000;

    /// Compares a clock of ours that shows `UNIX` with one that differs by so many seconds.
    fn compare(node_ahead: i32) -> ClockSkew {
        let now = Now::with_unix(UNIX);
        ClockSkew::of(&NodeClock::new(UNIX.saturating_add_signed(node_ahead), now.boot), "n:1", now)
    }

    #[test]
    fn a_difference_of_more_than_a_minute_is_told_with_its_size() {
        for agree in [-30, -1, 0, 30] {
            assert_eq!(compare(agree), ClockSkew::None);
        }
        for unclear in [-60, -31, 31, 60] {
            assert_eq!(compare(unclear), ClockSkew::Unclear);
        }
        let differs = |text: &str| ClockSkew::Differs(Problem::new(ProblemKind::ClockSkew, text));
        assert_eq!(compare(-10_800), differs("this machine's clock is 3 h ahead of that of node n:1"));
        assert_eq!(compare(90), differs("this machine's clock is 1 min 30 s behind that of node n:1"));
    }

    #[test]
    fn the_time_since_the_template_counts_and_a_clock_that_is_not_known_exactly_tells_less() {
        let now = Now::with_unix(UNIX);
        let clock = NodeClock::new(UNIX, now.boot);
        assert_eq!(ClockSkew::of(&clock, "n:1", now.later(3600)), ClockSkew::None);
        let template = node::Template::compose(
            7,
            1,
            bitcoin::constants::genesis_block(bitcoin::Network::Regtest).block_hash(),
            bitcoin::CompactTarget::from_consensus(0x207f_ffff),
            (UNIX + 900, UNIX + 900),
            bitcoin::Amount::ZERO,
            vec![],
        );
        let not_later = NodeClock::read(&template, now.boot, None);
        assert_eq!(ClockSkew::of(&not_later, "n:1", now), ClockSkew::Unclear);
        assert_eq!(ClockSkew::of(&not_later, "n:1", Now { unix: UNIX + 930, ..now }), ClockSkew::Unclear);
        let ahead = ClockSkew::of(&not_later, "n:1", Now { unix: UNIX + 1_000, ..now });
        assert!(matches!(ahead, ClockSkew::Differs(_)), "{ahead:?}");
    }
}
