//! The 20-minute rule of testnet3 and testnet4: a block may have the lowest difficulty if its time is more than 20 minutes
//! after its parent's. So the header's time decides its bits, and neither may change without the other.
//!
//! The rule is `GetNextWorkRequired` in Bitcoin Core's `src/pow.cpp`. It does not apply to the first block of a difficulty
//! period. Regtest has the rule, too, but all its blocks have the lowest difficulty.

use bitcoin::{CompactTarget, Network};

use crate::template::Template;

/// The compact target of difficulty 1, the lowest difficulty on both testnets.
pub(crate) const LOWEST: u32 = 0x1d00_ffff;

/// On testnets, a block has the lowest difficulty if its time is more than this many seconds after its parent's time.
pub(crate) const DELAY: u32 = 20 * 60;
/// How far ahead of its clock a node accepts a block's time, in seconds (consensus).
const MAX_AHEAD: u32 = 2 * 60 * 60;
/// No header time is more than `MAX_AHEAD - MARGIN` seconds ahead of the node's clock, because that clock is known to a few
/// seconds only, and clocks of other nodes may be behind it.
const MARGIN: u32 = 60;
/// Number of blocks between two adjustments of the difficulty (consensus).
pub(crate) const PERIOD: u32 = 2016;
/// How much earlier than its parent the first block of a difficulty period may be, in seconds (BIP-0094).
const BIP94_SPAN: u32 = 600;

/// When to use the lowest difficulty of testnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinDifficultyTime {
    /// Use the lowest difficulty when the node's clock shows that 20 minutes have passed since the last block.
    Honest,
    /// Use the lowest difficulty as soon as nodes accept a header whose time is 20 minutes after the parent's time. Nodes accept
    /// header times up to two hours ahead of their clocks, so this may be long before 20 minutes have passed.
    Early,
}

/// Time and bits of a job's headers. All times are seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderTimes {
    /// The target in the header, for every time from `first` to `last`.
    pub bits: CompactTarget,
    /// The time that miners start with.
    pub start: u32,
    /// The earliest time of the header.
    pub first: u32,
    /// The latest time that the node allows and for which `bits` are right; `u32::MAX` if there is none. In any case, nodes
    /// accept no time more than two hours ahead of their clocks ([`HeaderTimes::latest`]).
    pub last: u32,
    /// When the node's clock shows this time, miners need a new job, because the 20-minute rule of testnets then allows the lowest
    /// difficulty. `None` if there is no such time.
    pub until: Option<u32>,
}

/// Whether the 20-minute rule changes the bits of blocks on this network, so that the parent's time matters.
pub fn applies_to(network: Network) -> bool {
    matches!(network, Network::Testnet | Network::Testnet4)
}

/// The earliest time of the block at `height` by BIP-0094, which concerns the first block of a difficulty period; 0 for other blocks.
/// The rule is consensus on testnet4. Bitcoin Core follows it on all networks since version 29, so that no miner breaks it where it
/// comes into force later.
pub(crate) fn bip94_earliest(height: u32, network: Network, parent_time: u32) -> u32 {
    // Regtest's periods are shorter since Bitcoin Core 28, so each block may be the first of one.
    let may_be_first = height.is_multiple_of(PERIOD) || network == Network::Regtest;
    if may_be_first { parent_time.saturating_sub(BIP94_SPAN) } else { 0 }
}

impl HeaderTimes {
    /// Times and bits for a template at `now`, the time of the node's clock ([`crate::NodeClock`]). `parent_time` is the time in
    /// the parent's header. Without `parent_time`, all headers have the template's time, because the template's bits may be
    /// wrong for other times.
    pub fn of(
        template: &Template,
        network: Network,
        parent_time: Option<u32>,
        now: u32,
        policy: MinDifficultyTime,
    ) -> Self {
        // If the template has the earliest time that the chain allows, the node's clock may be behind it.
        let now = if template.time > template.min_time { now.max(template.time) } else { now };
        let max_time = template.max_time.unwrap_or(u32::MAX);
        let from = |bits, first: u32| HeaderTimes {
            bits,
            start: now.clamp(first.min(max_time), max_time),
            first,
            last: max_time,
            until: None,
        };
        let plain = from(template.bits, template.min_time);
        if !applies_to(network) {
            return plain;
        }
        if template.height.is_multiple_of(PERIOD) {
            let bound = parent_time.filter(|_| network == Network::Testnet4);
            let earliest =
                bound.map_or(0, |parent_time| bip94_earliest(template.height, network, parent_time));
            return from(template.bits, template.min_time.max(earliest));
        }
        let Some(parent_time) = parent_time else {
            return HeaderTimes { start: template.time, first: template.time, last: template.time, ..plain };
        };
        let boundary = parent_time.saturating_add(DELAY);
        let lowest = CompactTarget::from_consensus(LOWEST);
        let first = template.min_time.max(boundary.saturating_add(1));
        let lowest_from = match policy {
            MinDifficultyTime::Honest => first,
            MinDifficultyTime::Early => first.saturating_sub(MAX_AHEAD - MARGIN),
        };
        if template.time > boundary || (now >= lowest_from && first <= max_time) {
            return from(lowest, first);
        }
        if template.bits == lowest {
            // The chain's own difficulty is the lowest already, so the 20-minute rule does not change the bits.
            return plain;
        }
        let last = boundary.min(max_time);
        let until = (first <= max_time).then_some(lowest_from);
        HeaderTimes { start: plain.start.min(last), last, until, ..plain }
    }

