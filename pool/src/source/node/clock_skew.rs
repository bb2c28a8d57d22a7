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
    /// The clocks differ: for the user, and by how much.
    Differs(Problem, Difference),
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
            let least = if clock.is_exact() { "" } else { "at least " };
            let text =
                format!("this machine's clock is {least}{} {side} that of node {node}", InWords(difference));
            let seconds = i64::from(now.unix) - i64::from(theirs);
            let difference = Difference { seconds, is_exact: clock.is_exact() };
            ClockSkew::Differs(Problem::new(ProblemKind::ClockSkew, text), difference)
        }
    }
}

/// How far our clock is ahead of the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Negative if our clock is behind.
    seconds: i64,
    /// Whether it is no more than that. A difference that is not known exactly varies with each block.
    is_exact: bool,
}

impl Difference {
    /// Whether this is worth a line after `said`, the difference that was last said.
    pub fn is_news_after(self, said: Option<Difference>) -> bool {
        let Some(said) = said else { return true };
        if self.is_exact {
            self.seconds.abs_diff(said.seconds) > DIFFER.as_secs()
        } else {
            // Our clock is ahead. A lower bound that is smaller than what was said contradicts nothing.
            self.seconds > said.seconds.saturating_mul(2)
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
        let differs = |text: &str, seconds| {
            let difference = Difference { seconds, is_exact: true };
            ClockSkew::Differs(Problem::new(ProblemKind::ClockSkew, text), difference)
        };
        assert_eq!(
            compare(-10_800),
            differs("this machine's clock is 3 h ahead of that of node n:1", 10_800)
        );
        assert_eq!(compare(90), differs("this machine's clock is 1 min 30 s behind that of node n:1", -90));
    }

    #[test]
    fn a_difference_that_has_changed_a_lot_is_news_once() {
        let exact = |seconds| Difference { seconds, is_exact: true };
        let at_least = |seconds| Difference { seconds, is_exact: false };
        for (said, now, is_news) in [
            (None, exact(61), true),
            (None, at_least(61), true),
            (Some(exact(61)), exact(61), false),
            (Some(exact(61)), exact(121), false),
            (Some(exact(61)), exact(122), true),
            (Some(exact(10_800)), exact(10_739), true),
            (Some(exact(61)), exact(-61), true),
            (Some(exact(-61)), exact(-121), false),
            // A lower bound is news only if what was said cannot be true any more.
            (Some(at_least(600)), at_least(1_200), false),
            (Some(at_least(600)), at_least(1_201), true),
            (Some(at_least(600)), at_least(61), false),
            (Some(exact(10_800)), at_least(61), false),
            (Some(exact(-61)), at_least(61), true),
            (Some(at_least(600)), exact(10_800), true),
        ] {
            assert_eq!(now.is_news_after(said), is_news, "{said:?} {now:?}");
        }
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
        let ClockSkew::Differs(problem, difference) = ahead else { panic!("{ahead:?}") };
        assert_eq!(problem.text, "this machine's clock is at least 1 min 40 s ahead of that of node n:1");
        assert_eq!(difference, Difference { seconds: 100, is_exact: false });
    }
}
