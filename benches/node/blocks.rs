//! Fills a node's blocks with transactions that anyone can make.

use bitcoin::consensus::encode;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute};
use serde_json::{Value, json};
use testing::bitcoin_core::BitcoinCore;

/// Transactions of a block. With [`PADDING`], as many as fit into the four million weight units of a block.
pub const TRANSACTIONS: usize = 1955;
/// Bytes that a transaction carries, so that it has 509 bytes without its witness.
const PADDING: usize = 400;
const FEE: Amount = Amount::from_sat(2000);

/// Chains of transactions, each of which spends the one before it.
pub struct Lanes(Vec<(OutPoint, Amount)>);

impl Lanes {
    /// Mines the first blocks, and divides the reward of one among the lanes.
    pub fn fund(core: &BitcoinCore) -> Self {
        core.generate(101);
        let block: String = core.ask("getblockhash", json!([1]));
        let block: Value = core.ask("getblock", json!([block]));
        let coinbase: Txid = block["tx"][0].as_str().expect("an id").parse().expect("an id");
        let value = (Amount::from_int_btc(50) - Amount::from_sat(2_000_000)) / TRANSACTIONS as u64;
        let outputs = vec![TxOut { value, script_pubkey: anyone() }; TRANSACTIONS];
        let split = spend(OutPoint::new(coinbase, 0), outputs);
        core.ask_each("sendrawtransaction", &[json!([encode::serialize_hex(&split)])]);
        core.generate(1);
        let id = split.compute_txid();
        Lanes((0..).map(|output| (OutPoint::new(id, output), value)).take(TRANSACTIONS).collect())
    }

    /// Gives the node the next transaction of each lane: one block full.
    pub fn send(&mut self, core: &BitcoinCore) {
        let next = |(previous, value): &mut (OutPoint, Amount)| {
            *value -= FEE;
            let padding = PushBytesBuf::try_from(vec![0xaa; PADDING]).expect("short");
            let data = Builder::new().push_opcode(OP_RETURN).push_slice(padding).into_script();
            let outputs = [(*value, anyone()), (Amount::ZERO, data)];
            let transaction =
                spend(*previous, outputs.map(|(value, script_pubkey)| TxOut { value, script_pubkey }).into());
            *previous = OutPoint::new(transaction.compute_txid(), 0);
            transaction
        };
        let transactions: Vec<Transaction> = self.0.iter_mut().map(next).collect();
        let file = core.data_folder().join("import.dat");
        std::fs::write(&file, mempool(&transactions)).expect("the node's folder");
        let _: Value = core.ask("importmempool", json!([file, {"use_current_time": true}]));
    }
}

/// A file of the form of Bitcoin Core's mempool.dat, version 1. The node imports thousands of transactions in less time than it
/// needs for as many calls.
fn mempool(transactions: &[Transaction]) -> Vec<u8> {
    let (version, count) = (1_u64, transactions.len() as u64);
    let mut file = [version.to_le_bytes(), count.to_le_bytes()].concat();
    for transaction in transactions {
        file.extend(encode::serialize(transaction));
        let (time, fee_delta) = (0_i64, 0_i64);
        file.extend([time.to_le_bytes(), fee_delta.to_le_bytes()].concat());
    }
    // No more fee deltas, and no transactions that are still to be sent to peers.
    file.extend([0, 0]);
    file
}

fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

fn anyone() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&witness_script().wscript_hash())
}

fn spend(previous_output: OutPoint, output: Vec<TxOut>) -> Transaction {
    let witness = Witness::from_slice(&[witness_script().as_bytes()]);
    let input = TxIn { previous_output, script_sig: ScriptBuf::new(), sequence: Sequence::MAX, witness };
    Transaction { version: Version::TWO, lock_time: absolute::LockTime::ZERO, input: vec![input], output }
}
