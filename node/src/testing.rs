//! Templates, a tiny miner and fake nodes for the tests of this crate.

pub mod fake;

use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute,
};
use serde_json::{Value, json};

use crate::draft::{BlockDraft, Solution};
use crate::template::Template;

/// Different transactions without valid inputs; every second one has a witness.
pub fn transactions(count: usize) -> Vec<Transaction> {
    let transaction = |index: usize| Transaction {
        version: Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::hash(&index.to_le_bytes()), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: if index.is_multiple_of(2) { Witness::from_slice(&[[7; 8]]) } else { Witness::new() },
        }],
        output: vec![TxOut { value: Amount::from_sat(1), script_pubkey: ScriptBuf::from_bytes(vec![0x51]) }],
    };
    (0..count).map(transaction).collect()
}

/// A template with `count` transactions at regtest's difficulty, as Bitcoin Core writes it.
pub fn json(count: usize) -> Value {
    let transactions = transactions(count);
    let entry = |tx: &Transaction| {
        json!({
            "data": encode::serialize_hex(tx), "txid": tx.compute_txid().to_string(),
            "hash": tx.compute_wtxid().to_string(),
            "depends": [], "fee": 1000, "sigops": 0, "weight": tx.weight().to_wu(),
        })
    };
    let commitment =
        crate::merkle::witness_commitment_script(transactions.iter().map(|tx| tx.compute_wtxid()));
    json!({
        "capabilities": ["proposal"], "version": 0x2000_0000, "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {}, "vbrequired": 0,
        "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        "transactions": transactions.iter().map(entry).collect::<Vec<_>>(),
        "coinbaseaux": {}, "coinbasevalue": 5_000_000_000u64,
        "longpollid": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e22061",
        "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
        "mintime": 1_296_688_603, "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff", "sigoplimit": 80_000, "sizelimit": 4_000_000, "weightlimit": 4_000_000,
        "curtime": 1_800_000_000, "bits": "207fffff", "height": 1000,
        "default_witness_commitment": commitment.to_hex_string(),
    })
}

/// The template of [`json`], parsed and checked.
pub fn template(count: usize) -> Template {
    Template::from_json(&json(count).to_string()).unwrap()
}

/// A solution with this nonce, whose hash may miss the target.
pub fn solution<'a>(draft: &BlockDraft, extranonces: &'a [u8], nonce: u32) -> Solution<'a> {
    let template = &draft.template;
    Solution { extranonces, version: template.version, ntime: template.time, bits: template.bits, nonce }
}

/// Tries nonces until the hash meets the target; on regtest, half of all hashes do. Checks the header against the block.
pub fn mine(draft: &BlockDraft, extranonces: &[u8], version: u32, ntime: u32) -> Block {
    let target = bitcoin::Target::from_compact(draft.template.bits);
    let solution = (0..)
        .map(|nonce| Solution { version, ntime, ..solution(draft, extranonces, nonce) })
        .find(|solution| draft.header(*solution).validate_pow(target).is_ok());
    let block = draft.assemble(solution.unwrap()).unwrap();
    assert_eq!(block.header, draft.header(solution.unwrap()));
    block
}
