//! How a pool learns of new tips of a real Bitcoin Core, and what it sends then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use serde_json::{Value, json};
use testing::bitcoin_core::{ANYONE, BitcoinCore, Chain};

use crate::support::node_pool::{NodePool, PAYOUT, node_options};
use crate::support::raw_miner::RawMiner;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// A miner that does nothing but listen and submit what a test tells it to.
struct Listener {
    miner: RawMiner,
    extranonce1: Vec<u8>,
}

/// What a job changes: whether it makes the others stale, its id, and what it is made of.
struct Job {
    clean: bool,
    id: String,
    /// The coinbase's halves.
    coinb: [Vec<u8>; 2],
    branch: Vec<Vec<u8>>,
    /// The first 36 bytes of the header: version and parent.
    head: Vec<u8>,
    ntime: String,
    nbits: Vec<u8>,
}

fn bytes(hex: &Value) -> Vec<u8> {
    hex::decode(hex.as_str().expect("text")).expect("hexadecimal digits")
}

fn reversed(hex: &Value) -> Vec<u8> {
    bytes(hex).into_iter().rev().collect()
}

impl Job {
    fn read(params: &Value) -> Self {
        let parent = bytes(&params[1]).chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        Job {
            clean: params[8] == true,
            id: params[0].as_str().expect("text").to_owned(),
            coinb: [bytes(&params[2]), bytes(&params[3])],
            branch: params[4].as_array().expect("a list").iter().map(bytes).collect(),
            head: [reversed(&params[5]), parent].concat(),
            ntime: params[7].as_str().expect("text").to_owned(),
            nbits: reversed(&params[6]),
        }
    }

    /// Finds a share, which on regtest is a block. Returns its extranonce2 and nonce.
    fn solve(&self, extranonce1: &[u8]) -> (String, String) {
        let extranonce2 = [0; 8];
        let coinbase = [&self.coinb[0][..], extranonce1, &extranonce2, &self.coinb[1]].concat();
        let hash = |data: &[u8]| sha256d::Hash::hash(data).to_byte_array();
        let root = self.branch.iter().fold(hash(&coinbase), |root, next| hash(&[&root[..], next].concat()));
        let ntime = reversed(&json!(self.ntime));
        let solves = |nonce: &u32| {
            let header = [&self.head[..], &root, &ntime, &self.nbits, &nonce.to_le_bytes()].concat();
            // Regtest's target is 7fffff…
            hash(&header)[31] < 0x7f
        };
        let nonce = (0..).find(solves).expect("every second nonce");
        (hex::encode(extranonce2), format!("{nonce:08x}"))
    }
}

impl Listener {
    fn connect(pool: &str) -> Self {
        let (miner, subscribed) = RawMiner::ready(pool, "rig");
        Listener { miner, extranonce1: bytes(&subscribed[1]) }
    }

    fn job(&mut self) -> Job {
        Job::read(&self.miner.job())
    }

    /// The first two jobs of the next tip that gets an empty one first. `next_tip` makes a tip.
    fn empty_and_full(&mut self, mut next_tip: impl FnMut()) -> [Job; 2] {
        loop {
            next_tip();
            let mut first = self.job();
            while !first.clean {
                first = self.job();
            }
            // If the full template came very soon, it has replaced the empty one before this was sent.
            if first.branch.is_empty() {
                return [first, self.job()];
            }
        }
    }

    fn submit(&mut self, id: u64, job: &Job) {
        let (extranonce2, nonce) = job.solve(&self.extranonce1);
        self.miner.call(id, "mining.submit", &json!(["rig", job.id, extranonce2, job.ntime, nonce]));
        let answer = self.miner.answer(id);
        assert_eq!(answer["result"], true, "{answer}");
    }
}

/// A transaction that spends the reward of the block at `height`, which has matured.
fn spend(core: &BitcoinCore, height: u64) -> String {
    let hash: Value = core.ask("getblockhash", json!([height]));
    let block: Value = core.ask("getblock", json!([hash, 2]));
    let coinbase: Transaction =
        deserialize_hex(block["tx"][0]["hex"].as_str().expect("text")).expect("a transaction");
    let value = coinbase.output[0].value - Amount::from_sat(10_000);
    let anyone = coinbase.output[0].script_pubkey.clone();
    let input = TxIn {
        previous_output: OutPoint::new(coinbase.compute_txid(), 0),
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[[0x51]]),
    };
    serialize_hex(&Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: vec![TxOut { value, script_pubkey: anyone }],
    })
}

#[test]
fn a_new_tip_gets_an_empty_job_first_and_both_jobs_can_be_solved() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    core.generate(101);
    let _: Value = core.ask("sendrawtransaction", json!([spend(&core, 1)]));
    let mut pool = NodePool::start(&node_options(&core), &[]);
    let mut miner = Listener::connect(&pool.stratum);
    let first = miner.job();
    assert!(first.clean && first.branch.len() == 1);
    // A block without the transaction, which stays in the memory pool.
    let next_tip = || {
        let _: Value = core.ask("generateblock", json!([ANYONE, []]));
    };
    // First the empty job is solved, although the full one has come; then, on another tip, the full one.
    for (id, solved, transactions) in [(10, 0, 1), (11, 1, 2)] {
        let jobs = miner.empty_and_full(next_tip);
        let [empty, full] = &jobs;
        assert!(empty.clean && empty.branch.is_empty());
        assert!(!full.clean && full.branch.len() == 1 && full.head == empty.head);
        let height = core.height();
        miner.submit(id, &jobs[solved]);
        until("the block is taken", DEADLINE, || (core.height() == height + 1).then_some(()));
        let block = &core.blocks_above(height)[0];
        assert_eq!(block["nTx"], transactions, "{block}");
        assert_eq!(block["tx"][0]["vout"][0]["scriptPubKey"]["address"], PAYOUT);
        // The transaction is still there, and in the full job on top of our own empty block.
        while solved == 0 && miner.job().branch.is_empty() {}
    }
    assert_eq!(core.blocks_paying(PAYOUT, 0), 2);
    pool.end();
}

#[test]
fn a_node_with_one_thread_is_not_held_and_a_slow_one_is_told_of() {
    let Some(core) = BitcoinCore::start(Chain::Regtest, &["-rpcthreads=1"]) else { return };
    core.generate(1);
    let mut pool = NodePool::start(&node_options(&core), &[]);
    // The node has one thread, so each answer shows that nothing holds it for long.
    for _ in 0..20 {
        core.call_within(Duration::from_secs(30), "getblockcount", json!([])).expect("an answer");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!pool.health().contains("no node works"), "{}", pool.health());

    // Other clients wait at the node all the time.
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let _ = core.call("waitfornewblock", json!([800]));
                }
            });
        }
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the pool warns", LONG_DEADLINE, || {
                let health = pool.health();
                (health.starts_with("ok\nwarning: ") && health.contains("answers slowly")).then_some(())
            });
            let reasons = pool.summary()["reasons"].clone();
            assert!(
                reasons.as_array().is_some_and(|all| all.iter().any(|reason| reason["code"] == "node-slow"))
            );
        }));
        end.store(true, Ordering::Relaxed);
        told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    until("the pool takes the warning back", LONG_DEADLINE, || {
        (!pool.health().contains("answers slowly")).then_some(())
    });
    pool.end();
}
