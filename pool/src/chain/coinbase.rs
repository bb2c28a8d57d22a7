//! The coinbase transaction, cut where the extranonces go.

use bitcoin::consensus::encode;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute};

/// Bytes in the coinbase that tell apart jobs, connections and what a miner tries.
pub const EXTRANONCE_SIZE: usize = 14;

/// A script of the coinbase's input may not be longer (consensus).
const MAX_SCRIPT_SIZE: usize = 100;

/// The most bytes that an opcode of one byte pushes.
const MAX_SHORT_PUSH: usize = 75;

/// What a coinbase is to contain.
#[derive(Clone, Debug)]
pub struct CoinbasePlan {
    /// Height of the block; the script begins with it (BIP-0034).
    pub height: u64,
    /// Bytes for the script after the extranonce, such as the pool's name; cut to what fits.
    pub tag: Vec<u8>,
    /// Where subsidy and fees go.
    pub outputs: Vec<TxOut>,
    /// The script of the witness commitment, for an output of its own at the end.
    pub witness_commitment: Option<ScriptBuf>,
}

/// A coinbase in its form without witness, which is the one that its txid is made of: before and after the
/// [`EXTRANONCE_SIZE`] bytes of the extranonces. Stratum calls them coinb1 and coinb2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbaseParts {
    /// All before the extranonces.
    pub prefix: Vec<u8>,
    /// All after the extranonces.
    pub suffix: Vec<u8>,
}

impl CoinbasePlan {
    /// Lays out the transaction and cuts it.
    pub fn cut(&self) -> CoinbaseParts {
        let height = height_script(self.height);
        let space = MAX_SCRIPT_SIZE - height.len() - (1 + EXTRANONCE_SIZE) - 1;
        let tag = &self.tag[..self.tag.len().min(space).min(MAX_SHORT_PUSH)];
        let tag = PushBytesBuf::try_from(tag.to_vec()).expect("shorter than the longest script");
        let script =
            Builder::from(height.to_bytes()).push_slice([0; EXTRANONCE_SIZE]).push_slice(tag).into_script();

        let mut output = self.outputs.clone();
        if let Some(script_pubkey) = &self.witness_commitment {
            output.push(TxOut { value: Amount::ZERO, script_pubkey: script_pubkey.clone() });
        }
        let transaction = Transaction {
            version: Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: script,
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output,
        };
        let bytes = encode::serialize(&transaction);
        // Version, number of inputs, outpoint, length of the script (one byte: it is at most 100), the height,
        // and the opcode that pushes the extranonces.
        let cut = 4 + 1 + 36 + 1 + height.len() + 1;
        CoinbaseParts { prefix: bytes[..cut].to_vec(), suffix: bytes[cut + EXTRANONCE_SIZE..].to_vec() }
    }
}

/// What a coinbase's script must begin with (BIP-0034): the height, pushed as Bitcoin Core does it, which below
/// 17 is an opcode.
pub fn height_script(height: u64) -> ScriptBuf {
    let height = i64::try_from(height).expect("a height fits 63 bits");
    Builder::new().push_int(height).into_script()
}
