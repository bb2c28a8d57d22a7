//! A block that lacks only what the miner decides.

use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash, CompactTarget, Target, Transaction, TxMerkleNode, Witness};

use super::coinbase::{CoinbaseParts, height_script};
use super::merkle::{WITNESS_RESERVED_VALUE, coinbase_branch};

/// A block to be mined.
#[derive(Clone, Debug)]
pub struct Template {
    /// Height of the block.
    pub height: u64,
    /// The header's version, before bits are rolled.
    pub version: u32,
    /// Hash of the block before.
    pub prev_hash: BlockHash,
    /// The target that a header must meet.
    pub bits: CompactTarget,
    /// The header's time to begin with, seconds since the Unix epoch.
    pub time: u32,
    /// The earliest time allowed: more than the median of the last eleven blocks.
    pub min_time: u32,
    /// The coinbase around the extranonces.
    pub coinbase: CoinbaseParts,
    /// What leads from the coinbase's txid to the merkle root, in internal byte order.
    pub branch: Vec<[u8; 32]>,
    /// Transactions after the coinbase.
    pub transactions: Vec<Transaction>,
}

/// What a miner decided, in the meaning that a share gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solution<'a> {
    /// The bytes between the coinbase's parts: extranonce1, then extranonce2.
    pub extranonces: &'a [u8],
    /// The header's version with rolled bits.
    pub version: u32,
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
}

/// Why a share gave no valid block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// The coinbase is no transaction.
    #[error("the coinbase of height {height} does not decode")]
    Coinbase {
        /// The block's height.
        height: u64,
        /// The decoder's finding.
        #[source]
        source: encode::Error,
    },
    /// The block breaks a rule; nothing but a mistake of ours can cause it.
    #[error("block {hash} at height {height}: {rule}")]
    Rule {
        /// The block's hash.
        hash: BlockHash,
        /// The block's height.
        height: u64,
        /// The rule.
        rule: &'static str,
    },
}

impl Template {
    /// A template with its merkle branch; the pair is the earliest time and the one to begin with.
    pub fn new(
        height: u64,
        version: u32,
        prev_hash: BlockHash,
        bits: CompactTarget,
        (min_time, time): (u32, u32),
        coinbase: CoinbaseParts,
        transactions: Vec<Transaction>,
    ) -> Template {
        let branch = coinbase_branch(&transactions);
        Template { height, version, prev_hash, bits, time, min_time, coinbase, branch, transactions }
    }

    /// The header that a solution makes, as its 80 bytes are hashed.
    pub fn header(&self, solution: Solution<'_>) -> hasher::Header {
        let txid = sha256d::Hash::hash(&self.coinbase_bytes(solution.extranonces)).to_byte_array();
        hasher::Header {
            version: solution.version,
            prev_hash: self.prev_hash.to_byte_array(),
            merkle_root: stratum::job::merkle_root(txid, &self.branch),
            ntime: solution.ntime,
            nbits: hasher::CompactTarget(self.bits.to_consensus()),
            nonce: solution.nonce,
        }
    }

    /// The whole block with a solution in it, checked by [`check_block`].
    ///
    /// # Errors
    /// If the block would not be valid: the solution misses the target, or the template is wrong.
    pub fn assemble(&self, solution: Solution<'_>) -> Result<Block, AssembleError> {
        let mut coinbase: Transaction = encode::deserialize(&self.coinbase_bytes(solution.extranonces))
            .map_err(|source| AssembleError::Coinbase { height: self.height, source })?;
        if let Some(input) = coinbase.input.first_mut() {
            input.witness = Witness::from_slice(&[WITNESS_RESERVED_VALUE]);
        }
        let header = self.header(solution);
        let mut txdata = Vec::with_capacity(1 + self.transactions.len());
        txdata.push(coinbase);
        txdata.extend_from_slice(&self.transactions);
        let block = Block {
            header: Header {
                version: Version::from_consensus(header.version as i32),
                prev_blockhash: self.prev_hash,
                merkle_root: TxMerkleNode::from_byte_array(header.merkle_root),
                time: header.ntime,
                bits: self.bits,
                nonce: header.nonce,
            },
            txdata,
        };
        check_block(&block, self.height, self.bits)?;
        Ok(block)
    }

    fn coinbase_bytes(&self, extranonces: &[u8]) -> Vec<u8> {
        [&self.coinbase.prefix, extranonces, &self.coinbase.suffix].concat()
    }
}

/// Checks a block without knowing how it was made: merkle root, witness commitment, height and proof of work.
///
/// # Errors
/// [`AssembleError::Rule`] names the rule that it breaks.
pub fn check_block(block: &Block, height: u64, bits: CompactTarget) -> Result<(), AssembleError> {
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
    if block.header.validate_pow(Target::from_compact(bits)).is_err() {
        return broken("the proof of work does not meet the target");
    }
    Ok(())
}
