//! Tests of empty templates, against the rules of Bitcoin Core.

use std::sync::Arc;

use bitcoin::hashes::Hash;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::min_difficulty::{HeaderTimes, MinDifficultyTime};
use crate::testing;

const TIME: u32 = 1_800_000_000;
const REAL: u32 = 0x1900_ffff;
const OTHER: u32 = 0x1800_8000;

fn hash(byte: u8) -> BlockHash {
    BlockHash::from_byte_array([byte; 32])
}

fn target(bits: u32) -> CompactTarget {
    CompactTarget::from_consensus(bits)
}

/// A tip of height 2999 with `bits`, whose child has the height 3000.
fn tip(bits: u32, next: Option<u32>) -> TipFacts {
    at_height(2999, bits, next)
}

fn at_height(height: u32, bits: u32, next: Option<u32>) -> TipFacts {
    TipFacts {
        hash: hash(9),
        parent: hash(8),
        height,
        time: TIME,
        median_time: TIME - 3000,
        bits: target(bits),
        next: next.map(|bits| NextBlock { height: height + 1, bits: target(bits) }),
    }
}

/// The template of the tip itself, before that tip was found.
fn last(bits: u32) -> Template {
    let signet_challenge = Some(bitcoin::ScriptBuf::from_bytes(vec![0x51]));
    let (prev_hash, bits) = (hash(8), target(bits));
    Template { height: 2999, prev_hash, bits, version: 0x2000_0010, signet_challenge, ..testing::template(3) }
}

fn bits(tip: TipFacts, last_bits: u32, network: Network, now: u32) -> Option<u32> {
    let template = empty_template(&tip, &last(last_bits), network, now)?;
    Some(template.bits.to_consensus())
}

#[test]
fn version_rules_and_challenge_are_kept_and_nothing_else_is() {
    let last = last(REAL);
    let template = empty_template(&tip(REAL, Some(REAL)), &last, Network::Signet, TIME + 5).unwrap();
    assert_eq!((template.version, template.height, template.prev_hash), (0x2000_0010, 3000, hash(9)));
    assert_eq!((template.time, template.min_time), (TIME + 5, TIME - 2999));
    assert_eq!((&template.rules, &template.signet_challenge), (&last.rules, &last.signet_challenge));
    assert!(template.transactions.is_empty() && template.branch.is_empty() && template.longpoll_id.is_none());
    assert_ne!(template.witness_commitment, last.witness_commitment);
    let commitment = "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
    assert_eq!(template.witness_commitment.unwrap().to_hex_string(), commitment);
    // The node's clock is behind the median of the last blocks.
    let behind = empty_template(&tip(REAL, Some(REAL)), &last, Network::Signet, TIME - 9000).unwrap();
    assert_eq!((behind.time, behind.min_time), (TIME - 2999, TIME - 2999));
    // Before segwit is active, a coinbase must not have a witness.
    let old = Template { witness_commitment: None, ..last };
    let template = empty_template(&tip(REAL, Some(REAL)), &old, Network::Regtest, TIME).unwrap();
    assert_eq!(template.witness_commitment, None);
}

#[test]
fn the_subsidy_halves_by_height() {
    let value = |network, height: u32| {
        let last = Template { height: 1, ..last(REAL) };
        let template = empty_template(&at_height(height - 1, REAL, Some(REAL)), &last, network, TIME);
        template.unwrap().coinbase_value.to_sat()
    };
    for (network, interval) in [
        (Network::Regtest, 150),
        (Network::Bitcoin, 210_000),
        (Network::Testnet4, 210_000),
        (Network::Signet, 210_000),
    ] {
        assert_eq!(value(network, interval - 1), 50_0000_0000);
        assert_eq!(value(network, interval), 25_0000_0000);
        assert_eq!(value(network, 3 * interval - 1), 12_5000_0000);
        assert_eq!(value(network, 32 * interval), 1);
        assert_eq!((value(network, 33 * interval), value(network, 70 * interval)), (0, 0));
    }
}

