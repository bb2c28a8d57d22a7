//! Tests of single courses: what a verdict, a lost block, a limit and a reorganisation lead to.

use super::*;

pub(super) fn judge(
    state: &mut NodeWorkState,
    found: &FoundBlock,
    verdict: BlockVerdict,
    at: u32,
) -> Vec<Effect> {
    state.on_event(Event::BlockJudged { found: found.clone(), verdict }, now(at))
}

/// Finds a block on the present tip, if that is allowed.
pub(super) fn find(state: &mut NodeWorkState, number: u32, at: u32) -> Option<FoundBlock> {
    let work = state.work(now(at));
    if !work.claim.take() {
        return None;
    }
    let found = block(work.template.prev_hash, work.template.height, number);
    assert_eq!(state.on_event(Event::Found(found.clone()), now(at)), [Effect::Submit(found.clone())]);
    Some(found)
}

pub(super) fn renewed(state: &mut NodeWorkState, update: TemplateUpdate, at: u32) -> Vec<Effect> {
    state.on_event(Event::Template(update), now(at))
}

fn resubmit(lost: Vec<FoundBlock>) -> Effect {
    Effect::Resubmit { lost, unjudged: Vec::new() }
}

#[test]
fn a_tip_gets_one_block_and_another_one_with_the_template_after_a_rejection() {
    let mut state = state(Network::Regtest);
    let first = find(&mut state, 1, 0).unwrap();
    renewed(&mut state, template(tip(1), 2017, 1), 1);
    assert!(find(&mut state, 2, 1).is_none(), "one is in flight");
    let rejected = BlockVerdict::Rejected("bad-txns".into());
    let effects = judge(&mut state, &first, rejected.clone(), 1);
    let trouble = Effect::SetRejection { height: 2017, reason: "bad-txns".into() };
    assert_eq!(effects, [Effect::Count { found: first, verdict: rejected }, trouble]);
    assert!(find(&mut state, 2, 1).is_none(), "this template may be faulty");
    renewed(&mut state, template(tip(1), 2017, 2), 2);
    let second = find(&mut state, 2, 2).unwrap();
    renewed(&mut state, template(tip(1), 2017, 3), 3);
    assert!(find(&mut state, 3, 3).is_none(), "one more try");

    // An accepted block ends the trouble.
    let effects = judge(&mut state, &second, BlockVerdict::Accepted, 3);
    assert_eq!(effects.last(), Some(&Effect::ClearRejection));
    renewed(&mut state, update(2), 4);
    assert!(find(&mut state, 4, 4).is_some());
}

#[test]
fn a_rejection_lasts_an_hour_if_nothing_follows() {
    let mut state = state(Network::Bitcoin);
    state.work(now(0));
    let found = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &found, BlockVerdict::Rejected("time-too-new".into()), 10);
    assert_eq!(state.next_deadline(), Some(now(10).at));
    assert_eq!(state.on_event(Event::Tick, now(10)), [Effect::AskForTemplates]);
    assert_eq!(state.next_deadline(), Some(now(3610).at));
    assert_eq!(state.on_event(Event::Tick, now(3609)), []);
    assert_eq!(state.on_event(Event::Tick, now(3610)), [Effect::ClearRejection]);
}

#[test]
fn a_block_that_the_node_lost_is_submitted_again_and_the_tip_reopened_if_that_does_not_help() {
    let mut state = state(Network::Bitcoin);
    let first = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &first, BlockVerdict::Accepted, 10);
    // The node's tip is our block, and a second one follows.
    renewed(&mut state, template(first.block.block_hash(), 2018, 11), 11);
    let second = find(&mut state, 2, 11).unwrap();
    judge(&mut state, &second, BlockVerdict::Accepted, 12);

    // A template that was asked for before the verdict says nothing.
    renewed(&mut state, template(first.block.block_hash(), 2018, 12), 12);
    assert!(find(&mut state, 3, 12).is_none());
    // The node comes back without both blocks.
    let effects = renewed(&mut state, template(tip(1), 2017, 20), 20);
    assert_eq!(effects, [Effect::Publish, resubmit(vec![first.clone(), second.clone()])]);
    assert!(find(&mut state, 3, 20).is_none(), "a third block would only compete with ours");
    renewed(&mut state, template(tip(1), 2017, 21), 21);
    assert_eq!(judge(&mut state, &first, BlockVerdict::Accepted, 22), []);
    assert_eq!(judge(&mut state, &second, BlockVerdict::Duplicate, 22), []);
    renewed(&mut state, template(second.block.block_hash(), 2019, 23), 23);
    let third = find(&mut state, 3, 23).unwrap();
    judge(&mut state, &third, BlockVerdict::Accepted, 24);

    // The node refuses the third one the second time: it does not count, and another block is allowed at once.
    let on_second = || template(second.block.block_hash(), 2019, 30);
    assert_eq!(renewed(&mut state, on_second(), 30).last(), Some(&resubmit(vec![third.clone()])));
    let reason = "time-too-old".to_owned();
    let effects = judge(&mut state, &third, BlockVerdict::Rejected(reason.clone()), 31);
    let rejection = Effect::SetRejection { height: third.height, reason: reason.clone() };
    assert_eq!(effects, [Effect::CountLost { record: third.record(None), reason }, rejection, Effect::Renew]);
    assert!(find(&mut state, 4, 31).is_some());
}

