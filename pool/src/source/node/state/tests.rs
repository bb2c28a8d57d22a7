//! Tests of the work state: what miners work on, and what becomes of our blocks.

mod blocks;
mod branches;
mod properties;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{Amount, Block, CompactTarget, TxMerkleNode};
use node::Template;
use problem::Problem;

use super::*;

const UNIX: u32 = 1_800_000_000;

/// A time this many seconds after the start.
fn now(seconds: u32) -> Now {
    static START: std::sync::OnceLock<Now> = std::sync::OnceLock::new();
    // The system clock is wrong, and must not matter.
    START.get_or_init(|| Now::with_unix(UNIX + 10_800)).later(seconds)
}

fn tip(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

/// A template on this tip that a node was asked for at a time in seconds.
fn template(prev_hash: BlockHash, height: u32, asked: u32) -> TemplateUpdate {
    let bits = CompactTarget::from_consensus(0x1900_ffff);
    let times = (UNIX - 3000, UNIX);
    let template = Template::compose(height, 0x2000_0000, prev_hash, bits, times, Amount::ZERO, vec![]);
    TemplateUpdate {
        template: Arc::new(template),
        parent_time: Some(UNIX),
        clock: NodeClock::new(UNIX, now(0).boot),
        clean: true,
        node: 0,
        main_node: 0,
        asked: now(asked).at,
    }
}

fn update(number: u8) -> TemplateUpdate {
    template(tip(number), 2017, 0)
}

/// A block on this parent. Blocks with different numbers differ.
fn block(parent: BlockHash, height: u32, number: u32) -> FoundBlock {
    let header = Header {
        version: Version::TWO,
        prev_blockhash: parent,
        merkle_root: TxMerkleNode::all_zeros(),
        time: UNIX,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: number,
    };
    FoundBlock { worker: "w".into(), height, at: UNIX, block: Box::new(Block { header, txdata: Vec::new() }) }
}

fn state_with(network: Network, limits: BlockLimits) -> NodeWorkState {
    let settings = WorkSettings {
        network,
        payout: None,
        tag: Arc::new([]),
        min_difficulty_time: MinDifficultyTime::Honest,
        limits,
    };
    NodeWorkState::new(settings, update(1), Vec::new(), Vec::new(), now(0).at)
}

fn state(network: Network) -> NodeWorkState {
    state_with(network, BlockLimits::default())
}

#[test]
fn work_is_withdrawn_when_no_node_has_worked_for_a_while() {
    let mut state = state(Network::Bitcoin);
    state.work(now(0));
    assert_eq!(state.next_deadline(), None);
    assert_eq!(
        state.on_event(Event::AllNodesDown { refused: false }, now(0)),
        [Effect::Warn { keep: KEEP_WORK }]
    );
    assert_eq!(state.next_deadline(), Some(now(600).at));
    assert_eq!(state.on_event(Event::Tick, now(599)), []);
    assert_eq!(state.on_event(Event::Tick, now(600)), [Effect::Withdraw]);
    assert_eq!(state.next_deadline(), None);
    assert_eq!(state.on_event(Event::Template(update(1)), now(1)), [Effect::Publish]);

    state.on_event(Event::AllNodesDown { refused: false }, now(700));
    state.on_event(Event::Template(update(1)), now(1));
    assert_eq!(state.next_deadline(), None);
}

#[test]
fn work_is_withdrawn_soon_when_a_node_refuses_access() {
    let down = |refused| Event::AllNodesDown { refused };
    let mut state = state(Network::Bitcoin);
    state.work(now(0));
    // The node restarts, and refuses the old cookie.
    assert_eq!(state.on_event(down(false), now(0)), [Effect::Warn { keep: KEEP_WORK }]);
    assert_eq!(state.on_event(down(true), now(3)), [Effect::Warn { keep: KEEP_WORK_REFUSED }]);
    assert_eq!(state.next_deadline(), Some(now(8).at));
    assert_eq!(state.on_event(down(true), now(4)), [], "the time does not begin anew");
    assert_eq!(state.on_event(down(false), now(5)), [], "nor does it when the node is down again");
    assert_eq!(state.on_event(Event::Tick, now(7)), []);
    assert_eq!(state.on_event(Event::Tick, now(8)), [Effect::Withdraw]);
    assert_eq!(state.on_event(down(true), now(9)), [], "there is no work to keep");
    assert_eq!(state.on_event(Event::Template(update(1)), now(10)), [Effect::Publish]);
    assert_eq!(state.on_event(down(true), now(11)), [Effect::Warn { keep: KEEP_WORK_REFUSED }]);
}

#[test]
fn testnets_get_the_lowest_difficulty_after_twenty_minutes() {
    let mut state = state(Network::Testnet4);
    let work = state.work(now(0));
    assert_eq!((work.times.bits.to_consensus(), work.times.last), (0x1900_ffff, UNIX + 1200));
    assert_eq!(state.next_deadline(), Some(now(1201).at));
    assert_eq!(state.on_event(Event::Tick, now(1200)), []);
    assert_eq!(state.on_event(Event::Tick, now(1201)), [Effect::Renew]);
    let work = state.work(now(1201));
    assert_eq!((work.times.bits.to_consensus(), work.times.first), (0x1d00_ffff, UNIX + 1201));
    assert_eq!(state.next_deadline(), None);

    // The work is withdrawn before the 20-minute rule of testnets requires a new job. Withdrawn work is not renewed, so no
    // deadline is left.
    let mut state = self::state(Network::Testnet4);
    state.work(now(0));
    state.on_event(Event::AllNodesDown { refused: false }, now(0));
    assert_eq!(state.next_deadline(), Some(now(0).at + KEEP_WORK));
    assert_eq!(state.on_event(Event::Tick, now(600)), [Effect::Withdraw]);
    assert_eq!(state.next_deadline(), None);
}
