//! The JSON of a template, and the checks that turn it into a [`Template`](super::Template).

use std::collections::BTreeMap;

use bitcoin::consensus::encode;
use bitcoin::{Amount, BlockHash, CompactTarget, ScriptBuf, Target, Transaction};
use serde::Deserialize;

use super::{RULES, TemplateError, TemplateTransaction, branch, has_rule};
use crate::merkle;
use crate::text::one_line;

/// The three top bits of a version. They announce that the other bits are version bits (BIP-0009).
const TOP_BITS: u32 = 0xe000_0000;

/// The members of a template that are used. The types of numbers are wide enough for invalid values, so that an error can
/// show such a value.
#[derive(Deserialize)]
pub(super) struct Template {
    version: i64,
    rules: Option<Vec<String>>,
    vbavailable: Option<BTreeMap<String, u32>>,
    vbrequired: Option<i64>,
    previousblockhash: String,
    transactions: Vec<TransactionEntry>,
    coinbaseaux: Option<BTreeMap<String, String>>,
    coinbasevalue: u64,
    longpollid: Option<String>,
    target: Option<String>,
    mintime: Option<u64>,
    maxtime: Option<u64>,
    curtime: u64,
    bits: String,
    height: u64,
    signet_challenge: Option<String>,
    default_witness_commitment: Option<String>,
}

#[derive(Deserialize)]
struct TransactionEntry {
    data: String,
    txid: Option<String>,
    hash: Option<String>,
    fee: Option<i64>,
}

fn bad(member: &'static str, value: impl std::fmt::Display, wanted: &'static str) -> TemplateError {
    TemplateError::Member { member, value: one_line(&value.to_string()), wanted }
}

impl Template {
    pub(super) fn check(self) -> Result<super::Template, TemplateError> {
        let rules = self.rules.unwrap_or_default();
        check_rules(&rules)?;
        let version = version_bits("version", self.version)?;
        let bits = bits(&self.bits, self.target.as_deref())?;
        let prev_hash = self.previousblockhash.parse::<BlockHash>();
        let prev_hash = prev_hash.map_err(|_| bad("previousblockhash", &self.previousblockhash, HASH))?;
        let height = u32::try_from(self.height).ok().filter(|height| *height <= i32::MAX as u32);
        let transactions = transactions(self.transactions)?;
        let given = self.default_witness_commitment.as_deref();
        let witness_commitment = witness_commitment(given, has_rule(&rules, "segwit"), &transactions)?;
        let time = seconds("curtime", self.curtime)?;
        let min_time = self.mintime.map_or(Ok(time), |mintime| seconds("mintime", mintime))?;
        let max_time = self.maxtime.map(|maxtime| seconds("maxtime", maxtime)).transpose()?;
        if let Some(max_time) = max_time.filter(|max_time| *max_time < min_time.max(time)) {
            return Err(bad("maxtime", max_time, "it should not be before mintime or curtime"));
        }
        let coinbase_value = Amount::from_sat(self.coinbasevalue);
        if coinbase_value > Amount::MAX_MONEY {
            return Err(bad("coinbasevalue", self.coinbasevalue, "it should be at most 21 million bitcoin"));
        }
        let required = version_bits("vbrequired", self.vbrequired.unwrap_or(0))?;
        let known = self.vbavailable.unwrap_or_default().into_values().fold(0, |all, bit| {
            // The version has 32 bits, so a bit number above 31 is ignored.
            all | 1u32.checked_shl(bit).unwrap_or(0)
        });
        Ok(super::Template {
            height: height.ok_or_else(|| bad("height", self.height, "it should be a block's height"))?,
            version,
            used_version_bits: (version | required | known) & !TOP_BITS,
            prev_hash,
            bits,
            time,
            min_time,
            max_time,
            coinbase_value,
            coinbase_aux: coinbase_aux(self.coinbaseaux.unwrap_or_default())?,
            witness_commitment,
            branch: branch(&transactions),
            transactions,
            longpoll_id: self.longpollid,
            signet_challenge: self
                .signet_challenge
                .map(|hex| script("signet_challenge", &hex))
                .transpose()?,
            rules,
        })
    }
}

const HASH: &str = "it should be 64 hexadecimal digits";
const HEX: &str = "it should be hexadecimal digits";