#[test]
fn a_block_that_is_lost_again_and_again_is_given_up() {
    let mut state = state(Network::Bitcoin);
    let found = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &found, BlockVerdict::Accepted, 1);
    for at in (1..=20).map(|crash| crash * 10) {
        let effects = renewed(&mut state, template(tip(1), 2017, at), at);
        assert_eq!(effects, [Effect::Publish, resubmit(vec![found.clone()])]);
        judge(&mut state, &found, BlockVerdict::Duplicate, at + 1);
    }
    let effects = renewed(&mut state, template(tip(1), 2017, 210), 210);
    assert!(matches!(&effects[..], [Effect::CountLost { .. }, Effect::Publish]), "{effects:?}");
    assert!(find(&mut state, 2, 210).is_some());
}

#[test]
fn blocks_that_the_chain_leaves_are_orphaned_and_may_come_back() {
    let mut state = state(Network::Bitcoin);
    let found = find(&mut state, 1, 0).unwrap();
    let hash = found.block.block_hash();
    judge(&mut state, &found, BlockVerdict::Accepted, 1);
    renewed(&mut state, template(hash, 2018, 2), 2);
    assert_eq!(state.on_event(Event::Tick, now(2)), [Effect::Watch(vec![hash])]);
    assert_eq!(state.on_event(Event::Place { hash, answer: ChainAnswer::InChain }, now(2)), []);
    // The next look comes some seconds later.
    renewed(&mut state, template(tip(9), 2019, 3), 3);
    assert_eq!(state.next_deadline(), Some(now(7).at));
    assert_eq!(state.on_event(Event::Tick, now(7)), [Effect::Watch(vec![hash])]);
    let record = |orphaned| BlockRecord { orphaned, ..found.record(None) };
    let place = |in_chain| {
        let answer = if in_chain { ChainAnswer::InChain } else { ChainAnswer::OnBranch };
        Event::Place { hash, answer }
    };
    assert_eq!(state.on_event(place(false), now(8)), [Effect::CountPlace(record(true))]);
    assert_eq!(state.on_event(place(false), now(9)), []);
    assert_eq!(state.on_event(place(true), now(10)), [Effect::CountPlace(record(false))]);
    // A hundred blocks later, nobody asks any more.
    renewed(&mut state, template(tip(8), 2118, 20), 20);
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn a_block_that_the_operator_invalidates_is_orphaned() {
    let mut state = state(Network::Regtest);
    let found = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &found, BlockVerdict::Accepted, 1);
    renewed(&mut state, template(found.block.block_hash(), 2018, 2), 2);
    renewed(&mut state, template(tip(1), 2017, 3), 3);
    let verdict = BlockVerdict::Rejected("duplicate-invalid".into());
    let record = BlockRecord { orphaned: true, ..found.record(None) };
    assert_eq!(judge(&mut state, &found, verdict, 4), [Effect::CountPlace(record), Effect::Renew]);
    assert!(find(&mut state, 2, 4).is_some());
}

#[test]
fn blocks_of_earlier_runs_are_looked_up_at_the_start() {
    let record = BlockRecord { orphaned: true, ..block(tip(1), 2000, 1).record(None) };
    let settings = state(Network::Bitcoin).settings;
    let mut state = NodeWorkState::new(settings, update(1), vec![record.clone()], Vec::new(), now(0).at);
    assert_eq!(state.on_event(Event::Tick, now(0)), [Effect::Watch(vec![record.hash])]);
    let back = Effect::CountPlace(BlockRecord { orphaned: false, ..record.clone() });
    assert_eq!(
        state.on_event(Event::Place { hash: record.hash, answer: ChainAnswer::InChain }, now(1)),
        [back]
    );
}

