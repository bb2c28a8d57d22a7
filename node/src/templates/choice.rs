//! Chooses the node whose template miners get, and the main node, which users are told of. No I/O, no clock.
//!
//! Miners always get a template of the greatest height, whichever node has it first. Among such nodes, the choice stays with the node
//! that it has: several nodes get each block within a second in any order, and each change would cost miners a job for nothing.
//! The main node stays, too, while it works and is not behind for more than a moment. In the long run the operator's order decides:
//! a node that has kept up for a while takes over from those after it.

use std::time::{Duration, Instant};

/// How long a node may be behind another one until it no longer counts as one that keeps up. A block usually reaches all nodes sooner.
const MOMENT: Duration = Duration::from_secs(2);

/// The newest template of a node that works, as far as the choice needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offer {
    /// The height of the block to be made.
    pub height: u32,
    /// Whether it is the node's own template, not an empty one. An empty one is no reason to leave another node's full one.
    pub full: bool,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The index of the node whose template miners get.
    pub node: usize,
    /// The index of the main node.
    pub main: usize,
}

/// How well a node keeps up with the others.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// The height of its template, and since when it has had the greatest height; `None` if it is behind or does not work.
    level: Option<(u32, Instant)>,
    /// Since when it is behind; `None` if it is not.
    behind: Option<Instant>,
    /// Since when it works and has never been behind for more than a moment.
    keeps_up: Option<Instant>,
}

impl Standing {
    fn update(&mut self, offer: Option<Offer>, greatest: u32, now: Instant) {
        let Some(offer) = offer else {
            *self = Standing::default();
            return;
        };
        if offer.height == greatest {
            let since = self.level.filter(|(height, _)| *height == greatest).map_or(now, |(_, since)| since);
            self.level = Some((greatest, since));
            self.behind = None;
            self.keeps_up = self.keeps_up.or(Some(now));
        } else {
            self.level = None;
            let since = *self.behind.get_or_insert(now);
            self.keeps_up = self.keeps_up.filter(|_| now < since + MOMENT);
        }
    }
}

/// The choice so far.
#[derive(Debug)]
pub struct NodeChoice {
    settle: Duration,
    chosen: Option<Chosen>,
    standings: Vec<Standing>,
    next: Option<Instant>,
}

impl NodeChoice {
    /// No choice yet. A node takes over from the one that is used at the same height after it has kept up for the time `settle`.
    pub fn new(settle: Duration) -> Self {
        NodeChoice { settle, chosen: None, standings: Vec::new(), next: None }
    }

    /// When the choice may change although no node has a new template.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Chooses among the nodes' newest templates, which are in the operator's order; `None` stands for a node that does not work.
    /// Returns `None` if no node works.
    pub fn choose(&mut self, offers: &[Option<Offer>], now: Instant) -> Option<Chosen> {
        self.standings.resize(offers.len(), Standing::default());
        let best = offers.iter().flatten().max().copied();
        let greatest = best.map_or(0, |best| best.height);
        for (standing, offer) in self.standings.iter_mut().zip(offers) {
            standing.update(*offer, greatest, now);
        }
        let first = offers.iter().position(|offer| offer.is_some() && *offer == best)?;
        let main = self.main(first, now);
        let is_best = |node: &usize| offers.get(*node).is_some_and(|offer| *offer == best);
        // The main node gets its place back after a while at this height.
        let is_back = self.standings[main].level.is_some_and(|(_, since)| now >= since + self.settle);
        let used = self.chosen.map(|chosen| chosen.node).filter(|_| !is_back || !is_best(&main));
        let node = used.filter(is_best).or(Some(main).filter(is_best)).unwrap_or(first);
        let chosen = Chosen { node, main };
        self.chosen = Some(chosen);
        self.next = self.next_change(chosen, now);
        Some(chosen)
    }

    fn main(&self, first: usize, now: Instant) -> usize {
        let keeps_up = |node: usize| self.standings.get(node).and_then(|standing| standing.keeps_up);
        let Some(main) = self.chosen.map(|chosen| chosen.main).filter(|main| keeps_up(*main).is_some())
        else {
            return first;
        };
        let has_settled = |node: &usize| keeps_up(*node).is_some_and(|since| now >= since + self.settle);
        (0..main).find(has_settled).unwrap_or(main)
    }

