//! What counts as a block, on a real Bitcoin Core: how many there may be, lost, orphaned and rejected ones, and no flood where every
//! second hash solves a block.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use testing::bitcoin_core::{BitcoinCore, Chain};

use crate::pool_miners::all as items;
use crate::support::node_pool::{NodePool, PAYOUT, accounts, node_options, number};
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::tcp_server::serve;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

fn mine_on(core: &BitcoinCore, more: &[&str]) -> Process {
    let mut arguments: Vec<String> =
        ["mine", "-t", "1", "--json", "--address", PAYOUT].map(str::to_owned).into();
    arguments.extend(node_options(core));
    arguments.extend(more.iter().map(|more| (*more).to_owned()));
    mesos_miner(arguments)
}

/// Mines until the node has this height, and stops the miner. Returns the pool's number of blocks.
fn mine_to(pool: &NodePool, core: &BitcoinCore, height: u64) -> u64 {
    let mut miner = pool.miner(&[]);
    until(&format!("height {height}"), LONG_DEADLINE, || (core.height() >= height).then_some(()));
    miner.interrupt(DEADLINE);
    pool.at_rest(core)
}

fn totals(pool: &NodePool, what: &str) -> u64 {
    number(&pool.summary()["totals"][what])
}

#[test]
fn mine_makes_as_many_blocks_as_wanted_with_few_lines() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let mut miner = mine_on(&core, &["--blocks", "200"]);
    let ended = miner.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let summary = Summary::of(&ended);
    assert_eq!((summary.blocks, core.height(), core.blocks_paying(PAYOUT, 0)), (200, 200, 200));
    assert!(summary.candidates >= 200 && summary.orphaned == 0, "{summary:?}");
    assert!(ended.stderr.len() < 100, "{} lines: {ended:#?}", ended.stderr.len());
    let found = ended.stderr.iter().any(|line| line.contains("block found, and accepted by the node"));
    assert!(found, "{ended:#?}");
    let counted = accounts(&miner.folder().join("mesos-miner-pool"));
    assert_eq!(number(&counted["totals"]["blocks"]), 200);
}

/// The address of a proxy that passes each block on to the node only after this time.
fn slow_to_take_blocks(core: &BitcoinCore, delay: Duration) -> String {
    let node = core.rpc_address();
    let proxy = serve(move |mut client| {
        let mut node = TcpStream::connect(node)?;
        let (mut from, mut to) = (node.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut part = [0; 1 << 16];
        loop {
            let length = client.read(&mut part)?;
            if length == 0 {
                return node.shutdown(Shutdown::Both);
            }
            if String::from_utf8_lossy(&part[..length]).contains("submitblock") {
                std::thread::sleep(delay);
            }
            node.write_all(&part[..length])?;
        }
    });
    format!("http://{proxy}")
}

#[test]
fn a_solved_template_is_not_searched_while_the_node_takes_its_block() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let (node, cookie) = (slow_to_take_blocks(&core, Duration::from_secs(3)), core.cookie_file());
    let cookie = cookie.to_str().expect("UTF-8");
    let access = ["--bitcoind", &node, "--cookie-file", cookie];
    let limited = ["mine", "-t", "1", "--json", "--address", PAYOUT, "--blocks", "2"];
    let ended = mesos_miner([&limited[..], &access].concat()).wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let summary = Summary::of(&ended);
    assert_eq!((summary.blocks, core.height()), (2, 2), "{summary:?}");
    // One for each block, and perhaps one on the tip that they leave.
    assert!(summary.shares.accepted + summary.shares.unanswered <= 3, "{summary:?}");
}

#[test]
fn a_block_interval_spaces_blocks_on_a_node() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let ended = mine_on(&core, &["--blocks", "3", "--block-interval", "1s"]).wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let summary = Summary::of(&ended);
    assert_eq!((summary.blocks, core.height()), (3, 3), "{summary:?}");
    assert!(summary.seconds >= 2.0, "{summary:?}");
}

