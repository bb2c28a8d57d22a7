//! Any order of templates, verdicts, losses and restarts of a node: at most one block is in flight on a tip, and the count of blocks
//! is that of the accepted less that of the lost ones.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A template on the node's tip.
    Template,
    /// A template that the node was asked for before its last answers.
    LateTemplate,
    /// A miner has a solution.
    Solution,
    /// The node answers the oldest submission: takes the block if it is on the node's tip, or rejects it.
    Answer { rejects: bool },
    /// The node crashes, and comes back without its last blocks.
    Crash { lost: usize },
    /// Another miner's block.
    Foreign,
    /// Time passes.
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Template),
        1 => Just(Step::LateTemplate),
        4 => Just(Step::Solution),
        4 => prop::bool::weighted(0.1).prop_map(|rejects| Step::Answer { rejects }),
        1 => (1..4usize).prop_map(|lost| Step::Crash { lost }),
        1 => Just(Step::Foreign),
        1 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 0..120)
}

/// A node and the miners, as far as the work state can see them.
struct World {
    state: NodeWorkState,
    /// The node's chain, without its first block.
    chain: Vec<BlockHash>,
    submitted: Vec<FoundBlock>,
    /// The parents of blocks that were submitted for the first time and have no verdict.
    in_flight: Vec<BlockHash>,
    second: BTreeSet<BlockHash>,
    /// How often each accepted block counts: once or, if it was lost for good, not at all.
    counted: BTreeMap<BlockHash, i64>,
    accepted: i64,
    lost: i64,
    clock: u32,
}

impl World {
    fn tip(&self) -> BlockHash {
        self.chain.last().copied().unwrap_or(tip(1))
    }

    fn event(&mut self, event: Event) {
        for effect in self.state.on_event(event, now(self.clock)) {
            match effect {
                Effect::Submit(found) => self.submitted.push(found),
                Effect::Resubmit { lost, .. } => {
                    self.second.extend(lost.iter().map(|found| found.block.block_hash()));
                    self.submitted.extend(lost);
                }
                Effect::Count { found, verdict } if verdict.is_accepted() => {
                    self.accepted += 1;
                    *self.counted.entry(found.block.block_hash()).or_default() += 1;
                }
                Effect::CountLost { record, .. } => {
                    self.lost += 1;
                    *self.counted.entry(record.hash).or_default() -= 1;
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.clock += 1;
        match step {
            Step::Template => {
                let height = 2017 + self.chain.len() as u32;
                self.event(Event::Template(template(self.tip(), height, self.clock)));
            }
            Step::LateTemplate => {
                let height = 2017 + self.chain.len() as u32;
                self.event(Event::Template(template(self.tip(), height, 0)));
            }
            Step::Solution => {
                let work = self.state.work(now(self.clock));
                if work.claim.take() {
                    let parent = work.template.prev_hash;
                    prop_assert!(!self.in_flight.contains(&parent), "two blocks in flight on one tip");
                    self.in_flight.push(parent);
                    self.event(Event::Found(block(parent, work.template.height, self.clock)));
                }
            }
            Step::Answer { rejects } if !self.submitted.is_empty() => {
                let found = self.submitted.remove(0);
                let (hash, parent) = (found.block.block_hash(), found.block.header.prev_blockhash);
                if !self.second.remove(&hash) {
                    self.in_flight.retain(|other| *other != parent);
                }
                let verdict = if self.chain.contains(&hash) {
                    BlockVerdict::Duplicate
                } else if rejects {
                    BlockVerdict::Rejected("time-too-new".into())
                } else if parent == self.tip() {
                    self.chain.push(hash);
                    BlockVerdict::Accepted
                } else {
                    BlockVerdict::Inconclusive
                };
                self.event(Event::BlockJudged { found, verdict });
            }
            Step::Answer { .. } => {}
            Step::Crash { lost } => self.chain.truncate(self.chain.len().saturating_sub(lost)),
            Step::Foreign => self.chain.push(block(self.tip(), 0, self.clock).block.block_hash()),
            Step::Tick => self.event(Event::Tick),
        }
        Ok(())
    }

    /// Whether the node takes a block of ours within some steps without faults: mining never stops.
    fn recovers(&mut self) -> Result<bool, TestCaseError> {
        let before = self.accepted;
        for _ in 0..20 {
            for step in [Step::Template, Step::Solution, Step::Answer { rejects: false }, Step::Tick] {
                self.step(step)?;
            }
            while !self.submitted.is_empty() {
                self.step(Step::Answer { rejects: false })?;
            }
        }
        Ok(self.accepted > before)
    }
}

proptest! {
    #[test]
    fn one_block_is_in_flight_and_the_count_is_right(steps in steps()) {
        let mut world = World {
            state: state(Network::Regtest),
            chain: Vec::new(),
            submitted: Vec::new(),
            in_flight: Vec::new(),
            second: BTreeSet::new(),
            counted: BTreeMap::new(),
            accepted: 0,
            lost: 0,
            clock: 0,
        };
        for step in steps {
            world.step(step)?;
        }
        prop_assert!(world.counted.values().all(|count| (0..=1).contains(count)), "{:?}", world.counted);
        prop_assert_eq!(world.counted.values().sum::<i64>(), world.accepted - world.lost);
        prop_assert!(world.recovers()?, "mining has stopped");
        prop_assert_eq!(world.counted.values().sum::<i64>(), world.accepted - world.lost);
    }
}
