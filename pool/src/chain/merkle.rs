//! Merkle branch of the coinbase, and the witness commitment.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, ScriptBuf, Transaction, WitnessCommitment, WitnessMerkleNode};

/// What the coinbase's witness holds, and the commitment is made with (BIP-0141).
pub const WITNESS_RESERVED_VALUE: [u8; 32] = [0; 32];

/// First bytes of a witness commitment's script: `OP_RETURN`, a push of 36 bytes, and the header of BIP-0141.
const COMMITMENT_MAGIC: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The hashes that lead from the coinbase's txid to the merkle root, lowest first, in internal byte order.
///
/// `transactions` are those after the coinbase.
pub fn coinbase_branch(transactions: &[Transaction]) -> Vec<[u8; 32]> {
    // The coinbase itself is the row's unknown first element, which this vector leaves out.
    let mut row: Vec<[u8; 32]> = transactions.iter().map(|tx| tx.compute_txid().to_byte_array()).collect();
    let mut branch = Vec::new();
    while let Some((sibling, rest)) = row.split_first() {
        branch.push(*sibling);
        row = rest
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => join(left, right),
                // An odd last element is joined with itself.
                [single, ..] => join(single, single),
                [] => unreachable!("chunks are never empty"),
            })
            .collect();
    }
    branch
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    sha256d::Hash::hash(&both).to_byte_array()
}

/// The output script with the witness commitment of a block with these transactions after its coinbase.
pub fn witness_commitment_script(transactions: &[Transaction]) -> ScriptBuf {
    // The coinbase counts as all zeros: it holds the commitment, so it can't be committed to.
    let coinbase = std::iter::once(sha256d::Hash::all_zeros());
    let wtxids = transactions.iter().map(|tx| tx.compute_wtxid().to_raw_hash());
    let root =
        bitcoin::merkle_tree::calculate_root(coinbase.chain(wtxids)).expect("the coinbase is always there");
    let commitment: WitnessCommitment =
        Block::compute_witness_commitment(&WitnessMerkleNode::from_raw_hash(root), &WITNESS_RESERVED_VALUE);
    let mut script = COMMITMENT_MAGIC.to_vec();
    script.extend_from_slice(commitment.as_byte_array());
    ScriptBuf::from_bytes(script)
}