#[test]
fn a_pool_ends_after_the_blocks_that_are_wanted_and_all_counts_agree() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let mut pool = NodePool::start(&node_options(&core), &["--blocks", "100"]);
    let mut miner = pool.miner(&[]);
    let ended = pool.process.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    assert!(ended.stdout.iter().any(|line| line.contains("blocks: 100; candidates: ")), "{ended:#?}");
    assert!(ended.stderr.len() < 100, "{} lines: {ended:#?}", ended.stderr.len());
    miner.signal(Signal::INT);
    let mined = miner.wait(DEADLINE);
    assert!(mined.stderr.len() < 100, "{} lines: {mined:#?}", mined.stderr.len());
    let (books, summary) = (accounts(&pool.data()), Summary::of(&mined));
    assert_eq!((core.height(), number(&books["totals"]["blocks"])), (100, 100));
    let candidates = number(&books["totals"]["candidates"]);
    let unanswered = summary.shares.unanswered;
    assert!((summary.candidates..=summary.candidates + unanswered).contains(&candidates), "{summary:?}");
}

#[test]
fn blocks_that_a_crashed_node_has_lost_are_submitted_again() {
    let Some(mut core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    core.generate(5);
    // The node writes these to its disk.
    core.stop();
    core.start_again();
    let pool = NodePool::start(&node_options(&core), &[]);
    let ours = mine_to(&pool, &core, 15);
    let tip = core.best_block();
    core.kill();
    core.start_again();
    until("the node has our blocks again", LONG_DEADLINE, || (core.best_block() == tip).then_some(()));
    assert_eq!((pool.blocks(), core.height()), (ours, ours + 5));
    let more = mine_to(&pool, &core, ours + 15);
    assert_eq!((more, core.blocks_paying(PAYOUT, 0)), (core.height() - 5, core.height() - 5));
}

/// A node and a pool after a crash, and the number of our blocks before.
struct Crash {
    core: BitcoinCore,
    pool: NodePool,
    ours: u64,
    _data: tempfile::TempDir,
}

/// Node and pool crash at the same moment, and the node comes back without our blocks. `before` runs before the pool
/// starts again.
fn crash_together(before: impl FnOnce(&BitcoinCore, &std::path::Path)) -> Option<Crash> {
    let mut core = BitcoinCore::start(Chain::Regtest, &[])?;
    core.generate(5);
    core.stop();
    core.start_again();
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut pool = NodePool::start_in(data.path(), &node_options(&core), &["--blocks", "4"]);
    let mut miner = pool.miner(&[]);
    assert!(pool.process.wait(LONG_DEADLINE).status.success());
    miner.signal(Signal::INT);
    miner.wait(DEADLINE);
    assert_eq!(core.height(), 9);
    core.kill();
    core.start_again();
    assert_eq!(core.height(), 5, "the node has lost our blocks");
    before(&core, &data.path().join("blocks"));
    let pool = NodePool::start_in(data.path(), &node_options(&core), &[]);
    Some(Crash { core, pool, ours: 4, _data: data })
}

#[test]
fn blocks_that_node_and_pool_have_lost_together_are_submitted_again() {
    let Some(Crash { core, pool, ours, _data }) = crash_together(|_, _| ()) else { return };
    until("the node has our blocks again", LONG_DEADLINE, || (core.height() == 9).then_some(()));
    assert_eq!((pool.blocks(), totals(&pool, "orphaned"), core.blocks_paying(PAYOUT, 0)), (ours, 0, ours));
}

#[test]
fn blocks_whose_verdict_was_not_on_disk_follow_their_lost_parents() {
    let forget_verdicts = |_: &BitcoinCore, blocks: &std::path::Path| {
        let database = blocks.with_file_name("pool.sqlite");
        let database = rusqlite::Connection::open(database).expect("the pool's database");
        for height in [8, 9] {
            let forget = "DELETE FROM block WHERE height = ?1 RETURNING hash";
            let hash: String = database.query_row(forget, [height], |row| row.get(0)).expect("our block");
            let file = |kind| blocks.join(format!("{hash}.{kind}"));
            std::fs::rename(file("accepted"), file("json")).expect("its file");
        }
        database.execute_batch("UPDATE worker SET blocks = blocks - 2").expect("our worker");
    };
    let Some(Crash { core, pool, ours, _data }) = crash_together(forget_verdicts) else { return };
    until("the node has our blocks again", LONG_DEADLINE, || (core.height() == 9).then_some(()));
    until("all are counted", LONG_DEADLINE, || (pool.blocks() == ours).then_some(()));
    assert_eq!((number(&pool.summary()["rejected_blocks"]), totals(&pool, "orphaned")), (0, 0));
}

#[test]
fn lost_blocks_without_their_bytes_are_orphaned() {
    let remove = |core: &BitcoinCore, blocks: &std::path::Path| {
        std::fs::remove_dir_all(blocks).expect("a folder");
        core.generate(7);
    };
    let Some(Crash { core, pool, ours, _data }) = crash_together(remove) else { return };
    until("the orphans are marked", LONG_DEADLINE, || (totals(&pool, "orphaned") == ours).then_some(()));
    let all = mine_to(&pool, &core, 15);
    assert_eq!((core.blocks_paying(PAYOUT, 0), totals(&pool, "orphaned")), (all - ours, ours));
}

#[test]
fn orphaned_blocks_are_marked_everywhere() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    core.generate(5);
    let mut pool = NodePool::start(&node_options(&core), &[]);
    let ours = mine_to(&pool, &core, 10);
    let first: String = core.ask("getblockhash", json!([6]));
    let _: Value = core.ask("invalidateblock", json!([first]));
    core.generate(ours + 2);
    until("the orphans are marked", LONG_DEADLINE, || (totals(&pool, "orphaned") == ours).then_some(()));
    let all = mine_to(&pool, &core, core.height() + 5);
    assert_eq!(core.blocks_paying(PAYOUT, 0), all - ours);
    let listed = items(pool.http, "blocks");
    assert_eq!(listed.len() as u64, all);
    for block in listed {
        let in_chain: String = core.ask("getblockhash", json!([block["height"]]));
        let state = if block["hash"] == in_chain { "accepted" } else { "orphaned" };
        assert_eq!(block["state"], state, "{block}");
        assert!(block["effort"].as_f64() >= Some(0.0), "{block}");
    }
    let ended = pool.end();
    let orphaned = format!("blocks: {all} ({ours} orphaned)");
    assert!(ended.stdout.iter().any(|line| line.contains(&orphaned)), "{ended:#?}");
    let books = accounts(&pool.data());
    assert_eq!((&books["totals"]["blocks"], &books["totals"]["orphaned"]), (&json!(all), &json!(ours)));
    let marked = books["blocks"].as_array().expect("blocks").iter().filter(|block| block["orphaned"] == true);
    assert_eq!(marked.count() as u64, ours);
}

#[test]
fn a_rejected_block_makes_the_pool_unhealthy_until_one_is_accepted() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[&format!("-mocktime={now}")]) else { return };
    let pool = NodePool::start(&node_options(&core), &[]);
    assert_eq!(pool.health(), "ok\n");
    // The node's clock goes back by more than a block may be ahead of it. The pool's template is still of the time before.
    let _: Value = core.ask("setmocktime", json!([now - 3 * 3600]));
    let _miner = pool.miner(&[]);
    until("the pool tells of the rejection", LONG_DEADLINE, || {
        let health = pool.health();
        (health.contains("block-rejected") || health.contains("time-too-new")).then_some(())
    });
    let reasons = pool.summary()["reasons"].to_string();
    assert!(reasons.contains("block-rejected") && reasons.contains("time-too-new"), "{reasons}");
    assert!(number(&pool.summary()["rejected_blocks"]) >= 1);
    // The next template makes another block, which the node takes, since its clock is right again.
    let _: Value = core.ask("setmocktime", json!([now]));
    until("a block is accepted", LONG_DEADLINE, || (pool.blocks() > 0).then_some(()));
    until("the pool is healthy", DEADLINE, || (!pool.health().contains("rejected")).then_some(()));
}
