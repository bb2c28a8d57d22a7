//! `mesos-miner pool --chain node` between a real node (bcoin on regtest) and `mesos-miner mine`. On regtest, half of all hashes
//! solve a block, so blocks are found as fast as possible.

#[path = "../../node/tests/bcoin/node_process.rs"]
pub mod bcoin;

use std::net::SocketAddr;
use std::sync::Arc;

use bcoin::Bcoin;
use bitcoin::consensus::encode;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Witness, absolute,
};
use node::{BlockDraft, CoinbasePlan, RpcClient, Solution, Template};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::mine_http::http_of;
use crate::pool_miners::all;
use crate::support::http::{get_json, get_text};
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// A node, with a blocking client.
pub struct Node {
    runtime: Runtime,
    bcoin: Bcoin,
    pub client: RpcClient,
}

impl Node {
    pub fn start() -> Option<Self> {
        let runtime = Runtime::new().expect("threads");
        let bcoin = runtime.block_on(Bcoin::start())?;
        let client = bcoin.client();
        Some(Node { runtime, bcoin, client })
    }

    fn ask<T: DeserializeOwned>(&self, method: &'static str, parameters: Value) -> T {
        self.runtime.block_on(self.client.call(method, parameters)).expect("the node answers")
    }

    pub fn height(&self) -> u64 {
        self.ask("getblockcount", json!([]))
    }

    pub fn block(&self, height: u64) -> Block {
        let hash: String = self.ask("getblockhash", json!([height]));
        let hex: String = self.ask("getblock", json!([hash, false]));
        encode::deserialize_hex(&hex).expect("a block")
    }

    /// Reorganises the chain: replaces the last block by two other blocks.
    fn overtake(&self) {
        let json: Value = self.ask("getblocktemplate", json!([{"rules": ["segwit"]}]));
        let template = Template::from_json(&json.to_string()).expect("a template");
        let left = self.block(u64::from(template.height) - 1);
        let height = template.height - 1;
        let first = Template { height, prev_hash: left.header.prev_blockhash, ..template.clone() };
        let first = self.mine(first);
        self.mine(Template { prev_hash: first, ..template });
    }

    /// Mines a block on the CPU and submits it.
    fn mine(&self, template: Template) -> BlockHash {
        let payout = ScriptBuf::new();
        let plan = CoinbasePlan { payout, tag: b"another pool".to_vec(), extranonce_size: 1 };
        let (version, ntime, bits) = (template.version, template.time, template.bits);
        let draft = BlockDraft::new(Arc::new(template), &plan).expect("a coinbase");
        let solve = |nonce| draft.assemble(Solution { extranonces: &[0], version, ntime, bits, nonce }).ok();
        let block = (0..).find_map(solve).expect("every second hash will do");
        let verdict: Option<String> = self.ask("submitblock", json!([encode::serialize_hex(&block)]));
        assert_eq!(verdict, None);
        block.block_hash()
    }

    fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.bcoin.stop();
        meanwhile();
        self.runtime.block_on(self.bcoin.start_again());
    }
}

/// A pool that gets block templates from a node.
struct Pool {
    process: Process,
    stratum: String,
    http: SocketAddr,
    /// The folder with the password file. It is removed when this value is dropped.
    _folder: tempfile::TempDir,
}