/// Refuses a template with a rule that begins with `!` and is not in [`RULES`]: a miner must understand such a rule
/// (BIP-0009).
fn check_rules(rules: &[String]) -> Result<(), TemplateError> {
    let unknown = rules.iter().filter_map(|rule| rule.strip_prefix('!')).find(|rule| !RULES.contains(rule));
    match unknown {
        Some(rule) => Err(TemplateError::UnknownRule { rule: one_line(rule) }),
        None => Ok(()),
    }
}

/// Reads a header's version. Bitcoin Core writes it as a signed number, bcoin as an unsigned one.
fn version_bits(member: &'static str, value: i64) -> Result<u32, TemplateError> {
    let signed = i32::try_from(value).map(|version| version as u32);
    signed.or_else(|_| u32::try_from(value)).map_err(|_| bad(member, value, "it should have 32 bits"))
}

fn seconds(member: &'static str, value: u64) -> Result<u32, TemplateError> {
    u32::try_from(value).map_err(|_| bad(member, value, "it should be seconds of 32 bits"))
}

pub(super) fn bits(text: &str, target: Option<&str>) -> Result<CompactTarget, TemplateError> {
    let wanted = "it should be 8 hexadecimal digits of a target that can be met";
    let bits = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8 && !text.starts_with('+'));
    let bits = CompactTarget::from_consensus(bits.ok_or_else(|| bad("bits", text, wanted))?);
    let from_bits = Target::from_compact(bits);
    if from_bits == Target::ZERO {
        return Err(bad("bits", text, wanted));
    }
    let Some(target) = target else { return Ok(bits) };
    // `Target::from_hex` of bitcoin 0.32 panics on text that is not ASCII.
    let mut given = [0; 32];
    hex::decode_to_slice(target, &mut given).map_err(|_| bad("target", target, HASH))?;
    if Target::from_be_bytes(given) != from_bits {
        return Err(bad("target", target, "it should be that of bits"));
    }
    Ok(bits)
}

fn coinbase_aux(values: BTreeMap<String, String>) -> Result<Vec<Vec<u8>>, TemplateError> {
    let values = values.into_values().filter(|value| !value.is_empty());
    values.map(|value| hex::decode(&value).map_err(|_| bad("coinbaseaux", &value, HEX))).collect()
}

fn script(member: &'static str, text: &str) -> Result<ScriptBuf, TemplateError> {
    ScriptBuf::from_hex(text).map_err(|_| bad(member, text, HEX))
}

fn transactions(entries: Vec<TransactionEntry>) -> Result<Vec<TemplateTransaction>, TemplateError> {
    entries.into_iter().enumerate().map(|(index, entry)| transaction(index, entry)).collect()
}

fn transaction(index: usize, entry: TransactionEntry) -> Result<TemplateTransaction, TemplateError> {
    let transaction: Transaction = encode::deserialize_hex(&entry.data)
        .map_err(|source| TemplateError::Transaction { index, source })?;
    let (txid, wtxid) = (transaction.compute_txid(), transaction.compute_wtxid());
    let check = |member, given: Option<String>, computed: String| match given {
        Some(given) if !given.eq_ignore_ascii_case(&computed) => {
            Err(TemplateError::Id { index, member, given: one_line(&given), computed })
        }
        _ => Ok(()),
    };
    // Before BIP-0145 there was no `txid`, and `hash` was the txid.
    if entry.txid.is_some() {
        check("hash", entry.hash, wtxid.to_string())?;
    } else {
        check("hash", entry.hash, txid.to_string())?;
    }
    check("txid", entry.txid, txid.to_string())?;
    Ok(TemplateTransaction { transaction, txid, wtxid, fee: entry.fee })
}

/// The witness commitment of a block with these transactions. Before segwit is active, there is none, since the coinbase
/// must not have a witness; bcoin gives a commitment nevertheless.
fn witness_commitment(
    given: Option<&str>,
    segwit: bool,
    transactions: &[TemplateTransaction],
) -> Result<Option<ScriptBuf>, TemplateError> {
    let computed = merkle::witness_commitment_script(transactions.iter().map(|tx| tx.wtxid));
    if let Some(given) = given {
        let given = script("default_witness_commitment", given)?;
        // BIP-0141 allows data after the commitment, but gives it no meaning.
        if given != computed {
            let (given, computed) = (given.to_hex_string(), computed.to_hex_string());
            return Err(TemplateError::Commitment { given: one_line(&given), computed });
        }
    }
    // Transactions with witnesses need a commitment, whatever the rules say.
    let witnesses = transactions.iter().any(|tx| tx.txid.to_raw_hash() != tx.wtxid.to_raw_hash());
    Ok((segwit || witnesses).then_some(computed))
}
