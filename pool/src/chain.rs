//! The built-in chain, in memory: templates and blocks without a node.
//!
//! Headers, merkle trees and proof of work are real. The difficulty follows the miners' hashrate, so that about one block
//! is found per interval; unlike on regtest, the target differs from block to block. [`node::draft::check_block`] checks
//! each block and uses only the `bitcoin` crate for this.
//!
//! The chain begins with regtest's genesis block. The first [`MATURITY`] blocks are mined at the start at the lowest difficulty,
//! which takes a few hundred hashes. Later blocks spend the coinbases of these blocks, so their transactions have real inputs.
//! The inputs have witnesses without signatures, so the later blocks also need a witness commitment.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::constants::genesis_block;
use bitcoin::opcodes::OP_TRUE;
use bitcoin::script::Builder;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxOut, Witness, absolute,
};

use node::draft::{AssembleError, check_block};
use node::{BlockDraft, CoinbasePlan, Solution, Template};

use crate::job::ExtranonceLayout;

/// Number of blocks after which a coinbase may be spent (consensus).
const MATURITY: usize = 100;
/// The next block's time must exceed the median time of this many blocks (consensus).
const MEDIAN_SPAN: usize = 11;
/// Blocks between two halvings of the subsidy (consensus).
const HALVING_INTERVAL: u32 = 210_000;
/// The version in the header of each block: BIP-0009's top bits, and no version bit set.
const VERSION: u32 = 0x2000_0000;
/// The compact target that is easiest to meet: regtest's limit, which half of all hashes meet.
const EASIEST: u32 = 0x207f_ffff;
/// The fee that each transaction of this chain pays.
const FEE: Amount = Amount::from_sat(1_000);
/// Maximum number of unspent outputs that are kept for transactions of later blocks. If there are more, the oldest are
/// dropped and never spent.
const MAX_COINS: usize = 8;

/// An output that anyone can spend.
#[derive(Clone, Copy, Debug)]
struct Coin {
    outpoint: OutPoint,
    value: Amount,
}

/// The chain: its tip, and the outputs that the next block can spend.
#[derive(Clone, Debug)]
pub struct BuiltinChain {
    block_interval: Duration,
    tag: Vec<u8>,
    height: u32,
    tip: BlockHash,
    /// Times of the last blocks, oldest first. The next block must be later than their median.
    times: VecDeque<u32>,
    /// Coinbases that cannot be spent yet, oldest first.
    immature: VecDeque<Coin>,
    /// Outputs that the next blocks can spend, oldest first.
    coins: VecDeque<Coin>,
}

/// Why a block does not extend the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The block does not extend the tip.
    #[error("block {hash} extends {parent}, but the tip is {tip}")]
    Orphan {
        /// The block's hash.
        hash: BlockHash,
        /// The parent of the block.
        parent: BlockHash,
        /// The chain's tip.
        tip: BlockHash,
    },
    /// The block's time is not after the median time of the last eleven blocks.
    #[error("block {hash} has time {time}, the earliest allowed is {earliest}")]
    TooOld {
        /// The block's hash.
        hash: BlockHash,
        /// The block's time.
        time: u32,
        /// The earliest time allowed.
        earliest: u32,
    },
    /// The block breaks a rule.
    #[error(transparent)]
    Invalid(#[from] AssembleError),
}

impl BuiltinChain {
    /// Makes a chain whose first blocks are already mined.
    ///
    /// `tag` goes into every coinbase; `now` is in seconds since the Unix epoch.
    pub fn new(block_interval: Duration, tag: &[u8], now: u32) -> Self {
        let genesis = genesis_block(Network::Regtest);
        let mut chain = Self {
            block_interval,
            tag: tag.to_vec(),
            height: 0,
            tip: genesis.block_hash(),
            times: VecDeque::from([genesis.header.time]),
            immature: VecDeque::new(),
            coins: VecDeque::new(),
        };
        let start = now.saturating_sub(MATURITY as u32);
        for second in start..start + MATURITY as u32 {
            chain.mine_one(second);
        }
        chain
    }

    /// Height of the tip.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Hash of the tip.
    pub fn tip(&self) -> BlockHash {
        self.tip
    }

    /// The template of the next block, for miners whose total hashrate is `hashrate` (H/s).
    pub fn template(&self, hashrate: f64, now: u32) -> Template {
        let hashes = hashrate * self.block_interval.as_secs_f64();
        let target = hasher::Target::from_difficulty(hashes / hasher::Target::HASHES_PER_DIFFICULTY);
        let bits = target.to_compact().0.min(EASIEST);
        self.template_with(CompactTarget::from_consensus(bits), now)
    }