#[test]
fn there_is_none_for_a_tip_that_is_lower_or_known() {
    let network = Network::Bitcoin;
    let make =
        |height, last: &Template| empty_template(&at_height(height, REAL, Some(REAL)), last, network, TIME);
    let last = last(REAL);
    assert!(make(2997, &last).is_none() && make(1, &last).is_none());
    assert!(make(2998, &last).is_some(), "another tip of the same height");
    assert!(make(4000, &last).is_some());
    let known = Template { prev_hash: hash(9), height: 3000, ..last };
    assert!(make(2999, &known).is_none());
    // Between the two answers, the node went on to a further tip.
    let moved = TipFacts { next: Some(NextBlock { height: 3001, bits: target(REAL) }), ..tip(REAL, None) };
    assert!(empty_template(&moved, &self::last(REAL), network, TIME).is_none());
}

#[test]
fn a_period_s_first_block_needs_the_node_s_word_and_keeps_to_bip_94() {
    for network in [Network::Bitcoin, Network::Signet, Network::Testnet, Network::Testnet4] {
        assert_eq!(bits(tip(REAL, None), OTHER, network, TIME), Some(REAL), "inside of a period");
        assert_eq!(bits(at_height(4031, REAL, None), OTHER, network, TIME), None);
        let first = at_height(4031, REAL, Some(OTHER));
        // The 20-minute rule does not apply to this block.
        let template = empty_template(&first, &last(REAL), network, TIME + 5000).unwrap();
        assert_eq!((template.bits, template.time), (target(OTHER), TIME + 5000));
        assert_eq!(template.min_time, TIME - 600);
        let late_median = TipFacts { median_time: TIME - 10, ..first };
        assert_eq!(empty_template(&late_median, &last(REAL), network, 0).unwrap().min_time, TIME - 9);
    }
    // Regtest never adjusts its difficulty.
    assert_eq!(bits(at_height(4031, 0x207f_ffff, None), REAL, Network::Regtest, TIME), Some(0x207f_ffff));
}

#[test]
fn testnets_get_the_bits_of_the_period_and_after_twenty_minutes_the_lowest() {
    for network in [Network::Testnet, Network::Testnet4] {
        let (before, after) = (TIME + 1200, TIME + 1201);
        // The parent has the period's own bits, whatever the node says.
        for next in [None, Some(REAL), Some(LOWEST)] {
            assert_eq!(bits(tip(REAL, next), LOWEST, network, before), Some(REAL));
            assert_eq!(bits(tip(REAL, next), LOWEST, network, after), Some(LOWEST));
        }
        // The parent was made after 20 minutes. Its bits are not those of the period.
        assert_eq!(bits(tip(LOWEST, Some(REAL)), LOWEST, network, before), Some(REAL));
        assert_eq!(bits(tip(LOWEST, Some(REAL)), LOWEST, network, after), Some(LOWEST));
        assert_eq!(bits(tip(LOWEST, None), REAL, network, before), Some(REAL), "of the last template");
        assert_eq!(bits(tip(LOWEST, None), LOWEST, network, before), None);
        assert_eq!(bits(tip(LOWEST, None), LOWEST, network, after), Some(LOWEST));
        let unrelated = Template { prev_hash: hash(3), ..last(REAL) };
        assert!(empty_template(&tip(LOWEST, None), &unrelated, network, before).is_none());
        // Either the lowest difficulty is that of the period, or the node's clock has passed the 20 minutes.
        let make = |now| empty_template(&tip(LOWEST, Some(LOWEST)), &last(LOWEST), network, now).unwrap();
        assert_eq!((make(TIME).bits, make(TIME).time), (target(LOWEST), TIME));
        assert_eq!((make(before).bits, make(before).time), (target(LOWEST), after));
    }
}