#[test]
fn an_interval_lets_the_first_solution_after_it_make_the_block() {
    let interval = Some(Duration::from_secs(10));
    let mut state = state_with(Network::Regtest, BlockLimits { interval, count: None });
    let first = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &first, BlockVerdict::Accepted, 1);
    renewed(&mut state, template(first.block.block_hash(), 2018, 2), 2);
    let work = state.work(now(2));
    assert!(work.claim.is_taken());
    assert_eq!(state.next_deadline(), Some(now(2).at), "our blocks are looked up");
    assert_eq!(state.on_event(Event::Tick, now(9)).len(), 1);
    assert_eq!(state.next_deadline(), Some(now(10).at));
    // Miners get the job again, and the job that they have makes a block, too.
    assert_eq!(state.on_event(Event::Tick, now(10)), [Effect::Renew]);
    assert!(!work.claim.is_taken());
    assert!(find(&mut state, 2, 10).is_some());
}

#[test]
fn a_block_that_is_given_up_does_not_hold_the_next_one_back() {
    let interval = Some(Duration::from_secs(1_000));
    let mut state = state_with(Network::Regtest, BlockLimits { interval, count: None });
    let first = find(&mut state, 1, 0).unwrap();
    judge(&mut state, &first, BlockVerdict::Accepted, 1);
    // The node has lost it, and refuses it now.
    renewed(&mut state, template(tip(1), 2017, 2), 2);
    judge(&mut state, &first, BlockVerdict::Rejected("time-too-old".into()), 3);
    let second = find(&mut state, 2, 3).unwrap();
    judge(&mut state, &second, BlockVerdict::Accepted, 4);
    // The node loses that one again and again.
    for at in (1..=20).map(|crash| crash * 10) {
        renewed(&mut state, template(tip(1), 2017, at), at);
        judge(&mut state, &second, BlockVerdict::Duplicate, at + 1);
        assert!(find(&mut state, 3, at + 1).is_none());
    }
    renewed(&mut state, template(tip(1), 2017, 210), 210);
    let third = find(&mut state, 3, 210).unwrap();
    // A block that stays holds back the next one.
    judge(&mut state, &third, BlockVerdict::Accepted, 211);
    renewed(&mut state, template(third.block.block_hash(), 2018, 212), 212);
    assert!(find(&mut state, 4, 1_209).is_none());
    state.on_event(Event::Tick, now(1_210));
    assert!(find(&mut state, 4, 1_210).is_some());
}

#[test]
fn no_more_blocks_are_made_than_wanted() {
    let mut state = state_with(Network::Regtest, BlockLimits { interval: None, count: Some(2) });
    let first = find(&mut state, 1, 0).unwrap();
    renewed(&mut state, update(2), 1);
    let second = find(&mut state, 2, 1).unwrap();
    renewed(&mut state, update(3), 2);
    assert!(find(&mut state, 3, 2).is_none(), "two are in flight");
    judge(&mut state, &first, BlockVerdict::Inconclusive, 3);
    let third = find(&mut state, 3, 3).unwrap();
    judge(&mut state, &second, BlockVerdict::Accepted, 4);
    judge(&mut state, &third, BlockVerdict::Accepted, 4);
    renewed(&mut state, update(4), 5);
    assert!(find(&mut state, 4, 5).is_none());
}

#[test]
fn blocks_that_node_and_pool_have_lost_together_are_submitted_again_at_the_start() {
    let lost = block(tip(1), 2017, 1);
    let other = block(lost.block.block_hash(), 2018, 2);
    let records = vec![lost.record(None), other.record(None)];
    let settings = state(Network::Regtest).settings;
    let kept = vec![other.clone(), lost.clone()];
    let mut state = NodeWorkState::new(settings, update(1), records, kept, now(0).at);
    assert!(find(&mut state, 3, 0).is_none(), "it would only compete with ours");
    let effects = state.begin(Vec::new(), now(0));
    assert_eq!(effects.last(), Some(&resubmit(vec![lost.clone(), other.clone()])));
    // The node takes one, and not the other.
    assert_eq!(judge(&mut state, &lost, BlockVerdict::Accepted, 1), []);
    let verdict = BlockVerdict::Rejected("bad-txns".into());
    let reason = "bad-txns".to_owned();
    assert_eq!(
        judge(&mut state, &other, verdict, 1),
        [
            Effect::CountLost { record: other.record(None), reason: reason.clone() },
            Effect::SetRejection { height: other.height, reason },
        ]
    );
}