impl Pool {
    fn start(node: &Node, payout: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let password = folder.path().join("password");
        std::fs::write(&password, format!("{}\n", Bcoin::PASSWORD)).expect("a file");
        let (url, password) = (node.client.url().to_string(), password.to_string_lossy());
        let mut arguments = vec!["pool", "--chain", "node", "--bitcoind", &url, "--rpc-user", "x"];
        arguments.extend(["--rpc-password-file", &password, "--tag", "/process test/"]);
        arguments.extend(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        arguments.extend(payout);
        let mut process = mesos_miner(arguments);
        let after = |prefix: &'static str| move |line: &str| line.strip_prefix(prefix).map(str::to_owned);
        let stratum = process.wait_for_output(DEADLINE, after("listening on "));
        let http = process.wait_for_output(DEADLINE, after("HTTP on http://"));
        Pool { process, stratum, http: http.parse().expect("an address"), _folder: folder }
    }

    fn summary(&self) -> Value {
        get_json(self.http, "/api/v1/summary").expect("it answers")
    }

    fn blocks(&self) -> u64 {
        self.summary()["totals"]["blocks"].as_u64().expect("a number")
    }

    fn rejected_blocks(&self) -> u64 {
        self.summary()["rejected_blocks"].as_u64().expect("a number")
    }

    fn health(&self) -> String {
        get_text(self.http, "/healthz").expect("it answers")
    }

    fn wait_for_blocks(&self, blocks: u64) {
        until(&format!("{blocks} blocks"), LONG_DEADLINE, || (self.blocks() >= blocks).then_some(()));
    }

    /// Checks that the pool's list has this many accepted blocks, that these are in the node's chain, and that others are not.
    fn blocks_are_those_of(&self, node: &Node, count: u64) {
        let blocks = all(self.http, "blocks");
        let accepted = blocks.iter().filter(|block| block["state"] == "accepted");
        assert_eq!(accepted.count() as u64, count);
        for block in &blocks {
            let height = block["height"].as_u64().expect("a number");
            let in_chain = block["hash"] == node.block(height).block_hash().to_string();
            assert_eq!(in_chain, block["state"] == "accepted", "{block}");
            assert!(block["effort"].as_f64() >= Some(0.0), "{block}");
        }
    }

    /// Waits until neither the pool's totals nor the node's height changes any more. Returns the number of blocks.
    fn at_rest(&self, node: &Node) -> u64 {
        let (mut last, mut same) = (Value::Null, 0);
        until("pool and node are at rest", LONG_DEADLINE, || {
            let now = json!([self.summary()["totals"], node.height()]);
            same = if now == last { same + 1 } else { 0 };
            last = now;
            (same >= 20).then(|| self.blocks())
        })
    }

    fn miner(&self, user: &str) -> Process {
        mesos_miner(["mine", "-o", &self.stratum, "-u", user, "-t", "1", "--json"])
    }

    /// Ends the pool with SIGINT. Returns the number of blocks in its final summary.
    fn end(mut self) -> u64 {
        let ended = self.process.interrupt(DEADLINE);
        let last = ended.stdout.last().expect("it sums up");
        let blocks = last.rsplit_once("blocks: ").expect("it counts blocks").1;
        let (blocks, _candidates) = blocks.split_once("; candidates: ").expect("it counts candidates");
        // How many of them are orphaned may follow.
        blocks.split(' ').next().and_then(|blocks| blocks.parse().ok()).expect("a number")
    }
}

fn end(mut miner: Process) -> Summary {
    let ended = miner.interrupt(DEADLINE);
    Summary::of(&ended)
}

/// Anyone can spend an output to the hash of this script. Spending it needs no witness: the node's chain is
/// too short to support witnesses.
fn redeem_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

pub fn payout() -> Address {
    Address::p2sh(&redeem_script(), Network::Regtest).expect("a short script")
}

/// Spends the first output of `previous`, which pays to the hash of [`redeem_script`]. The new output pays to the same
/// hash, less a fee.
fn spend(previous: &Transaction) -> Transaction {
    let redeem =
        bitcoin::script::PushBytesBuf::try_from(redeem_script().into_bytes()).expect("a short script");
    let output = &previous.output[0];
    Transaction {
        version: Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(previous.compute_txid(), 0),
            script_sig: Builder::new().push_slice(redeem).into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: output.value - Amount::from_sat(10_000),
            script_pubkey: output.script_pubkey.clone(),
        }],
    }
}

