//! A node's block template (BIP-0022, BIP-0023, BIP-0009, BIP-0145), checked and typed.

mod empty;
#[cfg(test)]
mod tests;
mod wire;

use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Transaction, Txid, Wtxid};

pub use self::empty::{HeaderAnswer, MiningInfoAnswer, NextBlock, TipFacts, empty_template};

use crate::merkle;

/// Consensus rules that change the form of a block and that this crate follows. A template with another mandatory rule is
/// refused.
pub(crate) const RULES: [&str; 2] = ["segwit", "signet"];

/// A template that was checked: the ids match the transactions, and so does the node's witness commitment.
#[derive(Clone, Debug)]
pub struct Template {
    /// Height of the block.
    pub height: u32,
    /// The header's version.
    pub version: u32,
    /// Version bits with a meaning, whether set or not: the bits that are set in `version` except BIP-0009's three top bits,
    /// and the bits of deployments that the node knows. A miner must not roll them.
    pub used_version_bits: u32,
    /// Hash of the parent block.
    pub prev_hash: BlockHash,
    /// The target that the header must meet at [`Template::time`]; see [`crate::min_difficulty`].
    pub bits: CompactTarget,
    /// The node's time, seconds since the Unix epoch.
    pub time: u32,
    /// The earliest time allowed in the header, seconds since the Unix epoch.
    pub min_time: u32,
    /// The latest time allowed in the header (BIP-0023), seconds since the Unix epoch; `None` if the node gives none.
    pub max_time: Option<u32>,
    /// Subsidy and fees, which together are the maximum that the coinbase may pay.
    pub coinbase_value: Amount,
    /// Data that the node wants in the coinbase's input (BIP-0022).
    pub coinbase_aux: Vec<Vec<u8>>,
    /// The script of the output with the witness commitment (BIP-0141); `None` before segwit is active.
    pub witness_commitment: Option<ScriptBuf>,
    /// Transactions after the coinbase, in the node's order.
    pub transactions: Vec<TemplateTransaction>,
    /// The hashes that lead from the coinbase's txid to the merkle root, lowest first, in internal byte order.
    pub branch: Vec<[u8; 32]>,
    /// The id for a long poll for the next template; `None` if the node does not support long polls.
    pub longpoll_id: Option<String>,
    /// The script that a signet's blocks must satisfy (BIP-0325).
    pub signet_challenge: Option<ScriptBuf>,
    /// Rules in force, as the node names them: mandatory ones begin with `!`.
    pub rules: Vec<String>,
}

/// A transaction of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateTransaction {
    /// The transaction itself.
    pub transaction: Transaction,
    /// Hash without the witness.
    pub txid: Txid,
    /// Hash with the witness.
    pub wtxid: Wtxid,
    /// Fee in satoshi; `None` if the node does not give it.
    pub fee: Option<i64>,
}

/// Why a template cannot be used. The node is at fault, unless its chain has rules that this version does not know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The JSON does not have the shape of BIP-0022.
    #[error("the template does not have the shape of BIP-0022")]
    Shape(#[from] serde_json::Error),
    /// A member has an invalid value.
    #[error("{member} is {value}: {wanted}")]
    Member {
        /// The member's name.
        member: &'static str,
        /// The member's value.
        value: String,
        /// What the value should be.
        wanted: &'static str,
    },
    /// A transaction cannot be decoded.
    #[error("transaction {index} of the template cannot be decoded")]
    Transaction {
        /// The transaction's index from 0, not counting the coinbase.
        index: usize,
        /// The decoder's error.
        #[source]
        source: bitcoin::consensus::encode::FromHexError,
    },
    /// The id of a transaction does not match its data.
    #[error("transaction {index} of the template has {member} {computed}, not {given}")]
    Id {
        /// The transaction's index from 0, not counting the coinbase.
        index: usize,
        /// `txid` or `hash`.
        member: &'static str,
        /// The node's id.
        given: String,
        /// The id computed from the data.
        computed: String,
    },
    /// The witness commitment does not match the transactions.
    #[error("default_witness_commitment is {given}, but the transactions give {computed}")]
    Commitment {
        /// The node's commitment.
        given: String,
        /// The commitment computed from the transactions.
        computed: String,
    },
    /// A mandatory rule is unknown.
    #[error("the node's chain has rule {rule:?}, which this version does not know")]
    UnknownRule {
        /// The rule's name.
        rule: String,
    },
}