#[test]
fn facts_are_read_from_the_node_s_answers() {
    let header: HeaderAnswer = serde_json::from_value(json!({
        "hash": hash(9).to_string(), "confirmations": 1, "height": 2999, "version": 1, "time": TIME,
        "mediantime": TIME - 3000, "nonce": 0, "bits": "1900ffff", "previousblockhash": hash(8).to_string(),
    }))
    .unwrap();
    let info = |info| serde_json::from_value::<MiningInfoAnswer>(info).unwrap();
    let new = info(json!({"blocks": 2999, "next": {"height": 3000, "bits": "1900ffff", "difficulty": 1}}));
    assert_eq!(TipFacts::read(&header, Some(&new)), Some(tip(REAL, Some(REAL))));
    // Bitcoin Core before version 29 does not tell the next block.
    let old = info(json!({"blocks": 2999, "difficulty": 1}));
    assert_eq!(TipFacts::read(&header, Some(&old)), Some(tip(REAL, None)));
    assert_eq!(TipFacts::read(&header, None), Some(tip(REAL, None)));
    // bcoin writes bits as a number.
    let bcoin = HeaderAnswer { bits: serde_json::from_value(json!(REAL)).unwrap(), ..header.clone() };
    assert_eq!(TipFacts::read(&bcoin, None), Some(tip(REAL, None)));
    for bits in ["", "1900fff", "+900ffff", "00000000"] {
        let header = HeaderAnswer { bits: Bits::Digits(bits.to_owned()), ..header.clone() };
        assert_eq!(TipFacts::read(&header, None), None, "{bits}");
    }
}

/// A testnet's chain inside of one difficulty period: each block's time and bits.
#[derive(Clone, Debug)]
struct Period(Vec<(u32, u32)>);

impl Period {
    /// A period with these own bits, and blocks that come this long after their parents.
    fn new(own: u32, spacings: &[u32]) -> Self {
        let mut period = Period(vec![(TIME, own)]);
        for spacing in spacings {
            let time = period.tip().0 + spacing;
            period.0.push((time, period.required(time)));
        }
        period
    }

    fn tip(&self) -> (u32, u32) {
        *self.0.last().unwrap()
    }

    /// The bits that Bitcoin Core requires of the next block (`GetNextWorkRequired`).
    fn required(&self, time: u32) -> u32 {
        if time > self.tip().0 + 1200 {
            return LOWEST;
        }
        let own = self.0.iter().rev().map(|(_, bits)| *bits).find(|bits| *bits != LOWEST);
        own.unwrap_or(self.0[0].1)
    }
}

proptest! {
    /// The bits of an empty template are those that Bitcoin Core requires, at each time that a job of it allows; whatever the
    /// node's version, and even if our idea of its clock is some seconds behind.
    #[test]
    fn bits_are_right_at_every_time_of_the_job(
        own in prop_oneof![Just(REAL), Just(LOWEST)], spacings in proptest::collection::vec(1u32..2500, 1..6),
        passed in 0u32..3000, behind in 0u32..30, tells_next: bool, early: bool, knows_parent: bool,
    ) {
        let period = Period::new(own, &spacings);
        let (time, tip_bits) = period.tip();
        let node_clock = time + passed;
        let next = tells_next.then(|| period.required(node_clock));
        let tip = TipFacts { time, median_time: time - 1, ..tip(tip_bits, next) };
        let parent = Period(period.0[..period.0.len() - 1].to_vec());
        let last = Template {
            prev_hash: if knows_parent { hash(8) } else { hash(3) }, ..last(parent.required(time - 1))
        };
        let Some(template) = empty_template(&tip, &last, Network::Testnet4, node_clock - behind) else {
            prop_assert!(next.is_none());
            return Ok(());
        };
        prop_assert_eq!(template.bits.to_consensus(), period.required(template.time));
        let policy = if early { MinDifficultyTime::Early } else { MinDifficultyTime::Honest };
        let times = HeaderTimes::of(
            &Arc::new(template), Network::Testnet4, Some(time), node_clock - behind, policy,
        );
        for time in [times.first, times.start, times.last.min(u32::MAX - 1)] {
            prop_assert_eq!(times.bits.to_consensus(), period.required(time), "{:?}", times);
        }
        prop_assert!(times.start < node_clock + 7200);
    }
}