#[test]
fn the_nodes_height_rises_by_exactly_the_reported_blocks() {
    let Some(node) = Node::start() else { return };
    let address = payout().to_string();
    let pool = Pool::start(&node, &["--address", &address]);
    assert_eq!(pool.health(), "ok\n");
    let miner = pool.miner("rig");
    pool.wait_for_blocks(200);

    // The second transaction spends the output of the first one.
    let parent = spend(&node.block(1).txdata[0]);
    let child = spend(&parent);
    for payment in [&parent, &child] {
        let _: String = node.ask("sendrawtransaction", json!([encode::serialize_hex(payment)]));
    }
    let mut height = 200;
    until("the transactions are mined", LONG_DEADLINE, || {
        let fresh = height + 1..=node.height();
        height = *fresh.end();
        fresh.into_iter().any(|height| node.block(height).txdata.contains(&child)).then_some(())
    });
    let summary = end(miner);
    until("the node has all blocks", DEADLINE, || (pool.blocks() == node.height()).then_some(()));
    assert_eq!(pool.rejected_blocks(), 0, "{summary:?}");
    pool.blocks_are_those_of(&node, node.height());
    let blocks = pool.end();
    assert_eq!(blocks, node.height());
    assert!(blocks >= 200);

    let mut transactions = Vec::new();
    for height in 1..=blocks {
        let block = node.block(height);
        let coinbase = &block.txdata[0];
        assert_eq!(coinbase.output[0].script_pubkey, payout().script_pubkey(), "{height}");
        let script = coinbase.input[0].script_sig.as_bytes();
        assert!(script.ends_with(b"/process test/"), "{height}: {script:?}");
        transactions.extend_from_slice(&block.txdata[1..]);
    }
    assert_eq!(transactions, [parent, child]);
}

#[test]
fn mining_survives_a_reorganisation_and_a_restart_of_the_node() {
    let Some(mut node) = Node::start() else { return };
    let pool = Pool::start(&node, &["--payout", "user"]);
    let user = format!("{}.rig", payout());
    let miner = pool.miner(&user);
    pool.wait_for_blocks(20);

    // The miner keeps its job on the old tip while it is stopped.
    miner.signal(Signal::STOP);
    let before = pool.at_rest(&node);
    assert_eq!(before, node.height());
    node.overtake();
    assert_eq!(node.height(), before + 1);
    until("work on the new tip", DEADLINE, || (pool.summary()["height"] == json!(before + 2)).then_some(()));
    miner.signal(Signal::CONT);
    pool.wait_for_blocks(before + 20);
    miner.signal(Signal::STOP);
    // One block of the pool is on the abandoned branch, and two blocks on the chain are not the pool's. So the chain has one
    // block more than the pool counts.
    let settled = pool.at_rest(&node);
    assert_eq!(settled + 1, node.height());
    miner.signal(Signal::CONT);
    pool.wait_for_blocks(settled + 1);

    // The node keeps its chain only in memory, so the chain is empty after the restart. It gets our blocks back from the pool, up to
    // the first block that is not ours.
    let mut lost = 0;
    node.restart(|| {
        until("the pool says that the node is down", DEADLINE, || {
            pool.health().starts_with("no node works").then_some(())
        });
        lost = pool.blocks();
    });
    until("the pool says that the node is up", LONG_DEADLINE, || (pool.health() == "ok\n").then_some(()));
    pool.wait_for_blocks(lost + 20);
    end(miner);
    until("the node has all new blocks", DEADLINE, || {
        (pool.blocks() - lost + before == node.height()).then_some(())
    });
    let height = node.height();
    assert_eq!(pool.end() - lost + before, height);
    for height in 1..=height {
        assert_eq!(node.block(height).txdata[0].output[0].script_pubkey, payout().script_pubkey());
    }
}

