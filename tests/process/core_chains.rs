//! A pool on real Bitcoin Cores that change their chain, that are two, or that limit their blocks.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use testing::bitcoin_core::{BitcoinCore, Chain};

use crate::support::node_pool::{NodePool, PAYOUT, accounts, node_options, number};
use crate::support::process::Process;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// User `u` with password `p`: the HMAC-SHA256 of the password with the salt `a1b2c3`.
const LOGIN: &str = "-rpcauth=u:a1b2c3$a79b20c27a0467b6c512848bc8c8e65859be092b4507897d32c7d2c93733c635";

/// Two nodes that are connected. Both take the same user and password, since the pool's options give one for all nodes.
fn pair() -> Option<(BitcoinCore, BitcoinCore)> {
    let first = BitcoinCore::start_listening(Chain::Regtest, &[LOGIN])?;
    let second = BitcoinCore::start(Chain::Regtest, &[LOGIN, &first.peer_option()])?;
    Some((first, second))
}

fn wait_for_same_tip(first: &BitcoinCore, second: &BitcoinCore) {
    until("both nodes have the same tip", DEADLINE, || {
        (first.best_block() == second.best_block()).then_some(())
    });
}

/// The options that name nodes of [`pair`].
fn options(nodes: &[&BitcoinCore], folder: &tempfile::TempDir) -> Vec<String> {
    let file = folder.path().join("password");
    fs::write(&file, "p").expect("our folder");
    let mut options =
        vec!["--rpc-user".to_owned(), "u".into(), "--rpc-password-file".into(), file.display().to_string()];
    options.extend(nodes.iter().flat_map(|node| ["--bitcoind".to_owned(), node.url()]));
    options
}

fn end(mut miner: Process) {
    miner.interrupt(DEADLINE);
}

fn wait_for_height(core: &BitcoinCore, height: u64) {
    until(&format!("height {height}"), LONG_DEADLINE, || (core.height() >= height).then_some(()));
}

#[test]
fn the_longer_chain_of_another_node_is_followed() {
    let Some((first, second)) = pair() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    first.generate(5);
    wait_for_same_tip(&first, &second);
    // The second node mines in secret.
    let _: Value = second.ask("setnetworkactive", json!([false]));
    let pool = NodePool::start(&options(&[&first], &folder), &[]);
    let miner = pool.miner(&[]);
    wait_for_height(&first, 15);
    end(miner);
    let ours = pool.at_rest(&first);
    assert_eq!(ours + 5, first.height());
    second.generate(ours + 3);

    let _: Value = second.ask("setnetworkactive", json!([true]));
    let connected = || !second.ask::<Vec<Value>>("getpeerinfo", json!([])).is_empty();
    until("the nodes meet again", LONG_DEADLINE, || connected().then_some(()));
    until("both have the longer chain", LONG_DEADLINE, || {
        (first.best_block() == second.best_block()).then_some(())
    });
    assert_eq!((first.height(), first.blocks_paying(PAYOUT, 0)), (ours + 8, 0));
    until("work on the new tip", DEADLINE, || (pool.summary()["height"] == json!(ours + 9)).then_some(()));

    let miner = pool.miner(&[]);
    wait_for_height(&first, ours + 18);
    end(miner);
    pool.at_rest(&first);
    // None of the blocks before is on the chain any more.
    let on_chain = first.blocks_paying(PAYOUT, 0);
    assert_eq!(on_chain, first.height() - (ours + 8));
    assert_eq!(number(&pool.summary()["rejected_blocks"]), 0);
    wait_for_same_tip(&first, &second);
}

#[test]
fn each_block_counts_once_with_two_nodes() {
    let Some((first, second)) = pair() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut pool = NodePool::start(&options(&[&first, &second], &folder), &[]);
    let miner = pool.miner(&[]);
    wait_for_height(&second, 100);
    end(miner);
    let blocks = pool.at_rest(&first);
    wait_for_same_tip(&first, &second);
    assert_eq!((blocks, first.blocks_paying(PAYOUT, 0)), (first.height(), first.height()));
    assert_eq!(number(&pool.summary()["rejected_blocks"]), 0);
    assert_eq!(pool.health(), "ok\n");
    let ended = pool.end();
    assert_eq!(number(&accounts(&pool.data())["totals"]["blocks"]), blocks);
    // Each node has some blocks sooner than the other. That is no news for the operator.
    let sources = ended.stderr.iter().filter(|line| line.contains("work comes from")).count();
    assert!((1..=3).contains(&sources) && ended.stderr.len() < 100, "{sources}: {:#?}", ended.stderr);
}

#[test]
fn the_second_node_is_used_while_the_first_is_gone() {
    let Some((mut first, second)) = pair() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pool = NodePool::start(&options(&[&first, &second], &folder), &[]);
    let miner = pool.miner(&[]);
    wait_for_height(&second, 10);
    first.kill();
    wait_for_height(&second, second.height() + 10);
    first.start_again();
    wait_for_height(&first, second.height() + 10);
    end(miner);
    let blocks = pool.at_rest(&first);
    wait_for_same_tip(&first, &second);
    assert_eq!((blocks, first.blocks_paying(PAYOUT, 0)), (first.height(), first.height()));
}

#[test]
fn a_node_that_lets_nobody_submit_makes_the_pool_unhealthy_with_one_line() {
    let whitelist = "-rpcwhitelist=u:getbestblockhash,getblockchaininfo,getblockhash,getblockheader,getblocktemplate,\
                     getmininginfo,getnetworkinfo,getrpcinfo,getzmqnotifications,waitfornewblock";
    let limits = [LOGIN, whitelist, "-rpcwhitelistdefault=0"];
    let Some(core) = BitcoinCore::start(Chain::Regtest, &limits) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut pool = NodePool::start(&options(&[&core], &folder), &[]);
    assert_eq!(pool.health(), "ok\n");
    let miner = pool.miner(&[]);
    until("the pool says what to do", LONG_DEADLINE, || {
        let health = pool.health();
        (health.contains("to call submitblock: add it to the node's rpcwhitelist")).then_some(())
    });
    end(miner);
    pool.process.signal(Signal::INT);
    let ended = pool.process.wait(LONG_DEADLINE);
    let lines = ended.stderr.iter().filter(|line| line.contains("block not submitted yet")).count();
    assert_eq!(lines, 1, "{:#?}", ended.stderr);
}

#[test]
fn blocks_keep_the_limits_of_the_node() {
    let long_tag = "x".repeat(79);
    let limits: [(&[&str], u64); 4] = [
        (&["-prune=550"], 4_000_000),
        (&["-blockmaxweight=8000"], 8000),
        (&["-blockreservedweight=2000", "-blockmaxweight=3000"], 3000),
        (&["-blocksonly"], 4_000_000),
    ];
    for (limit, most) in limits {
        let Some(core) = BitcoinCore::start(Chain::Regtest, limit) else { return };
        core.generate(110);
        let pool = NodePool::start(&node_options(&core), &["--tag", &long_tag]);
        let miner = pool.miner(&[]);
        wait_for_height(&core, 130);
        end(miner);
        let blocks = pool.at_rest(&core);
        assert_eq!(
            (blocks, core.blocks_paying(PAYOUT, 110)),
            (core.height() - 110, core.height() - 110),
            "{limit:?}"
        );
        let heaviest = core.blocks_above(110).iter().map(|block| number(&block["weight"])).max();
        assert!(heaviest.is_some_and(|weight| weight <= most), "{limit:?}: {heaviest:?}");
        assert_eq!(number(&pool.summary()["rejected_blocks"]), 0, "{limit:?}");
    }
}