#[test]
fn blocks_that_no_node_has_judged_follow_their_lost_parents() {
    let lost = block(tip(1), 2017, 1);
    let second = block(lost.block.block_hash(), 2018, 2);
    let third = block(second.block.block_hash(), 2019, 3);
    let settings = state_with(Network::Regtest, BlockLimits { interval: None, count: Some(3) }).settings;
    let (records, kept) = (vec![lost.record(None)], vec![lost.clone()]);
    let mut state = NodeWorkState::new(settings, update(1), records, kept, now(0).at);
    let effects = state.begin(vec![third.clone(), second.clone()], now(0));
    let unjudged = vec![second.clone(), third.clone()];
    assert_eq!(effects.last(), Some(&Effect::Resubmit { lost: vec![lost.clone()], unjudged }));
    assert_eq!(state.without_verdict(), 3);
    assert_eq!(judge(&mut state, &lost, BlockVerdict::Accepted, 1), []);
    // A template that was asked for before the other verdicts is on the lost block.
    renewed(&mut state, template(lost.block.block_hash(), 2018, 1), 1);
    assert!(find(&mut state, 4, 1).is_none(), "it would only compete with ours");
    for found in [second, third.clone()] {
        let count = Effect::Count { found: found.clone(), verdict: BlockVerdict::Accepted };
        assert_eq!(judge(&mut state, &found, BlockVerdict::Accepted, 2), [count]);
    }
    renewed(&mut state, template(third.block.block_hash(), 2020, 3), 3);
    let ours = find(&mut state, 5, 3).unwrap();
    judge(&mut state, &ours, BlockVerdict::Accepted, 4);
    renewed(&mut state, template(ours.block.block_hash(), 2021, 5), 5);
    assert!(find(&mut state, 6, 5).is_none(), "this run has counted three");
}

#[test]
fn a_block_that_no_node_has_judged_is_the_only_one_on_its_tip() {
    let unjudged = block(tip(1), 2017, 1);
    let mut state = state(Network::Regtest);
    let work = state.work(now(0));
    state.begin(vec![unjudged.clone()], now(0));
    assert!(work.claim.is_taken() && find(&mut state, 2, 0).is_none());
    judge(&mut state, &unjudged, BlockVerdict::Rejected("bad-txns".into()), 1);
    renewed(&mut state, template(tip(1), 2017, 2), 2);
    assert!(find(&mut state, 2, 2).is_some());
}

#[test]
fn an_earlier_run_s_block_that_is_lost_makes_room_for_no_other() {
    let settings = state_with(Network::Regtest, BlockLimits { interval: None, count: Some(1) }).settings;
    let lost = block(tip(1), 2017, 1);
    let record = BlockRecord { restored: true, ..lost.record(None) };
    let (records, kept) = (vec![record.clone()], vec![lost.clone()]);
    let mut state = NodeWorkState::new(settings, update(1), records, kept, now(0).at);
    assert_eq!(state.begin(Vec::new(), now(0)).last(), Some(&resubmit(vec![lost.clone()])));
    // Somebody else's block is faster.
    renewed(&mut state, template(tip(2), 2018, 1), 1);
    let ours = find(&mut state, 2, 1).unwrap();
    judge(&mut state, &ours, BlockVerdict::Accepted, 2);
    let reason = "bad-prevblk".to_owned();
    let effects = judge(&mut state, &lost, BlockVerdict::Rejected(reason.clone()), 3);
    let rejection = Effect::SetRejection { height: lost.height, reason: reason.clone() };
    assert_eq!(effects, [Effect::CountLost { record, reason }, rejection]);
    renewed(&mut state, template(ours.block.block_hash(), 2019, 4), 4);
    assert!(find(&mut state, 3, 4).is_none(), "one block was wanted, and is made");
}