#[test]
fn mine_works_on_a_node_without_a_pool() {
    let Some(node) = Node::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let password = folder.path().join("password");
    std::fs::write(&password, format!("{}\n", Bcoin::PASSWORD)).expect("a file");
    let (url, password) = (node.client.url().to_string(), password.to_string_lossy());
    let data = folder.path().join("data");
    let (data, address) = (data.to_string_lossy(), payout().to_string());
    let line =
        ["--bitcoind", &url, "--rpc-user", "x", "--rpc-password-file", &password, "--address", &address];
    let line =
        [["mine", "-t", "1", "--json", "--data-dir", &data, "--http", "127.0.0.1:0"].as_slice(), &line]
            .concat();
    let mut miner = mesos_miner(line);
    // The user is told of the node, not of the port of the server in the same process.
    miner.wait_for_error(DEADLINE, |line| line.contains(&format!("connecting to node {url}")).then_some(()));
    let http = http_of(&mut miner);
    let mining = format!("mining on node {url} (regtest), paying to {address}");
    miner.wait_for_error(DEADLINE, |line| line.contains(&mining).then_some(()));
    assert!(!miner.stderr().iter().any(|line| line.contains("stratum+tcp")), "{:#?}", miner.stderr());
    until("the node has blocks", LONG_DEADLINE, || {
        assert!(miner.is_running(), "{:#?}", miner.stderr());
        (node.height() >= 20).then_some(())
    });
    let figures = get_json(http, "/api/v1/summary").expect("it answers");
    assert!(figures["blocks"].as_u64() >= Some(1), "{figures}");
    assert!(figures["work_from"].as_str().is_some_and(|text| text.contains(&url)), "{figures}");
    let blocks = get_json(http, "/api/v1/blocks?limit=1").expect("it answers");
    assert!(blocks["total"].as_u64() >= figures["blocks"].as_u64(), "{blocks}");
    assert!(blocks["items"][0]["height"].as_u64() >= Some(1), "{blocks}");
    let summary = end(miner);
    until("the node has all blocks", DEADLINE, || (summary.blocks == node.height()).then_some(()));
    assert!(summary.shares.accepted >= summary.blocks && summary.shares.rejected == 0, "{summary:?}");
    for height in 1..=node.height() {
        let coinbase = &node.block(height).txdata[0];
        assert_eq!(coinbase.output[0].script_pubkey, payout().script_pubkey(), "{height}");
    }
}

#[test]
fn an_address_of_another_network_is_refused() {
    let Some(node) = Node::start() else { return };
    let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let url =
        format!("http://x:{}@{}", Bcoin::PASSWORD, node.client.url().to_string().replace("http://", ""));
    let mut pool = mesos_miner(["pool", "--chain", "node", "--bitcoind", &url, "--address", main]);
    let ended = pool.wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.errors().contains("is for main, but the node is on regtest"), "{ended:#?}");
}

#[test]
fn a_block_found_while_the_node_is_down_outlives_the_pool() {
    let Some(mut node) = Node::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().to_string_lossy();
    let arguments = ["--payout", "user", "--data-dir", &data];
    let mut pool = Pool::start(&node, &arguments);
    node.bcoin.stop();
    // The pool continues with its last template while the node is down.
    let miner = pool.miner(&format!("{}.rig", payout()));
    let waiting = || {
        let files = std::fs::read_dir(folder.path().join("blocks")).expect("a folder");
        files
            .filter(|file| file.as_ref().is_ok_and(|f| f.path().extension() == Some("json".as_ref())))
            .count()
    };
    until("the block is on disk", LONG_DEADLINE, || (waiting() == 1).then_some(()));
    pool.process.signal(Signal::KILL);
    pool.process.wait(DEADLINE);
    end_lonely(miner);
    assert_eq!((pool_books(&folder).blocks.len(), waiting()), (0, 1));

    node.runtime.block_on(node.bcoin.start_again());
    assert_eq!(node.height(), 0);
    let pool = Pool::start(&node, &arguments);
    pool.wait_for_blocks(1);
    assert_eq!(node.height(), 1);
    assert_eq!(node.block(1).txdata[0].output[0].script_pubkey, payout().script_pubkey());
    until("the file is gone", DEADLINE, || (waiting() == 0).then_some(()));
    assert_eq!(pool.end(), 1);
    let ledger = pool_books(&folder);
    assert_eq!((ledger.totals.blocks, ledger.blocks.len()), (1, 1));
    assert!(ledger.blocks[0].worker.ends_with(".rig") && ledger.blocks[0].refused.is_none());
}

fn pool_books(folder: &tempfile::TempDir) -> pool::AccountsSnapshot {
    pool::read_accounts(folder.path()).expect("accounts")
}

/// Kills a miner that has lost its pool.
fn end_lonely(mut miner: Process) {
    miner.signal(Signal::KILL);
    miner.wait(DEADLINE);
}
