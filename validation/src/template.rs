//! Makes Bitcoin Core's answer to `getblocktemplate` from the kernel's chain.
//!
//! The `bitcoin` crate computes the witness commitment here, so that the pool's own code is checked independently.

use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, CompactTarget, ScriptBuf, Target, Transaction, WitnessMerkleNode, Wtxid};
use bitcoinkernel::BlockTreeEntry;
use bitcoinkernel::prelude::*;
use serde_json::{Value, json};

use crate::network::Net;

/// A new block must be later than the median time of this many blocks (BIP-0113).
const MEDIAN_OF: usize = 11;
/// Subsidy of the first blocks, in satoshi.
const SUBSIDY: u64 = 5_000_000_000;

/// The answer to `getblocktemplate` for the block after `tip`. That block must be in the first difficulty period, where the bits
/// do not change.
pub fn json(net: Net, tip: &BlockTreeEntry<'_>, now: u32, transactions: &[(Transaction, u64)]) -> Value {
    let height = tip.height() + 1;
    let min_time = median_time(tip) + 1;
    let bits = CompactTarget::from_consensus(tip.header().bits());
    let fees: u64 = transactions.iter().map(|(_, fee)| fee).sum();
    let halving = if net == Net::Regtest { 150 } else { 210_000 };
    let mut answer = json!({
        "capabilities": ["proposal"],
        "version": 0x2000_0000,
        "rules": ["csv", "!segwit", "taproot"],
        "vbavailable": {},
        "vbrequired": 0,
        "previousblockhash": BlockHash::from_byte_array(tip.block_hash().to_bytes()).to_string(),
        "transactions": transactions.iter().map(entry).collect::<Vec<_>>(),
        "coinbaseaux": {},
        "coinbasevalue": (SUBSIDY >> (height / halving)) + fees,
        "longpollid": format!("{}0", BlockHash::from_byte_array(tip.block_hash().to_bytes())),
        "target": format!("{:064x}", Target::from_compact(bits)),
        "mintime": min_time,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": 80_000,
        "sizelimit": 4_000_000,
        "weightlimit": 4_000_000,
        "curtime": now.max(min_time),
        "bits": format!("{:08x}", bits.to_consensus()),
        "height": height,
        "default_witness_commitment": witness_commitment(transactions),
    });
    if net == Net::Signet {
        answer["rules"] = json!(["csv", "!segwit", "!signet", "taproot"]);
        answer["signet_challenge"] = json!("51");
    }
    answer
}

fn entry((transaction, fee): &(Transaction, u64)) -> Value {
    json!({
        "data": encode::serialize_hex(transaction),
        "txid": transaction.compute_txid().to_string(),
        "hash": transaction.compute_wtxid().to_string(),
        "depends": [],
        "fee": fee,
        "sigops": 4,
        "weight": transaction.weight().to_wu(),
    })
}

/// The script of the output with the witness commitment: OP_RETURN and 36 bytes, of which the first four are fixed
/// (BIP-0141).
fn witness_commitment(transactions: &[(Transaction, u64)]) -> String {
    let wtxids = transactions.iter().map(|(transaction, _)| transaction.compute_wtxid());
    let leaves = std::iter::once(Wtxid::all_zeros()).chain(wtxids).map(|id| id.to_raw_hash());
    let root = bitcoin::merkle_tree::calculate_root(leaves).expect("there is a coinbase");
    let root = WitnessMerkleNode::from_raw_hash(root);
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array();
    let output = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], &commitment[..]].concat();
    ScriptBuf::from_bytes(output).to_hex_string()
}

/// The median time of a block and its predecessors.
fn median_time(tip: &BlockTreeEntry<'_>) -> u32 {
    let entries = std::iter::successors(Some(*tip), BlockTreeEntry::prev);
    let mut times: Vec<u32> = entries.take(MEDIAN_OF).map(|entry| entry.header().timestamp()).collect();
    times.sort_unstable();
    times[times.len() / 2]
}
