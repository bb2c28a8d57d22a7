//! Mines blocks from templates that we made ourselves, of facts about the tip, and submits them to Bitcoin Core.
//!
//! The node's proposal mode would not do: it checks neither the proof of work nor, on a signet, the block's solution.

use std::sync::Arc;

use bitcoin::{Block, Network};
use hasher::{Backend, Cursor, Header, HitBuffer, Target, Work};
use node::{BlockDraft, HeaderAnswer, MiningInfoAnswer, Solution, Template, TipFacts, empty_template};
use serde_json::json;
use testing::bitcoin_core::{BitcoinCore, Chain};

use super::{plan, template};

/// What the node tells about its tip. With `old`, it tells only what nodes before Bitcoin Core 29 tell.
fn facts(core: &BitcoinCore, old: bool) -> TipFacts {
    let header: HeaderAnswer = core.ask("getblockheader", json!([core.best_block()]));
    let info: MiningInfoAnswer = core.ask("getmininginfo", json!([]));
    TipFacts::read(&header, (!old).then_some(&info)).expect("all facts")
}

/// Mines a block with the pool's search.
fn mine(template: Template) -> Block {
    let (version, ntime, bits) = (template.version, template.time, template.bits);
    let draft = BlockDraft::new(Arc::new(template), &plan()).expect("a coinbase");
    let solution = |nonce| Solution { extranonces: &[0; 12], version, ntime, bits, nonce };
    let bytes = bitcoin::consensus::serialize(&draft.header(solution(0)));
    let header = Header::from_bytes(&bytes.try_into().expect("80 bytes"));
    let target = Target::from_compact(header.nbits).expect("a target");
    let work = Work::new(&header, &[version], &target).expect("work");
    let backend = Backend::available().next().expect("the portable one");
    let (mut hits, mut next) = (HitBuffer::new(), Some(Cursor::default()));
    while let (true, Some(from)) = (hits.is_empty(), next) {
        next = backend.scan(&work, from, &mut hits).next;
    }
    let hit = hits.iter().next().expect("a nonce");
    draft.assemble(solution(hit.nonce)).expect("a block")
}

/// Submits a block that must become the node's tip.
fn submit(core: &BitcoinCore, block: &Block) {
    let hex = bitcoin::consensus::encode::serialize_hex(block);
    let verdict: Option<String> = core.ask("submitblock", json!([hex]));
    assert_eq!(verdict, None, "block {}", block.block_hash());
    assert_eq!(core.best_block(), block.block_hash().to_string());
}

/// The empty template of the next block, compared with the node's own, which has no transactions either.
fn empty(core: &BitcoinCore, last: &Template, network: Network, old: bool) -> Template {
    let own = template(core);
    let empty = empty_template(&facts(core, old), last, network, own.time).expect("a template");
    // The version is that of the last template; on regtest, signalling begins at height 144.
    let shared = |template: &Template| Template {
        version: 0,
        used_version_bits: 0,
        longpoll_id: None,
        ..template.clone()
    };
    assert_eq!(format!("{:?}", shared(&empty)), format!("{:?}", shared(&own)));
    empty
}

#[test]
fn empty_blocks_are_accepted_across_a_halving() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    core.generate(140);
    let mut last = (*template(&core)).clone();
    for old in [false, true].into_iter().cycle().take(20) {
        let height = core.generate(1).len() as u64 + last.height as u64 - 1;
        assert_eq!(core.height(), height);
        let empty = empty(&core, &last, Network::Regtest, old);
        submit(&core, &mine(empty.clone()));
        // A lower tip than that of the last template gets no empty block.
        let tip = facts(&core, old);
        let lower = TipFacts { height: tip.height - 2, next: None, ..tip };
        assert!(empty_template(&lower, &empty, Network::Regtest, empty.time).is_none());
        last = (*template(&core)).clone();
    }
    assert!(core.height() > 150 + 10, "the subsidy was halved at 150");
}

#[test]
fn an_empty_block_of_a_signet_is_accepted_for_its_witness_commitment() {
    let Some(core) = BitcoinCore::start(Chain::OpenSignet, &[]) else { return };
    let last = (*template(&core)).clone();
    submit(&core, &mine(last.clone()));
    for old in [false, true] {
        let empty = empty(&core, &last, Network::Signet, old);
        let bare = mine(Template { witness_commitment: None, ..empty.clone() });
        let hex = bitcoin::consensus::encode::serialize_hex(&bare);
        let verdict: Option<String> = core.ask("submitblock", json!([hex]));
        assert_eq!(verdict.as_deref(), Some("bad-signet-blksig"));
        submit(&core, &mine(empty));
    }
}

#[test]
fn the_time_of_a_block_may_be_two_hours_ahead_of_the_node_s_clock_and_no_more() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    core.generate(1);
    let own = (*template(&core)).clone();
    // The node's clock stands still.
    let _: Option<()> = core.ask("setmocktime", json!([own.time + 100]));
    let clock = node::NodeClock::new(own.time + 100, node::BootTime::now());
    let now = clock.at(node::BootTime::now());
    let policy = node::MinDifficultyTime::Honest;
    let latest = node::HeaderTimes::of(&own, Network::Regtest, None, now, policy).latest(now);
    let judge = |time| {
        let hex = bitcoin::consensus::encode::serialize_hex(&mine(Template { time, ..own.clone() }));
        core.ask::<Option<String>>("submitblock", json!([hex]))
    };
    assert_eq!(judge(own.time + 100 + 3 * 3600).as_deref(), Some("time-too-new"));
    assert_eq!(judge(own.time + 100 + 7200 + 1).as_deref(), Some("time-too-new"));
    assert_eq!(judge(own.min_time - 1).as_deref(), Some("time-too-old"));
    assert_eq!(judge(latest), None);
}
