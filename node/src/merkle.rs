//! The merkle branch of the coinbase, and the witness commitment.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, ScriptBuf, WitnessCommitment, WitnessMerkleNode, Wtxid};

/// The coinbase's witness, which is part of the commitment (BIP-0141).
pub(crate) const WITNESS_RESERVED_VALUE: [u8; 32] = [0; 32];

/// The first bytes of a witness commitment's script: `OP_RETURN`, a push of 36 bytes, and the header of BIP-0141.
const COMMITMENT_MAGIC: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The hashes that lead from the coinbase's txid to the merkle root, lowest first. `txids` are those of the transactions
/// after the coinbase. All hashes are in internal byte order.
pub(crate) fn coinbase_branch(txids: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    // The row's first element is unknown, since it depends on the coinbase; this vector leaves it out.
    let mut row = txids;
    let mut branch = Vec::new();
    while let Some((sibling, rest)) = row.split_first() {
        branch.push(*sibling);
        row = rest
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(join(left, right)),
                // The last element of an odd row is hashed with itself.
                [single] => Some(join(single, single)),
                _ => None,
            })
            .collect();
    }
    branch
}

/// The merkle root with this coinbase txid. All hashes are in internal byte order.
pub(crate) fn root_from_branch(coinbase_txid: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    branch.iter().fold(coinbase_txid, |root, sibling| join(&root, sibling))
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    sha256d::Hash::hash(&both).to_byte_array()
}

/// The output script with the witness commitment of a block with these transactions after its coinbase.
pub(crate) fn witness_commitment_script(wtxids: impl Iterator<Item = Wtxid>) -> ScriptBuf {
    // The coinbase holds the commitment, so its own leaf is all zeros (BIP-0141).
    let coinbase = std::iter::once(sha256d::Hash::all_zeros());
    let leaves = coinbase.chain(wtxids.map(Wtxid::to_raw_hash)).collect::<Vec<_>>();
    let root = bitcoin::merkle_tree::calculate_root(leaves.into_iter())
        .expect("the coinbase's leaf is always there");
    let commitment: WitnessCommitment =
        Block::compute_witness_commitment(&WitnessMerkleNode::from_raw_hash(root), &WITNESS_RESERVED_VALUE);
    let mut script = COMMITMENT_MAGIC.to_vec();
    script.extend_from_slice(commitment.as_byte_array());
    ScriptBuf::from_bytes(script)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Converts a hash from the byte order that block explorers show to the internal one.
    fn internal(shown: &str) -> [u8; 32] {
        let mut bytes: [u8; 32] = hex::decode(shown).unwrap().try_into().unwrap();
        bytes.reverse();
        bytes
    }

    #[test]
    fn block_100000_has_its_known_root() {
        let txids = [
            "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
            "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
            "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
            "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
        ];
        let [coinbase, others @ ..] = txids.map(internal);
        let branch = coinbase_branch(others.to_vec());
        assert_eq!(branch.len(), 2);
        let root = "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766";
        assert_eq!(root_from_branch(coinbase, &branch), internal(root));
    }

    #[test]
    fn a_block_without_transactions_has_the_commitment_that_nodes_give() {
        let script = witness_commitment_script(std::iter::empty()).to_hex_string();
        assert_eq!(script, "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9");
    }

    proptest! {
        #[test]
        fn the_branch_leads_to_the_tree_s_root(
            coinbase: [u8; 32], others in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let leaves = std::iter::once(coinbase).chain(others.iter().copied());
            let leaves = leaves.map(sha256d::Hash::from_byte_array).collect::<Vec<_>>();
            let root = bitcoin::merkle_tree::calculate_root(leaves.into_iter()).unwrap();
            prop_assert_eq!(root_from_branch(coinbase, &coinbase_branch(others)), root.to_byte_array());
        }
    }
}
