//! Mines a block on a random template, and checks the block with the `bitcoin` crate.

use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn, TxOut, Txid,
    Witness, absolute,
};
use node::{BlockDraft, CoinbasePlan, Solution, Template};
use serde_json::json;

/// The compact target of regtest, which half of all hashes meet.
const BITS: u32 = 0x207f_ffff;

/// One test case: what a pool receives from its node, its owner and a miner.
#[derive(Arbitrary, Debug)]
struct Case<'a> {
    height: u32,
    version: u32,
    prev_hash: [u8; 32],
    time: u32,
    value: u64,
    segwit: bool,
    aux: Option<&'a [u8]>,
    tag: &'a [u8],
    payout: &'a [u8],
    extranonces: &'a [u8],
    rolled: u32,
    transactions: Vec<(u8, bool)>,
}

/// Makes a template from these bytes, mines a block on it, and checks the block with the `bitcoin` crate.
pub fn check(data: &[u8]) {
    if let Ok(mut case) = Case::arbitrary_take_rest(Unstructured::new(data)) {
        // Without this, nearly all random amounts would be too large and would be refused.
        case.value %= Amount::MAX_MONEY.to_sat() + 2;
        // An error means that there are too few bytes for a case.
        let _ = block(&case);
    }
}

fn block(case: &Case<'_>) -> Result<()> {
    let transactions: Vec<_> = case
        .transactions
        .iter()
        .take(20)
        .enumerate()
        .map(|(n, tx)| transaction(n, *tx, case.segwit))
        .collect();
    let entry = |tx: &Transaction| {
        json!({"data": encode::serialize_hex(tx), "txid": tx.compute_txid().to_string(),
               "hash": tx.compute_wtxid().to_string(), "fee": 1})
    };
    let mut members = json!({
        "version": case.version, "rules": if case.segwit { vec!["!segwit"] } else { vec![] },
        "previousblockhash": bitcoin::BlockHash::from_byte_array(case.prev_hash).to_string(),
        "transactions": transactions.iter().map(entry).collect::<Vec<_>>(),
        "coinbasevalue": case.value, "curtime": case.time, "bits": format!("{BITS:08x}"),
        "height": case.height,
    });
    if let Some(aux) = case.aux {
        members["coinbaseaux"] = json!({"flags": hex::encode(aux)});
    }
    // A template may be refused, for example because of an impossible height or amount.
    let Ok(template) = Template::from_json(&members.to_string()) else {
        let odd =
            case.height > i32::MAX as u32 || case.value > Amount::MAX_MONEY.to_sat() || case.aux.is_some();
        return assert_refusal(odd || case.version > i32::MAX as u32, &members);
    };
    let payout = ScriptBuf::from_bytes(case.payout.to_vec());
    let plan = CoinbasePlan {
        payout: payout.clone(),
        tag: case.tag.to_vec(),
        extranonce_size: case.extranonces.len(),
    };
    let Ok(draft) = BlockDraft::new(Arc::new(template), &plan) else {
        assert!(!(1..=CoinbasePlan::MAX_EXTRANONCE_SIZE).contains(&case.extranonces.len()), "{case:?}");
        return Ok(());
    };
    let block = mine(&draft, case);
    assert_block(&block, case, &payout);
    assert_eq!(&block.txdata[1..], transactions);
    Ok(())
}

fn assert_refusal(odd: bool, members: &serde_json::Value) -> Result<()> {
    assert!(odd, "refused: {members}");
    Ok(())
}

/// A transaction that is invalid on any network and differs from all others.
fn transaction(number: usize, (byte, witness): (u8, bool), segwit: bool) -> Transaction {
    let witness = if witness && segwit { Witness::from_slice(&[[byte; 8]]) } else { Witness::new() };
    Transaction {
        version: Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::hash(&number.to_le_bytes()), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness,
        }],
        output: vec![TxOut {
            value: Amount::from_sat(byte.into()),
            script_pubkey: ScriptBuf::from_bytes(vec![byte]),
        }],
    }
}

/// Mines by trying nonces.
fn mine(draft: &BlockDraft, case: &Case<'_>) -> Block {
    let bits = CompactTarget::from_consensus(BITS);
    let solution = |nonce| Solution {
        extranonces: case.extranonces,
        version: case.rolled,
        ntime: case.time,
        bits,
        nonce,
    };
    let target = Target::from_compact(bits);
    let nonce = (0..).find(|nonce| draft.header(solution(*nonce)).validate_pow(target).is_ok());
    draft.assemble(solution(nonce.expect("every second hash meets the target"))).expect("a valid block")
}

fn assert_block(block: &Block, case: &Case<'_>, payout: &ScriptBuf) {
    let coinbase = block.coinbase().expect("a coinbase");
    assert!(coinbase.is_coinbase() && block.check_merkle_root() && block.check_witness_commitment());
    assert_eq!((&coinbase.output[0].script_pubkey, coinbase.output[0].value.to_sat()), (payout, case.value));
    assert!(coinbase.output[1..].iter().all(|output| output.value == Amount::ZERO));
    let script = &coinbase.input[0].script_sig;
    assert!((2..=100).contains(&script.len()), "{script}");
    // The `bitcoin` crate reads no height from blocks of version 1, and a rolled version may be below 2. It also does not read
    // heights up to 16, which Bitcoin Core writes as opcodes.
    if case.rolled as i32 >= 2 && case.height > 16 {
        assert_eq!(block.bip34_block_height(), Ok(case.height.into()));
    }
    let all = script.as_bytes();
    let found = all.windows(case.extranonces.len()).any(|window| window == case.extranonces);
    assert!(found, "the extranonces are not in {script}");
    assert_eq!(block.header.version.to_consensus() as u32, case.rolled);
    assert_eq!(block.header.prev_blockhash.to_byte_array(), case.prev_hash);
    let again: Block = encode::deserialize(&encode::serialize(block)).expect("it decodes");
    assert_eq!(again, *block);
}
