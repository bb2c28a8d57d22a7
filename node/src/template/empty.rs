//! The template of the next block without transactions, made from a few facts about a new tip.
//!
//! A node needs tens of milliseconds to choose a block's transactions, but only one to tell these facts. So miners get an
//! empty block to work on at once, and the node's own template follows.
//!
//! The rules are those of Bitcoin Core: `GetNextWorkRequired` (`src/pow.cpp`), `GetMinimumTime` (`src/node/miner.cpp`) and
//! `GetBlockSubsidy` (`src/validation.cpp`).

#[cfg(test)]
mod testnet4;
#[cfg(test)]
mod tests;

use bitcoin::{Amount, BlockHash, CompactTarget, Network};
use serde::Deserialize;

use super::Template;
use crate::merkle;
use crate::min_difficulty::{self, DELAY, LOWEST, PERIOD};

/// If the node's clock is this close to the end of the 20 minutes of testnets, in seconds, the lowest difficulty that the node
/// tells may be due to the 20-minute rule.
const CLOCK_DOUBT: u32 = 60;

/// What is known about a new tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipFacts {
    /// The tip's hash.
    pub hash: BlockHash,
    /// Hash of the tip's parent (`previousblockhash` of `getblockheader`).
    pub parent: BlockHash,
    /// The tip's height.
    pub height: u32,
    /// The time in the tip's header, seconds since the Unix epoch.
    pub time: u32,
    /// Median of the times of the last 11 blocks up to the tip (`mediantime`), seconds since the Unix epoch.
    pub median_time: u32,
    /// The target in the tip's header.
    pub bits: CompactTarget,
    /// What the node says about the next block; `None` if it says nothing.
    pub next: Option<NextBlock>,
}

impl TipFacts {
    /// The facts in the answers of `getblockheader` and, where the node has it, `getmininginfo`. `None` if the node does not
    /// tell one of them, or tells one that cannot be.
    pub fn read(header: &HeaderAnswer, mining: Option<&MiningInfoAnswer>) -> Option<Self> {
        let next = |next: &NextAnswer| Some(NextBlock { height: next.height, bits: next.bits.read()? });
        Some(TipFacts {
            hash: header.hash.parse().ok()?,
            parent: header.previousblockhash.parse().ok()?,
            height: header.height,
            time: header.time,
            median_time: header.mediantime,
            bits: header.bits.read()?,
            next: mining.and_then(|info| info.next.as_ref()).and_then(next),
        })
    }
}

/// The members of `getblockheader` that are used.
#[derive(Clone, Debug, Deserialize)]
pub struct HeaderAnswer {
    hash: String,
    previousblockhash: String,
    height: u32,
    time: u32,
    mediantime: u32,
    bits: Bits,
}

/// Bits as Bitcoin Core writes them, eight hexadecimal digits, or as bcoin does.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Bits {
    Digits(String),
    Number(u32),
}

/// The members of `getmininginfo` that are used.
#[derive(Clone, Debug, Deserialize)]
pub struct MiningInfoAnswer {
    next: Option<NextAnswer>,
}

#[derive(Clone, Debug, Deserialize)]
struct NextAnswer {
    height: u32,
    bits: Bits,
}

impl Bits {
    /// The target, if it can be met.
    fn read(&self) -> Option<CompactTarget> {
        let digits = match self {
            Bits::Digits(digits) => digits,
            Bits::Number(number) => &format!("{number:08x}"),
        };
        super::wire::bits(digits, None).ok()
    }
}

/// The next block, as `getmininginfo` tells it in `next` since Bitcoin Core 29.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextBlock {
    /// The block's height.
    pub height: u32,
    /// The target that the block's header must have, if its time is that of the node's clock.
    pub bits: CompactTarget,
}

/// Makes the empty template of the block after `tip`. `last` is the last template of the node, whose version, rules and signet
/// challenge are kept. `node_now` is the time of the node's clock ([`crate::NodeClock`]), seconds since the Unix epoch.
///
/// Returns `None` where the node's own template must be waited for: the tip is lower than the last one, or is the last one; or
/// the target of the next block does not follow from these facts.
pub fn empty_template(tip: &TipFacts, last: &Template, network: Network, node_now: u32) -> Option<Template> {
    let height = tip.height.checked_add(1)?;
    if height < last.height || tip.hash == last.prev_hash {
        return None;
    }
    let bip94_earliest = min_difficulty::bip94_earliest(height, network, tip.time);
    let min_time = tip.median_time.saturating_add(1).max(bip94_earliest);
    let (bits, time) = bits_and_time(tip, last, network, node_now.max(min_time))?;
    let commitment = || merkle::witness_commitment_script(std::iter::empty());
    Some(Template {
        height,
        version: last.version,
        used_version_bits: last.used_version_bits,
        prev_hash: tip.hash,
        bits,
        time,
        min_time,
        max_time: None,
        coinbase_value: subsidy(network, height),
        coinbase_aux: last.coinbase_aux.clone(),
        // A signet's solution is part of the commitment's output, so blocks without transactions need the output, too.
        witness_commitment: last.witness_commitment.is_some().then(commitment),
        transactions: Vec::new(),
        branch: Vec::new(),
        longpoll_id: None,
        signet_challenge: last.signet_challenge.clone(),
        rules: last.rules.clone(),
    })
}

/// The target of the next block if its time is `time`, and the time itself, which may have to be later for the target to be
/// right. `None` if the target is unknown.
fn bits_and_time(
    tip: &TipFacts,
    last: &Template,
    network: Network,
    time: u32,
) -> Option<(CompactTarget, u32)> {
    let height = tip.height.checked_add(1)?;
    // The node has moved on to another tip between its answers.
    if tip.next.is_some_and(|next| next.height != height) {
        return None;
    }
    let next = tip.next.map(|next| next.bits);
    // Regtest never adjusts its difficulty.
    if network != Network::Regtest && height.is_multiple_of(PERIOD) {
        return Some((next?, time));
    }
    if !min_difficulty::applies_to(network) {
        return Some((next.unwrap_or(tip.bits), time));
    }
    let lowest = CompactTarget::from_consensus(LOWEST);
    let boundary = tip.time.saturating_add(DELAY);
    if time > boundary {
        return Some((lowest, time));
    }
    // A block with other bits than the lowest has the bits of its period, and so has a template.
    let last_of_parent = (last.prev_hash == tip.parent).then_some(last.bits);
    let known = [Some(tip.bits), next, last_of_parent];
    match known.into_iter().flatten().find(|bits| *bits != lowest) {
        Some(bits) => Some((bits, time)),
        // Either the lowest difficulty is that of the period, or the node's clock is ahead of our idea of it.
        None if time.saturating_add(CLOCK_DOUBT) <= boundary => Some((next?, time)),
        None => Some((next?, boundary.saturating_add(1))),
    }
}

/// What a block may create at most, without fees.
fn subsidy(network: Network, height: u32) -> Amount {
    let interval = if network == Network::Regtest { 150 } else { 210_000 };
    let first = Amount::from_int_btc(50).to_sat();
    Amount::from_sat(first.checked_shr(height / interval).unwrap_or(0))
}
