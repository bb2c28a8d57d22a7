//! A fake testnet4 that judges headers as Bitcoin Core does, and the facts that its node tells.

use bitcoin::consensus::Params;
use bitcoin::hashes::Hash;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::min_difficulty::MinDifficultyTime::{Early, Honest};
use crate::min_difficulty::{HeaderTimes, MinDifficultyTime};
use crate::testing;

/// When the chain began.
const BEGIN: u32 = 1_800_000_000;
/// The difficulty of the first period.
const FIRST: u32 = 0x1900_ffff;

/// The chain: each block's time and bits, from height 0.
#[derive(Clone, Debug)]
struct Chain(Vec<(u32, u32)>);

impl Chain {
    /// A chain up to the height before the last blocks of its first period, with the last ones at these distances.
    fn new(blocks: usize, spacings: &[u32]) -> Self {
        let mut chain = Chain((0..blocks as u32).map(|height| (BEGIN + height * 300, FIRST)).collect());
        for spacing in spacings {
            let time = chain.tip().0 + spacing;
            chain.0.push((time, chain.required(time)));
        }
        chain
    }

    fn tip(&self) -> (u32, u32) {
        self.0[self.0.len() - 1]
    }

    /// `GetNextWorkRequired`, and `CalculateNextWorkRequired` with BIP94.
    fn required(&self, time: u32) -> u32 {
        let height = self.0.len();
        let (tip_time, tip_bits) = self.tip();
        if !height.is_multiple_of(2016) {
            if time > tip_time + 1200 {
                return LOWEST;
            }
            let own = |index: &usize| index.is_multiple_of(2016) || self.0[*index].1 != LOWEST;
            let own = (0..height).rev().find(own);
            return own.map_or(tip_bits, |index| self.0[index].1);
        }
        let (first_time, first_bits) = self.0[height - 2016];
        let timespan = u64::from(tip_time - first_time);
        let first = CompactTarget::from_consensus(first_bits);
        CompactTarget::from_next_work_required(first, timespan, &Params::TESTNET4).to_consensus()
    }

    fn median_time(&self) -> u32 {
        let mut times: Vec<u32> = self.0.iter().rev().take(11).map(|(time, _)| *time).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// `ContextualCheckBlockHeader`.
    fn judge(&self, time: u32, bits: u32, clock: u32) -> Result<(), &'static str> {
        if bits != self.required(time) {
            return Err("bad-diffbits");
        }
        if time <= self.median_time() {
            return Err("time-too-old");
        }
        if self.0.len().is_multiple_of(2016) && time < self.tip().0 - 600 {
            return Err("time-timewarp-attack");
        }
        if time > clock + 7200 { Err("time-too-new") } else { Ok(()) }
    }

    /// The time that the node puts into the next block. Only a new node follows BIP94.
    fn min_time(&self, new: bool) -> u32 {
        let first_of_period = new && self.0.len().is_multiple_of(2016);
        let earliest = if first_of_period { self.tip().0 - 600 } else { 0 };
        earliest.max(self.median_time() + 1)
    }

    fn facts(&self, new: bool, clock: u32) -> TipFacts {
        let hash = |height: usize| BlockHash::from_byte_array([height as u8; 32]).to_string();
        let (height, (time, bits)) = (self.0.len() - 1, self.tip());
        let header: Value = json!({
            "hash": hash(height), "previousblockhash": hash(height - 1), "height": height, "time": time,
            "mediantime": self.median_time(), "bits": format!("{bits:08x}"),
        });
        let next = self.required(clock.max(self.min_time(new)));
        let next = json!({"height": height + 1, "bits": format!("{next:08x}")});
        let info = if new { json!({"blocks": height, "next": next}) } else { json!({"blocks": height}) };
        let header: HeaderAnswer = serde_json::from_value(header).expect("a header");
        let info: MiningInfoAnswer = serde_json::from_value(info).expect("an answer");
        TipFacts::read(&header, Some(&info)).expect("all facts")
    }

    /// The node's own template of the next block.
    fn template(&self, new: bool, clock: u32) -> Template {
        let min_time = self.min_time(new);
        let time = clock.max(min_time);
        let bits = CompactTarget::from_consensus(self.required(time));
        let height = self.0.len() as u32;
        let prev_hash = BlockHash::from_byte_array([(height - 1) as u8; 32]);
        Template { height, prev_hash, time, min_time, bits, ..testing::template(2) }
    }

    /// All times that a job of this template allows are valid.
    fn check(&self, template: &Template, clock: u32, policy: MinDifficultyTime) -> Result<(), TestCaseError> {
        let (parent_time, network) = (Some(self.tip().0), Network::Testnet4);
        let times = HeaderTimes::of(template, network, parent_time, clock, policy);
        for time in [times.first, times.start, times.latest(clock)] {
            let verdict = self.judge(time, times.bits.to_consensus(), clock);
            prop_assert_eq!(verdict, Ok(()), "time {} of {:?}, clock {}", time, times, clock);
        }
        Ok(())
    }
}

#[test]
fn the_first_block_of_a_period_is_made_of_the_node_s_word_or_waited_for() {
    // The last block before the adjustment is two hours ahead of the node's clock, so BIP94 limits the first time.
    let chain = Chain::new(2013, &[300, 300, 9_000]);
    let clock = chain.tip().0 - 7_000;
    let last = Chain(chain.0[..2015].to_vec()).template(true, clock);
    let empty = empty_template(&chain.facts(true, clock), &last, Network::Testnet4, clock).unwrap();
    assert_eq!((empty.height, empty.min_time), (2016, chain.tip().0 - 600));
    assert_ne!(empty.bits.to_consensus(), FIRST, "the difficulty was adjusted");
    chain.check(&empty, clock, Honest).unwrap();
    assert_eq!(
        chain.judge(empty.min_time - 1, empty.bits.to_consensus(), clock),
        Err("time-timewarp-attack")
    );

    // An older node tells neither the bits nor, in its template, the rule. Its template is right all the same.
    assert!(empty_template(&chain.facts(false, clock), &last, Network::Testnet4, clock).is_none());
    let own = chain.template(false, clock);
    assert!(own.min_time < chain.tip().0 - 600);
    assert_eq!(chain.judge(own.time, own.bits.to_consensus(), clock), Err("time-timewarp-attack"));
    chain.check(&own, clock, Honest).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Around an adjustment of the difficulty, every job of an empty template, and of a node's own one, allows valid times only.
    #[test]
    fn blocks_around_an_adjustment_are_valid(
        blocks in 2008usize..2017, spacings in proptest::collection::vec(1u32..4_000, 1..8), ahead in 0u32..7_000,
        passed in 0u32..3_000, new: bool, early: bool,
    ) {
        let chain = Chain::new(blocks, &spacings);
        // The tip's time is ahead of the node's clock when the tip comes, but not by more than two hours.
        let clock = chain.tip().0 - ahead + passed;
        prop_assume!(chain.min_time(true) <= clock + 7_000);
        let policy = if early { Early } else { Honest };
        let last = Chain(chain.0[..chain.0.len() - 1].to_vec()).template(new, clock);
        let empty = empty_template(&chain.facts(new, clock), &last, Network::Testnet4, clock);
        let first_of_period = chain.0.len().is_multiple_of(2016);
        prop_assert!(empty.is_some() || (!new && (first_of_period || chain.tip().1 == LOWEST)));
        if let Some(empty) = &empty {
            chain.check(empty, clock, policy)?;
        }
        chain.check(&chain.template(new, clock), clock, policy)?;
    }
}
