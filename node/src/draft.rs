//! A block without the values that the miner chooses.

use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash, CompactTarget, Target, Transaction, TxMerkleNode, Witness};

use crate::coinbase::{CoinbaseError, CoinbaseParts, CoinbasePlan, height_script};
use crate::merkle::{WITNESS_RESERVED_VALUE, root_from_branch};
use crate::template::Template;

/// A template with a coinbase. Many drafts can share one template and pay different scripts.
#[derive(Clone, Debug)]
pub struct BlockDraft {
    /// The node's template.
    pub template: Arc<Template>,
    /// The coinbase before and after the extranonces.
    pub coinbase: CoinbaseParts,
    extranonce_size: usize,
}

/// The values that a miner chooses, as a share submits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solution<'a> {
    /// The bytes between the parts of the coinbase: extranonce1, then extranonce2.
    pub extranonces: &'a [u8],
    /// The header's version with rolled bits.
    pub version: u32,
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The target in the header: the template's, except on testnets (see [`crate::min_difficulty`]).
    pub bits: CompactTarget,
    /// The header's nonce.
    pub nonce: u32,
}

/// Why a solution makes no valid block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The extranonces have the wrong size.
    #[error("{size} bytes of extranonces instead of {wanted}")]
    Extranonces {
        /// Number of extranonce bytes in the solution.
        size: usize,
        /// Number of extranonce bytes that the draft leaves free.
        wanted: usize,
    },
    /// The coinbase is not a transaction.
    #[error("the coinbase of height {height} does not decode")]
    Coinbase {
        /// The block's height.
        height: u32,
        /// The decoder's error.
        #[source]
        source: encode::Error,
    },
    /// The block breaks a rule. Either its hash does not meet the target, or this program has built a wrong block.
    #[error("block {hash} at height {height}: {rule}")]
    Rule {
        /// The block's hash.
        hash: BlockHash,
        /// The block's height.
        height: u32,
        /// The rule that the block breaks.
        rule: &'static str,
    },
}

impl BlockDraft {
    /// Adds a coinbase to a template.
    ///
    /// # Errors
    /// If no coinbase can be made from the plan.
    pub fn new(template: Arc<Template>, plan: &CoinbasePlan) -> Result<Self, CoinbaseError> {
        let coinbase = plan.cut(&template)?;
        Ok(BlockDraft { template, coinbase, extranonce_size: plan.extranonce_size })
    }

    /// The header with a solution.
    pub fn header(&self, solution: Solution<'_>) -> Header {
        let txid = sha256d::Hash::hash(&self.coinbase.join(solution.extranonces)).to_byte_array();
        Header {
            // In the `bitcoin` crate, the version is a signed number. The cast keeps all of its 32 bits.
            version: Version::from_consensus(solution.version as i32),
            prev_blockhash: self.template.prev_hash,
            merkle_root: TxMerkleNode::from_byte_array(root_from_branch(txid, &self.template.branch)),
            time: solution.ntime,
            bits: solution.bits,
            nonce: solution.nonce,
        }
    }

    /// The whole block with a solution, checked by [`check_block`].
    ///
    /// # Errors
    /// If the block is not valid: the solution does not meet the target, or the template is wrong.
    pub fn assemble(&self, solution: Solution<'_>) -> Result<Block, AssembleError> {
        let (size, wanted) = (solution.extranonces.len(), self.extranonce_size);
        if size != wanted {
            return Err(AssembleError::Extranonces { size, wanted });
        }
        let template = &self.template;
        let mut coinbase: Transaction = encode::deserialize(&self.coinbase.join(solution.extranonces))
            .map_err(|source| AssembleError::Coinbase { height: template.height, source })?;
        // The witness is added last, since the txid does not include the witness.
        if let (Some(_), Some(input)) = (&template.witness_commitment, coinbase.input.first_mut()) {
            input.witness = Witness::from_slice(&[WITNESS_RESERVED_VALUE]);
        }
        let transactions = template.transactions.iter().map(|tx| tx.transaction.clone());
        let txdata = std::iter::once(coinbase).chain(transactions).collect();
        let block = Block { header: self.header(solution), txdata };
        check_block(&block, template.height, solution.bits)?;
        Ok(block)
    }
}

