//! Decides whether a new tip is worth an empty job. Pure.
//!
//! On regtest, blocks may come many times a second, and every miner of the node asks for the facts about each tip. An empty job
//! gains nothing there, and the calls fill the node's work queue.

use std::time::{Duration, Instant};

/// While tips flood in, empty jobs are made once in this time.
const FLOOD: Duration = Duration::from_secs(2);
/// It is a flood if this number of tips came before within [`FLOOD`]. Two or three blocks in a row are chance.
const TIPS: usize = 3;

/// The last tips of a node.
#[derive(Debug, Default)]
pub struct TipFlood {
    /// When the last tips came, the latest one first.
    tips: [Option<Instant>; TIPS],
    /// When a tip was last worth an empty job.
    empty_at: Option<Instant>,
}

impl TipFlood {
    /// Notes a new tip; returns whether it is worth an empty job.
    pub fn on_tip(&mut self, now: Instant) -> bool {
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < FLOOD);
        let worth = !is_recent(self.tips[TIPS - 1]) || !is_recent(self.empty_at);
        self.tips.rotate_right(1);
        self.tips[0] = Some(now);
        if worth {
            self.empty_at = Some(now);
        }
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tips_in_a_flood_get_an_empty_job_once_in_two_seconds() {
        let (mut flood, start) = (TipFlood::default(), Instant::now());
        let worth = (0..100).filter(|tip| flood.on_tip(start + Duration::from_millis(tip * 100)));
        // The first three, and then one in two seconds.
        assert_eq!(worth.collect::<Vec<_>>(), [0, 1, 2, 22, 42, 62, 82]);
        let later = start + Duration::from_secs(60);
        for seconds in 0..20 {
            assert!(flood.on_tip(later + Duration::from_secs(seconds)), "one tip a second is no flood");
        }
    }
}