    /// The latest time that a header may have when the node's clock shows `now`.
    pub fn latest(&self, now: u32) -> u32 {
        now.saturating_add(MAX_AHEAD - MARGIN).max(self.start).min(self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MinDifficultyTime::{Early, Honest};
    use super::*;
    use crate::testing;

    const PARENT: u32 = 1_800_000_000;
    const REAL: u32 = 0x1900_ffff;

    fn template(time: u32, bits: u32) -> Template {
        let bits = CompactTarget::from_consensus(bits);
        Template { height: 2017, time, min_time: PARENT - 3000, bits, ..testing::template(0) }
    }

    fn bits(times: &HeaderTimes) -> u32 {
        times.bits.to_consensus()
    }

    fn at(now: u32, policy: MinDifficultyTime) -> HeaderTimes {
        HeaderTimes::of(&template(PARENT + 10, REAL), Network::Testnet4, Some(PARENT), now, policy)
    }

    #[test]
    fn honest_waits_twenty_minutes() {
        let times = at(PARENT + 10, Honest);
        assert_eq!((bits(&times), times.start, times.first), (REAL, PARENT + 10, PARENT - 3000));
        assert_eq!((times.last, times.until), (PARENT + 1200, Some(PARENT + 1201)));
        assert_eq!(bits(&at(PARENT + 1200, Honest)), REAL);
        // The rule also applies if 20 minutes have passed only on the node's clock, not on ours.
        for (time, expected) in [(PARENT + 1200, REAL), (PARENT + 1201, LOWEST)] {
            let template = template(time, REAL);
            let times = HeaderTimes::of(&template, Network::Testnet4, Some(PARENT), PARENT + 10, Honest);
            assert_eq!(bits(&times), expected);
        }
        let times = at(PARENT + 1201, Honest);
        assert_eq!((bits(&times), times.start, times.first), (LOWEST, PARENT + 1201, PARENT + 1201));
        assert_eq!((times.last, times.until), (u32::MAX, None));
        assert_eq!(at(PARENT + 5000, Honest).start, PARENT + 5000);
    }

    #[test]
    fn early_goes_ahead_but_not_too_far() {
        let times = at(PARENT + 10, Early);
        assert_eq!((bits(&times), times.start, times.first), (LOWEST, PARENT + 1201, PARENT + 1201));
        // The parent's time is itself nearly two hours ahead of our clock.
        let template = template(PARENT - 7000, REAL);
        let at = |now| HeaderTimes::of(&template, Network::Testnet, Some(PARENT), now, Early);
        let times = at(PARENT - 7000);
        assert_eq!((bits(&times), times.last), (REAL, PARENT + 1200));
        let until = times.until.unwrap();
        assert_eq!(PARENT + 1201 - until, 7140);
        assert_eq!(bits(&at(until - 1)), REAL);
        assert_eq!((bits(&at(until)), at(until).start), (LOWEST, PARENT + 1201));
    }

    #[test]
    fn the_node_s_clock_counts_too() {
        // By the node's clock, more than 20 minutes have passed, so its template has the lowest difficulty. Our clock is behind.
        let template = template(PARENT + 1300, LOWEST);
        let times = HeaderTimes::of(&template, Network::Testnet4, Some(PARENT), PARENT + 5, Honest);
        assert_eq!((bits(&times), times.start, times.first), (LOWEST, PARENT + 1300, PARENT + 1201));
    }

    #[test]
    fn elsewhere_time_changes_nothing() {
        let template = template(PARENT + 10, REAL);
        let of = |template: &Template, network| {
            HeaderTimes::of(template, network, Some(PARENT), PARENT + 5000, Early)
        };
        for network in [Network::Bitcoin, Network::Signet, Network::Regtest] {
            let times = of(&template, network);
            assert_eq!((bits(&times), times.start, times.last), (REAL, PARENT + 5000, u32::MAX));
        }
        // The rule about blocks after 20 minutes does not apply to the first block of a difficulty period.
        let first = Template { height: 2016 * 3, ..template.clone() };
        assert_eq!(bits(&of(&first, Network::Testnet4)), REAL);
        // If the chain's own difficulty is the lowest already, the 20-minute rule does not change the bits.
        let lowest = Template { bits: CompactTarget::from_consensus(LOWEST), ..template.clone() };
        let times = HeaderTimes::of(&lowest, Network::Testnet4, Some(PARENT), PARENT + 20, Honest);
        assert_eq!((bits(&times), times.last, times.until), (LOWEST, u32::MAX, None));
        // Without the parent's time, it is unknown when the 20-minute rule begins to apply. So miners must not change the
        // header's time.
        let times = HeaderTimes::of(&template, Network::Testnet4, None, PARENT + 20, Early);
        assert_eq!((times.first, times.start, times.last), (PARENT + 10, PARENT + 10, PARENT + 10));
    }

    #[test]
    fn the_first_block_of_a_period_on_testnet4_is_at_most_ten_minutes_before_its_parent() {
        // A node before Bitcoin Core 29 does not say so in `mintime`.
        let first = Template { height: 2016 * 3, ..template(PARENT + 10, REAL) };
        let of = |template: &Template, network, now| {
            let times = HeaderTimes::of(template, network, Some(PARENT), now, Honest);
            (times.first, times.start, times.last)
        };
        assert_eq!(of(&first, Network::Testnet4, PARENT + 10), (PARENT - 600, PARENT + 10, u32::MAX));
        // The parent's time is ahead of the node's clock.
        let ahead = Template { time: PARENT - 2_000, ..first.clone() };
        assert_eq!(of(&ahead, Network::Testnet4, PARENT - 2_000), (PARENT - 600, PARENT - 600, u32::MAX));
        let later = Template { min_time: PARENT - 7, ..first.clone() };
        assert_eq!(of(&later, Network::Testnet4, PARENT + 10).0, PARENT - 7);
        // Testnet3 has no such rule, and other blocks do not have it either.
        assert_eq!(of(&first, Network::Testnet, PARENT + 10).0, PARENT - 3000);
        let second = Template { height: 2016 * 3 + 1, ..first };
        assert_eq!(of(&second, Network::Testnet4, PARENT + 10).0, PARENT - 3000);
    }

    #[test]
    fn the_template_s_latest_time_holds() {
        let limited = |max_time| Template { max_time: Some(max_time), ..template(PARENT + 10, REAL) };
        let of = |max_time, network, now| {
            let times = HeaderTimes::of(&limited(max_time), network, Some(PARENT), now, Honest);
            (bits(&times), times.first, times.start, times.last, times.until)
        };
        let earliest = PARENT - 3000;
        let max = PARENT + 100;
        assert_eq!(of(max, Network::Bitcoin, PARENT + 50), (REAL, earliest, PARENT + 50, max, None));
        assert_eq!(of(max, Network::Bitcoin, PARENT + 500), (REAL, earliest, max, max, None));
        // The lowest difficulty would need a later time than the template allows.
        assert_eq!(of(max, Network::Testnet4, PARENT + 1300), (REAL, earliest, max, max, None));
        let max = PARENT + 1250;
        let last = PARENT + 1200;
        assert_eq!(
            of(max, Network::Testnet4, PARENT + 50),
            (REAL, earliest, PARENT + 50, last, Some(last + 1))
        );
        assert_eq!(of(max, Network::Testnet4, PARENT + 1300), (LOWEST, last + 1, max, max, None));
    }

    #[test]
    fn a_header_is_at_most_two_hours_less_a_minute_ahead_of_the_node_s_clock() {
        let times = at(PARENT + 1201, Honest);
        assert_eq!(times.latest(PARENT + 1201), PARENT + 1201 + 7140);
        assert_eq!(times.latest(PARENT), PARENT + 7140);
        assert_eq!(HeaderTimes { last: PARENT + 1300, ..times }.latest(PARENT + 1201), PARENT + 1300);
        // What miners start with is never refused.
        assert_eq!(times.latest(PARENT - 9000), times.start);
        assert_eq!(times.latest(u32::MAX), u32::MAX);
    }

    #[test]
    fn a_node_s_clock_may_be_behind_the_earliest_time_of_the_chain() {
        // Blocks with times far ahead have moved the earliest time to nearly two hours after the node's clock. So the time of
        // the lowest difficulty is more than two hours ahead.
        let template = Template { min_time: PARENT + 10, ..template(PARENT + 10, REAL) };
        let of = |now| HeaderTimes::of(&template, Network::Testnet4, Some(PARENT), now, Early);
        let times = of(PARENT - 6500);
        assert_eq!((bits(&times), times.start), (REAL, PARENT + 10));
        let until = times.until.unwrap();
        assert_eq!((until, of(until).start), (PARENT + 1201 - 7140, PARENT + 1201));
    }

    proptest! {
        /// A job's bits are those that Bitcoin Core requires, at the earliest and at the latest time of the job.
        #[test]
        fn bits_are_right_at_every_time(after in 0u32..20_000, now in 0u32..20_000, early: bool) {
            let required = |time: u32| if time > PARENT + DELAY { LOWEST } else { REAL };
            let time = PARENT - 5000 + after;
            let template = template(time, required(time));
            let now = PARENT - 5000 + now;
            let policy = if early { Early } else { Honest };
            let times = HeaderTimes::of(&template, Network::Testnet4, Some(PARENT), now, policy);
            prop_assert!((times.first..=times.last).contains(&times.start), "{:?}", times);
            for time in [times.first, times.start, times.last] {
                prop_assert_eq!(bits(&times), required(time));
            }
            prop_assert!(times.first >= template.min_time);
            prop_assert!(times.start < now.max(time) + MAX_AHEAD);
            prop_assert!(times.until.is_none_or(|until| until > now.max(time)));
        }
    }
}