/// Checks height, merkle root, witness commitment and proof of work of a block.
///
/// # Errors
/// [`AssembleError::Rule`] names the broken rule.
pub fn check_block(block: &Block, height: u32, bits: CompactTarget) -> Result<(), AssembleError> {
    let broken = |rule| Err(AssembleError::Rule { hash: block.block_hash(), height, rule });
    let Some(coinbase) = block.coinbase() else { return broken("there is no coinbase") };
    let script = coinbase.input.first().map(|input| input.script_sig.as_bytes()).unwrap_or_default();
    if !script.starts_with(height_script(height).as_bytes()) {
        return broken("the coinbase does not begin with the height (BIP-0034)");
    }
    if !(2..=100).contains(&script.len()) {
        return broken("the coinbase's script is not 2 to 100 bytes long");
    }
    if !block.check_merkle_root() {
        return broken("the merkle root is wrong");
    }
    if !block.check_witness_commitment() {
        return broken("the witness commitment is wrong (BIP-0141)");
    }
    if block.header.bits != bits || block.header.validate_pow(Target::from_compact(bits)).is_err() {
        return broken("the proof of work does not meet the target");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn draft(transactions: usize, tag: Vec<u8>, extranonce_size: usize) -> BlockDraft {
        let payout = ScriptBuf::from_bytes(vec![0x51]);
        let plan = CoinbasePlan { payout, tag, extranonce_size };
        BlockDraft::new(Arc::new(testing::template(transactions)), &plan).unwrap()
    }

    fn mine(draft: &BlockDraft, extranonces: &[u8]) -> Block {
        testing::mine(draft, extranonces, draft.template.version, draft.template.time)
    }

    #[test]
    fn a_draft_from_before_segwit_has_no_witness() {
        let template = Template { witness_commitment: None, ..testing::template(0) };
        let plan = CoinbasePlan { payout: ScriptBuf::new(), tag: vec![], extranonce_size: 4 };
        let block = mine(&BlockDraft::new(Arc::new(template), &plan).unwrap(), &[0; 4]);
        assert!(block.txdata[0].input[0].witness.is_empty());
        assert!(!mine(&draft(0, vec![], 4), &[0; 4]).txdata[0].input[0].witness.is_empty());
    }

    #[test]
    fn extranonces_fill_their_place() {
        let draft = draft(0, vec![], 4);
        for extranonces in [&[0u8; 3][..], &[0; 5]] {
            let error = draft.assemble(testing::solution(&draft, extranonces, 0)).unwrap_err();
            assert!(matches!(error, AssembleError::Extranonces { wanted: 4, .. }), "{error}");
        }
    }

    #[test]
    fn every_tampering_breaks_a_rule() {
        let draft = draft(5, vec![], 4);
        let block = mine(&draft, &[0; 4]);
        let rule = |tamper: fn(&mut Block)| {
            let mut block = block.clone();
            tamper(&mut block);
            match check_block(&block, draft.template.height, draft.template.bits) {
                Err(AssembleError::Rule { rule, .. }) => rule,
                other => panic!("{other:?}"),
            }
        };
        assert!(rule(|b| b.txdata.clear()).contains("no coinbase"));
        assert!(rule(|b| b.header.merkle_root = TxMerkleNode::all_zeros()).contains("merkle root"));
        assert!(rule(|b| b.txdata.swap(1, 2)).contains("merkle root"));
        assert!(rule(|b| b.txdata[1].input[0].witness.push([1])).contains("witness commitment"));
        assert!(rule(|b| b.txdata[0].input[0].witness.clear()).contains("witness commitment"));
        assert!(
            rule(|b| b.header.bits = CompactTarget::from_consensus(0x1d00_ffff)).contains("proof of work")
        );
        // A block with other bits than the expected ones is invalid, even if the expected target is easier.
        assert!(
            check_block(&block, draft.template.height, CompactTarget::from_consensus(0x2100_ffff)).is_err()
        );
        let missed = (0..).find_map(|nonce| {
            let header = Header { nonce, ..block.header };
            header.validate_pow(header.target()).is_err().then_some(header)
        });
        let missed = Block { header: missed.unwrap(), txdata: block.txdata.clone() };
        assert!(check_block(&missed, draft.template.height, draft.template.bits).is_err());
        let long = rule(|b| {
            let input = &mut b.txdata[0].input[0];
            input.script_sig = ScriptBuf::from_bytes([input.script_sig.as_bytes(), &[0; 100]].concat());
        });
        assert!(long.contains("2 to 100 bytes"), "{long}");
        assert!(check_block(&block, draft.template.height + 1, draft.template.bits).is_err());
        assert!(check_block(&block, draft.template.height, draft.template.bits).is_ok());
    }

    proptest! {
        /// Compares with the `bitcoin` crate, which computes merkle root and witness commitment from the whole block, while
        /// our code uses the branch and the template.
        #[test]
        fn template_to_block_agrees_with_the_bitcoin_crate(
            transactions in 0usize..40, tag: Vec<u8>, extranonces in proptest::collection::vec(any::<u8>(), 1..33),
            version: u32, ntime: u32,
        ) {
            let draft = draft(transactions, tag, extranonces.len());
            let block = testing::mine(&draft, &extranonces, version, ntime);
            prop_assert_eq!(block.compute_merkle_root(), Some(block.header.merkle_root));
            prop_assert!(block.check_witness_commitment());
            // The crate reads no height from blocks of version 1 or lower, and a rolled version may be that low.
            if version as i32 >= 2 {
                prop_assert_eq!(block.bip34_block_height(), Ok(draft.template.height.into()));
            }
            prop_assert_eq!(block.header.version.to_consensus() as u32, version);
            prop_assert_eq!(block.header.time, ntime);
            let again: Block = encode::deserialize(&encode::serialize(&block)).unwrap();
            prop_assert_eq!(again, block);
        }
    }
}