    /// The content of the chain's coinbases.
    pub fn plan(&self) -> CoinbasePlan {
        CoinbasePlan {
            payout: anyone_can_spend(),
            tag: self.tag.clone(),
            extranonce_size: ExtranonceLayout::OWN_BLOCKS.size(),
        }
    }

    fn template_with(&self, bits: CompactTarget, now: u32) -> Template {
        let height = self.height + 1;
        let (transactions, fees) = self.transactions(height);
        let min_time = self.median_time().saturating_add(1);
        let times = (min_time, now.max(min_time));
        Template::compose(height, VERSION, self.tip, bits, times, subsidy(height) + fees, transactions)
    }

    /// Checks a block, and appends it to the chain.
    ///
    /// # Errors
    /// If the block does not extend the tip, or breaks a rule. In these cases, the chain does not change.
    pub fn accept(&mut self, block: &Block) -> Result<(), ChainError> {
        let (hash, parent, tip) = (block.block_hash(), block.header.prev_blockhash, self.tip);
        if parent != tip {
            return Err(ChainError::Orphan { hash, parent, tip });
        }
        let (time, earliest) = (block.header.time, self.median_time().saturating_add(1));
        if time < earliest {
            return Err(ChainError::TooOld { hash, time, earliest });
        }
        check_block(block, self.height + 1, block.header.bits)?;

        self.height += 1;
        self.tip = hash;
        self.times.push_back(time);
        if self.times.len() > MEDIAN_SPAN {
            self.times.pop_front();
        }
        self.move_coins(block);
        Ok(())
    }

    fn move_coins(&mut self, block: &Block) {
        let spent: Vec<OutPoint> =
            block.txdata.iter().flat_map(|tx| tx.input.iter().map(|input| input.previous_output)).collect();
        if self.immature.len() >= MATURITY {
            self.coins.extend(self.immature.pop_front());
        }
        self.coins.retain(|coin| !spent.contains(&coin.outpoint));
        for (index, tx) in block.txdata.iter().enumerate() {
            let Some(output) = tx.output.first() else { continue };
            let coin = Coin { outpoint: OutPoint::new(tx.compute_txid(), 0), value: output.value };
            if index == 0 { self.immature.push_back(coin) } else { self.coins.push_back(coin) }
        }
        while self.coins.len() > MAX_COINS {
            self.coins.pop_front();
        }
    }

    /// The transactions of the next block, and their fees. The number of transactions varies with the height and may be
    /// zero, so that merkle trees have different shapes.
    fn transactions(&self, height: u32) -> (Vec<Transaction>, Amount) {
        let mature = (self.immature.len() >= MATURITY).then(|| self.immature.front()).flatten();
        let wanted = usize::try_from(height % (MAX_COINS as u32 + 1)).unwrap_or_default();
        let transactions: Vec<Transaction> = mature
            .into_iter()
            .chain(&self.coins)
            .filter(|coin| coin.value > FEE)
            .take(wanted)
            .map(spend)
            .collect();
        let fees = FEE * transactions.len() as u64;
        (transactions, fees)
    }

    fn median_time(&self) -> u32 {
        let mut times: Vec<u32> = self.times.iter().copied().collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    fn mine_one(&mut self, now: u32) {
        let template = self.template_with(CompactTarget::from_consensus(EASIEST), now);
        let (version, ntime, bits) = (template.version, template.time, template.bits);
        let draft = BlockDraft::new(Arc::new(template), &self.plan()).expect("the extranonces fit");
        let extranonces = &[0; ExtranonceLayout::OWN_BLOCKS.size()];
        let block = (0..=u32::MAX)
            .find_map(|nonce| draft.assemble(Solution { extranonces, version, ntime, bits, nonce }).ok())
            .expect("every second hash meets this target");
        self.accept(&block).expect("it was made from this chain's own template");
    }
}

fn subsidy(height: u32) -> Amount {
    let halvings = height / HALVING_INTERVAL;
    Amount::from_sat(Amount::from_int_btc(50).to_sat().checked_shr(halvings).unwrap_or(0))
}

/// The script that an [`anyone_can_spend`] output commits to.
fn witness_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_TRUE).into_script()
}

fn anyone_can_spend() -> ScriptBuf {
    witness_script().to_p2wsh()
}

/// Spends a coin: moves it, less the fee, to a new output with the same script.
fn spend(coin: &Coin) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[witness_script().as_bytes()]),
        }],
        output: vec![TxOut { value: coin.value - FEE, script_pubkey: anyone_can_spend() }],
    }
}