#[test]
fn a_block_that_the_node_does_not_know_is_orphaned_once_the_chain_has_its_height() {
    let record = block(tip(7), 2020, 1).record(None);
    let orphaned = || vec![Effect::CountPlace(BlockRecord { orphaned: true, ..record.clone() })];
    let unknown = Event::Place { hash: record.hash, answer: ChainAnswer::Unknown };
    let start = || {
        let settings = state(Network::Regtest).settings;
        let mut state = NodeWorkState::new(settings, update(1), vec![record.clone()], Vec::new(), now(0).at);
        assert_eq!(state.begin(Vec::new(), now(0)), []);
        assert_eq!(state.on_event(Event::Tick, now(0)), [Effect::Watch(vec![record.hash])]);
        assert_eq!(state.on_event(unknown.clone(), now(1)), [], "the node may be behind");
        state
    };
    let mut state = start();
    renewed(&mut state, template(tip(2), 2020, 10), 10);
    state.on_event(Event::Tick, now(10));
    assert_eq!(state.on_event(unknown.clone(), now(10)), [], "the tip is still below the block");
    renewed(&mut state, template(tip(3), 2021, 20), 20);
    state.on_event(Event::Tick, now(20));
    assert_eq!(state.on_event(unknown.clone(), now(20)), orphaned());
    // It comes back from a peer.
    let back = Event::Place { hash: record.hash, answer: ChainAnswer::InChain };
    let record = BlockRecord { orphaned: false, ..record.clone() };
    assert_eq!(state.on_event(back, now(21)), [Effect::CountPlace(record)]);

    // The node's chain does not grow. After some minutes, nobody expects it to.
    let mut state = start();
    assert_eq!(state.next_deadline(), Some(now(61).at));
    assert_eq!(state.on_event(Event::Tick, now(61)).len(), 1);
    assert_eq!(state.on_event(unknown.clone(), now(62)), []);
    assert_eq!(state.on_event(unknown.clone(), now(301)), orphaned());
}

#[test]
fn each_rejection_asks_for_one_template_after_a_growing_pause() {
    let mut state = state(Network::Bitcoin);
    let mut at = 10;
    for (number, pause) in [(1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 16)] {
        let found = find(&mut state, number, at).unwrap();
        judge(&mut state, &found, BlockVerdict::Rejected("bad-txns".into()), at);
        assert_eq!(state.next_deadline(), Some(now(at + pause).at));
        assert_eq!(state.on_event(Event::Tick, now(at + pause)), [Effect::AskForTemplates]);
        at += pause + 1;
        renewed(&mut state, template(tip(1), 2017, at), at);
    }
    let found = find(&mut state, 8, at).unwrap();
    judge(&mut state, &found, BlockVerdict::Accepted, at);
    renewed(&mut state, template(tip(2), 2018, at), at);
    let found = find(&mut state, 9, at).unwrap();
    judge(&mut state, &found, BlockVerdict::Rejected("bad-txns".into()), at);
    assert_eq!(state.on_event(Event::Tick, now(at)).first(), Some(&Effect::AskForTemplates));
}

#[test]
fn a_block_that_no_node_takes_makes_the_pool_unhealthy_until_it_is_taken() {
    let mut state = state(Network::Bitcoin);
    let found = find(&mut state, 1, 0).unwrap();
    let problem = Problem::new(problem::ProblemKind::NodeWhitelist, "no");
    let (hash, height) = (found.block.block_hash(), 2017);
    let event = Event::NotTaken { hash, height, problem: problem.clone() };
    assert_eq!(state.on_event(event, now(1)), [Effect::SetNotTaken { height, problem }]);
    let effects = judge(&mut state, &found, BlockVerdict::Accepted, 2);
    assert_eq!(effects.last(), Some(&Effect::ClearRejection));
}

#[test]
fn a_lost_block_that_no_node_takes_makes_the_pool_unhealthy_until_one_has_judged_it() {
    let rejected = || BlockVerdict::Rejected("bad-txns".into());
    for verdict in [BlockVerdict::Accepted, BlockVerdict::Duplicate, rejected()] {
        let mut state = state(Network::Bitcoin);
        let found = find(&mut state, 1, 0).unwrap();
        judge(&mut state, &found, BlockVerdict::Accepted, 1);
        let effects = renewed(&mut state, template(tip(1), 2017, 2), 2);
        assert_eq!(effects, [Effect::Publish, resubmit(vec![found.clone()])]);
        let problem = Problem::new(problem::ProblemKind::NodeWhitelist, "no");
        let (hash, height) = (found.block.block_hash(), found.height);
        let event = Event::NotTaken { hash, height, problem: problem.clone() };
        assert_eq!(state.on_event(event, now(3)), [Effect::SetNotTaken { height, problem }]);
        let effects = judge(&mut state, &found, verdict.clone(), 4);
        if verdict == rejected() {
            let rejection = Effect::SetRejection { height, reason: "bad-txns".into() };
            assert!(
                effects.contains(&rejection) && !effects.contains(&Effect::ClearRejection),
                "{effects:?}"
            );
        } else {
            assert_eq!(effects, [Effect::ClearRejection]);
        }
    }
}