    fn next_change(&self, Chosen { node, main }: Chosen, now: Instant) -> Option<Instant> {
        let standing = self.standings.get(main)?;
        let back = standing.level.filter(|_| node != main).map(|(_, since)| since + self.settle);
        let left = standing.behind.map(|since| since + MOMENT);
        let before = self.standings.get(..main)?.iter().filter_map(|standing| standing.keeps_up);
        let settled = before.map(|since| since + self.settle);
        settled.chain(back).chain(left).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_millis(millis)
    }

    fn full(height: u32) -> Option<Offer> {
        Some(Offer { height, full: true })
    }

    fn choose(choice: &mut NodeChoice, offers: [Option<Offer>; 2], millis: u64) -> Option<(usize, usize)> {
        choice.choose(&offers, at(millis)).map(|chosen| (chosen.node, chosen.main))
    }

    #[test]
    fn the_order_decides_at_first_and_in_the_long_run() {
        let mut choice = NodeChoice::new(SETTLE);
        assert_eq!(choose(&mut choice, [None, None], 0), None);
        assert_eq!(choose(&mut choice, [full(7), full(7)], 0), Some((0, 0)));
        assert_eq!(choice.next(), None);
        assert_eq!(choose(&mut choice, [None, full(7)], 0), Some((1, 1)), "the first node is down");
        // It is back. Nothing changes until it has kept up for a while.
        assert_eq!(choose(&mut choice, [full(7), full(7)], 1_000), Some((1, 1)));
        assert_eq!(choice.next(), Some(at(11_000)));
        assert_eq!(choose(&mut choice, [full(7), full(7)], 10_999), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(7), full(7)], 11_000), Some((0, 0)));
        assert_eq!(choice.next(), None);
    }

    #[test]
    fn a_node_that_starts_behind_is_not_taken_before_it_has_caught_up_and_settled() {
        let mut choice = NodeChoice::new(SETTLE);
        assert_eq!(choose(&mut choice, [None, full(9)], 0), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(2), full(9)], 1_000), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(2), full(9)], 60_000), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(9), full(9)], 61_000), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(9), full(9)], 71_000), Some((0, 0)));
    }

    #[test]
    fn the_newest_tip_is_mined_on_at_once_and_the_main_node_stays() {
        let mut choice = NodeChoice::new(SETTLE);
        assert_eq!(choose(&mut choice, [full(7), full(7)], 0), Some((0, 0)));
        // The second node gets the block sooner. At the same height, nobody changes back soon.
        assert_eq!(choose(&mut choice, [full(7), full(8)], 1_000), Some((1, 0)));
        assert_eq!(choice.next(), Some(at(3_000)));
        assert_eq!(choose(&mut choice, [full(8), full(8)], 1_500), Some((1, 0)));
        assert_eq!(choice.next(), Some(at(11_500)));
        assert_eq!(choose(&mut choice, [full(8), full(8)], 11_500), Some((0, 0)));
        // The main node stays behind: after a moment it is another one.
        assert_eq!(choose(&mut choice, [full(8), full(9)], 20_000), Some((1, 0)));
        assert_eq!(choose(&mut choice, [full(8), full(9)], 21_999), Some((1, 0)));
        assert_eq!(choose(&mut choice, [full(8), full(9)], 22_000), Some((1, 1)));
    }

    #[test]
    fn a_full_template_is_preferred_to_an_empty_one() {
        let empty = |height| Some(Offer { height, full: false });
        let mut choice = NodeChoice::new(SETTLE);
        assert_eq!(choose(&mut choice, [empty(7), full(7)], 0), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(7), empty(8)], 100), Some((1, 1)));
        assert_eq!(choose(&mut choice, [full(8), empty(8)], 200), Some((0, 1)));
        assert_eq!(choose(&mut choice, [full(8), full(8)], 300), Some((0, 1)));
    }

    #[test]
    fn the_main_node_never_changes_while_both_keep_up_with_a_flood_of_blocks() {
        let mut choice = NodeChoice::new(SETTLE);
        choose(&mut choice, [full(1), full(1)], 0);
        for block in 0..5_000 {
            let (height, millis) = (block + 1, u64::from(block) * 20);
            let sooner = if block % 3 == 0 {
                [full(height + 1), full(height)]
            } else {
                [full(height), full(height + 1)]
            };
            for (offers, millis) in [(sooner, millis), ([full(height + 1); 2], millis + 5)] {
                let (node, main) = choose(&mut choice, offers, millis).unwrap();
                assert_eq!((main, offers[node]), (0, full(height + 1)));
            }
        }
    }
}