impl Template {
    /// Parses and checks the result of `getblocktemplate`.
    ///
    /// # Errors
    /// If the template cannot be used; see [`TemplateError`].
    pub fn from_json(result: &str) -> Result<Self, TemplateError> {
        serde_json::from_str::<wire::Template>(result)?.check()
    }

    /// Makes a template for a chain without a node: segwit is active, and no version bit is in use. `coinbase_value` is
    /// subsidy and fees.
    pub fn compose(
        height: u32,
        version: u32,
        prev_hash: BlockHash,
        bits: CompactTarget,
        (min_time, time): (u32, u32),
        coinbase_value: Amount,
        transactions: Vec<Transaction>,
    ) -> Self {
        let identify = |transaction: Transaction| TemplateTransaction {
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            transaction,
            fee: None,
        };
        let transactions: Vec<_> = transactions.into_iter().map(identify).collect();
        let commitment = merkle::witness_commitment_script(transactions.iter().map(|tx| tx.wtxid));
        Template {
            height,
            version,
            used_version_bits: 0,
            prev_hash,
            bits,
            time,
            min_time,
            max_time: None,
            coinbase_value,
            coinbase_aux: Vec::new(),
            witness_commitment: Some(commitment),
            branch: branch(&transactions),
            transactions,
            longpoll_id: None,
            signet_challenge: None,
            rules: vec!["!segwit".to_owned()],
        }
    }

    /// Whether miners would do the same work for both templates, so that these differ in nothing but the node's time.
    pub(crate) fn is_same_work(&self, other: &Template) -> bool {
        let header = |template: &Template| {
            (template.height, template.version, template.prev_hash, template.bits, template.min_time)
        };
        header(self) == header(other)
            && self.used_version_bits == other.used_version_bits
            && self.coinbase_value == other.coinbase_value
            && self.coinbase_aux == other.coinbase_aux
            && self.witness_commitment == other.witness_commitment
            && self.branch == other.branch
            && self.transactions.len() == other.transactions.len()
            && self.signet_challenge == other.signet_challenge
            && self.rules == other.rules
    }

    /// Whether a rule is in force, be it marked as mandatory with `!` or not.
    pub fn has_rule(&self, name: &str) -> bool {
        has_rule(&self.rules, name)
    }
}

fn has_rule(rules: &[String], name: &str) -> bool {
    rules.iter().any(|rule| rule.strip_prefix('!').unwrap_or(rule) == name)
}

/// The result of `getblocktemplate` before it is checked.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Unchecked(wire::Template);

impl Unchecked {
    pub(crate) fn check(self) -> Result<Template, TemplateError> {
        self.0.check()
    }
}

/// The parameters of `getblocktemplate`.
pub(crate) fn request(longpoll_id: Option<&str>) -> serde_json::Value {
    let mut request = serde_json::json!({"mode": "template", "capabilities": ["coinbasevalue", "longpoll"], "rules": RULES});
    if let Some(id) = longpoll_id {
        request["longpollid"] = id.into();
    }
    serde_json::json!([request])
}

/// The merkle branch of the coinbase over these transactions.
fn branch(transactions: &[TemplateTransaction]) -> Vec<[u8; 32]> {
    use bitcoin::hashes::Hash;
    merkle::coinbase_branch(transactions.iter().map(|tx| tx.txid.to_byte_array()).collect())
}
