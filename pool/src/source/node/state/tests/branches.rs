//! Tests of blocks that nodes keep on a branch: they count once the branch is the chain.

use super::blocks::{find, judge, renewed};
use super::*;

fn place(found: &FoundBlock, answer: ChainAnswer) -> Event {
    Event::Place { hash: found.block.block_hash(), answer }
}

#[test]
fn a_block_that_came_second_counts_once_its_branch_is_the_chain() {
    let mut state = state(Network::Bitcoin);
    let found = find(&mut state, 1, 0).unwrap();
    // Somebody else's block is faster.
    renewed(&mut state, template(tip(2), 2018, 1), 1);
    let verdict = BlockVerdict::Inconclusive;
    let counted = Effect::Count { found: found.clone(), verdict: verdict.clone() };
    assert_eq!(judge(&mut state, &found, verdict, 1), [counted]);
    renewed(&mut state, template(tip(3), 2019, 10), 10);
    assert_eq!(state.on_event(Event::Tick, now(10)), [Effect::Watch(vec![found.block.block_hash()])]);
    assert_eq!(state.on_event(place(&found, ChainAnswer::OnBranch), now(10)), []);
    let won = found.record(None);
    assert_eq!(state.on_event(place(&found, ChainAnswer::InChain), now(20)), [Effect::CountWon(won.clone())]);
    assert_eq!(state.on_event(place(&found, ChainAnswer::InChain), now(30)), [], "it counts once");
    let orphaned = Effect::CountPlace(BlockRecord { orphaned: true, ..won });
    assert_eq!(state.on_event(place(&found, ChainAnswer::OnBranch), now(40)), [orphaned]);
}

#[test]
fn a_block_that_was_submitted_again_in_vain_may_come_back() {
    for verdict in [BlockVerdict::Inconclusive, BlockVerdict::Rejected("duplicate-invalid".into())] {
        let mut state = state(Network::Regtest);
        let found = find(&mut state, 1, 0).unwrap();
        judge(&mut state, &found, BlockVerdict::Accepted, 1);
        renewed(&mut state, template(found.block.block_hash(), 2018, 2), 2);
        renewed(&mut state, template(tip(1), 2017, 3), 3);
        let orphaned = BlockRecord { orphaned: true, ..found.record(None) };
        assert!(judge(&mut state, &found, verdict, 4).contains(&Effect::CountPlace(orphaned)));
        // It is not submitted a third time, and does not keep another block from being made.
        renewed(&mut state, template(tip(1), 2017, 5), 5);
        assert!(find(&mut state, 2, 5).is_some());
        let back = Effect::CountPlace(found.record(None));
        assert_eq!(state.on_event(place(&found, ChainAnswer::InChain), now(20)), [back]);
    }
}

#[test]
fn blocks_that_came_second_make_way_for_accepted_ones() {
    let mut state = state(Network::Regtest);
    let accepted = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &accepted, BlockVerdict::Accepted, 0);
    for number in 1..=WATCHED as u32 + 5 {
        renewed(&mut state, template(tip(number as u8 + 1), 2018, number), number);
        let beaten = find(&mut state, 1_000 + number, number).unwrap();
        judge(&mut state, &beaten, BlockVerdict::Inconclusive, number);
    }
    renewed(&mut state, template(tip(200), 2019, 1_000), 1_000);
    let effects = state.on_event(Event::Tick, now(1_000));
    let [Effect::Watch(watched)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((watched.len(), watched[0]), (WATCHED, accepted.block.block_hash()));
}
