//! Blocks on a real Bitcoin Core, regtest, where every second hash is a block: what the program counts is what the node has, and
//! the log stays short.

use std::time::{Duration, Instant};

use serde_json::Value;
use testing::bitcoin_core::{BitcoinCore, Chain};

use crate::support::node_pool::{NodePool, PAYOUT, accounts, node_options, number};
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// Thirteen halvings of regtest.
const BLOCKS: u64 = 2000;

/// Waits until the node has [`BLOCKS`], and ends the miner.
fn mine_blocks(core: &BitcoinCore, miner: &mut Process) -> (Summary, Ended) {
    until("the node has the blocks", LONG_DEADLINE, || {
        assert!(miner.is_running(), "{:#?}", miner.stderr());
        (core.height() >= BLOCKS).then_some(())
    });
    let ended = miner.interrupt(DEADLINE);
    (Summary::of(&ended), ended)
}

/// Checks the length of a log: a few lines at start and end, and some each second.
fn assert_no_flood(lines: &[String], since: Instant) {
    let bound = 60 + 16 * since.elapsed().as_secs();
    assert!(
        lines.len() as u64 <= bound,
        "{} lines, more than {bound}: {:#?}",
        lines.len(),
        &lines[lines.len() - 60..]
    );
}

/// Checks that all blocks of the chain are in the accounts, and no other.
fn assert_accounts(core: &BitcoinCore, accounts: &Value) {
    let chain: Vec<Value> = core.blocks_above(0).iter().map(|block| block["hash"].clone()).collect();
    assert_eq!(number(&accounts["totals"]["blocks"]), chain.len() as u64);
    let listed: Vec<Value> =
        accounts["blocks"].as_array().expect("blocks").iter().map(|block| block["hash"].clone()).collect();
    // The accounts keep the latest blocks one by one.
    assert!(!listed.is_empty() && chain.ends_with(&listed), "{listed:#?}");
}

#[test]
fn a_miner_on_a_node_counts_the_blocks_that_the_node_has() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let node = node_options(&core);
    let start = Instant::now();
    let fixed = ["mine", "-t", "1", "--json", "--address", PAYOUT, "--data-dir", "data"].map(str::to_owned);
    let mut miner = mesos_miner([fixed.as_slice(), &node].concat());
    let (summary, ended) = mine_blocks(&core, &mut miner);
    let height = core.height();
    assert_eq!(core.blocks_paying(PAYOUT, 0), height);
    assert_eq!(summary.blocks, height, "{summary:?}");
    assert_accounts(&core, &accounts(&miner.folder().join("data")));
    assert_no_flood(&ended.stderr, start);
}

#[test]
fn pool_miner_node_and_accounts_count_the_same_blocks() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let mut pool = NodePool::start(&node_options(&core), &[]);
    let start = Instant::now();
    let mut miner = pool.miner(&[]);
    let (summary, ended) = mine_blocks(&core, &mut miner);
    let blocks = pool.at_rest(&core);
    assert_eq!((blocks, core.blocks_paying(PAYOUT, 0)), (core.height(), core.height()));
    let said = pool.summary();
    assert_eq!(said["rejected_blocks"], 0, "{said}");
    assert_eq!(pool.health(), "ok\n");
    assert_no_flood(&ended.stderr, start);
    let ended = pool.end();
    assert_no_flood(&ended.stderr, start);
    let books = accounts(&pool.data());
    assert_accounts(&core, &books);
    // A pool does not tell a miner what becomes of its candidates.
    let candidates = number(&books["totals"]["candidates"]);
    let Summary { candidates: known, shares, .. } = &summary;
    assert!((*known..=known + shares.unanswered).contains(&candidates), "{candidates}: {summary:?}");
}

#[test]
fn six_seconds_on_regtest_are_told_in_few_lines() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let node = node_options(&core);
    let fixed = ["mine", "-t", "1", "--json", "--address", PAYOUT, "--duration", "6s"].map(str::to_owned);
    let mut miner = mesos_miner([fixed.as_slice(), &node].concat());
    let ended = miner.wait(DEADLINE + Duration::from_secs(6));
    assert!(ended.status.success(), "{ended:#?}");
    let summary = Summary::of(&ended);
    assert!(ended.stderr.len() < 100, "{} lines: {ended:#?}", ended.stderr.len());
    assert_eq!(summary.blocks, core.height(), "{summary:?}");
    assert!(summary.blocks > 0);
}
