//! A block template as a node gives it (BIP-0022, BIP-0023, BIP-0009, BIP-0145), checked and typed.

#[cfg(test)]
mod tests;
mod wire;

use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Transaction, Txid, Wtxid};

use crate::merkle;

/// Rules of consensus that change what a block must look like, and that we obey. A template under any other rule that
/// must be obeyed is refused.
pub(crate) const RULES: [&str; 2] = ["segwit", "signet"];

/// A block to be made. All of it has been checked to hang together: ids match their transactions, and the node's
/// witness commitment is the one that they give.
#[derive(Clone, Debug)]
pub struct Template {
    /// Height of the block.
    pub height: u32,
    /// The header's version.
    pub version: u32,
    /// Version bits with a meaning, whether set or not: those of the version beyond BIP-0009's three top bits, and
    /// those that the node knows a deployment for. A miner must not roll them.
    pub used_version_bits: u32,
    /// Hash of the block before.
    pub prev_hash: BlockHash,
    /// The target that the header must meet at [`Template::time`]; see [`crate::min_difficulty`].
    pub bits: CompactTarget,
    /// The node's time, seconds since the Unix epoch.
    pub time: u32,
    /// The earliest time allowed in the header, seconds since the Unix epoch.
    pub min_time: u32,
    /// What subsidy and fees come to: the most that the coinbase may pay.
    pub coinbase_value: Amount,
    /// Data that the node wants in the coinbase's input (BIP-0022).
    pub coinbase_aux: Vec<Vec<u8>>,
    /// The script of the output with the witness commitment (BIP-0141); none before segwit is active.
    pub witness_commitment: Option<ScriptBuf>,
    /// Transactions after the coinbase, in the order that the node gives.
    pub transactions: Vec<TemplateTransaction>,
    /// The hashes that lead from the coinbase's txid to the merkle root, lowest first, in internal byte order.
    pub branch: Vec<[u8; 32]>,
    /// To be given back in order to wait for the next template; none if the node can't do that.
    pub longpoll_id: Option<String>,
    /// The script that a signet's blocks must satisfy (BIP-0325).
    pub signet_challenge: Option<ScriptBuf>,
    /// Rules in force, as the node names them: `!` before those that can't be ignored.
    pub rules: Vec<String>,
}

/// A transaction of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateTransaction {
    /// The transaction itself.
    pub transaction: Transaction,
    /// Hash without witness.
    pub txid: Txid,
    /// Hash with witness.
    pub wtxid: Wtxid,
    /// Fee in satoshi, where the node says it.
    pub fee: Option<i64>,
}

/// A template that can't be used. The node is at fault, unless we are too old for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The JSON is of another shape.
    #[error("the template is not one of BIP-0022")]
    Shape(#[from] serde_json::Error),
    /// A member has a value that it can't have.
    #[error("{member} is {value}: {wanted}")]
    Member {
        /// The member's name.
        member: &'static str,
        /// What stands there.
        value: String,
        /// What should stand there.
        wanted: &'static str,
    },
    /// A transaction can't be decoded.
    #[error("transaction {index} of the template can't be decoded")]
    Transaction {
        /// Counted from 0, without the coinbase.
        index: usize,
        /// The decoder's finding.
        #[source]
        source: bitcoin::consensus::encode::FromHexError,
    },
    /// A transaction's id is not that of its data.
    #[error("transaction {index} of the template has {member} {computed}, not {given}")]
    Id {
        /// Counted from 0, without the coinbase.
        index: usize,
        /// `txid` or `hash`.
        member: &'static str,
        /// What the node says.
        given: String,
        /// What the data gives.
        computed: String,
    },
    /// The witness commitment is not that of the transactions.
    #[error("default_witness_commitment is {given}, but the transactions give {computed}")]
    Commitment {
        /// What the node says.
        given: String,
        /// What the transactions give.
        computed: String,
    },
    /// A rule must be obeyed that we don't know.
    #[error("the node's chain has rule {rule:?}, which this version does not know")]
    UnknownRule {
        /// The rule's name.
        rule: String,
    },
}

impl Template {
    /// Checks the result of `getblocktemplate`.
    ///
    /// # Errors
    /// If it can't be used; see [`TemplateError`].
    pub fn from_json(result: &str) -> Result<Template, TemplateError> {
        serde_json::from_str::<wire::Template>(result)?.check()
    }

    /// A template that no node has given, for a chain of one's own: segwit is active and no version bit is in use. The
    /// pair is the earliest time and the node's; `coinbase_value` is subsidy and fees.
    pub fn compose(
        height: u32,
        version: u32,
        prev_hash: BlockHash,
        bits: CompactTarget,
        (min_time, time): (u32, u32),
        coinbase_value: Amount,
        transactions: Vec<Transaction>,
    ) -> Template {
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

    /// Whether a rule is in force, named with or without `!`.
    pub fn has_rule(&self, name: &str) -> bool {
        has_rule(&self.rules, name)
    }
}

fn has_rule(rules: &[String], name: &str) -> bool {
    rules.iter().any(|rule| rule.strip_prefix('!').unwrap_or(rule) == name)
}

/// The result of `getblocktemplate`, still to be checked; keeps [`Template::from_json`] and the calls in step.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Unchecked(wire::Template);

impl Unchecked {
    pub(crate) fn check(self) -> Result<Template, TemplateError> {
        self.0.check()
    }
}

/// What `getblocktemplate` is asked with.
pub(crate) fn request(longpoll_id: Option<&str>) -> serde_json::Value {
    let mut request = serde_json::json!({"mode": "template", "capabilities": ["coinbasevalue", "longpoll"], "rules": RULES});
    if let Some(id) = longpoll_id {
        request["longpollid"] = id.into();
    }
    serde_json::json!([request])
}

/// The hashes that the merkle tree is made of, without the coinbase's.
fn branch(transactions: &[TemplateTransaction]) -> Vec<[u8; 32]> {
    use bitcoin::hashes::Hash;
    merkle::coinbase_branch(transactions.iter().map(|tx| tx.txid.to_byte_array()).collect())
}
