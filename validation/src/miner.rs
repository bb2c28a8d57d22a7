//! Makes a block from a template with the code of the pool and the miner.

use std::sync::Arc;

use anyhow::Context;
use bitcoin::hashes::Hash;
use bitcoin::{Block, ScriptBuf};
use hasher::{Backend, Cursor, HitBuffer, Target, Work};
use node::{BlockDraft, CoinbasePlan, HeaderTimes, MinDifficultyTime, Solution, Template};

use crate::network::Net;

/// Number of extranonce bytes in the coinbase. In the pool's coinbases, these bytes are a job counter, extranonce1 and
/// extranonce2.
const EXTRANONCE_SIZE: usize = 14;
/// The rolled version bits of the headers that are searched together. BIP-0320 leaves these bits to miners.
const ROLLED: [u32; 3] = [0, 0x0000_2000, 0x1fff_e000];

/// A mined block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// The block.
    pub block: Block,
    /// The coinbase's extranonce.
    pub extranonce: u64,
    /// The header's nonce.
    pub nonce: u32,
}

/// The template with a coinbase that pays `payout`.
///
/// # Errors
/// If the extranonces do not fit the coinbase.
pub fn draft(template: Template, payout: ScriptBuf) -> anyhow::Result<BlockDraft> {
    let plan = CoinbasePlan { payout, tag: b"/mesos-miner/".to_vec(), extranonce_size: EXTRANONCE_SIZE };
    Ok(BlockDraft::new(Arc::new(template), &plan)?)
}

/// Mines a block with the time of the draft's template.
///
/// # Errors
/// If the solution does not make a valid block.
pub fn mine(net: Net, draft: &BlockDraft) -> anyhow::Result<Mined> {
    mine_from(net, draft, (0, 0))
}

/// Mines a block, beginning at an extranonce and a nonce. The search is short if these are a known solution.
///
/// # Errors
/// If the solution does not make a valid block.
pub fn mine_from(net: Net, draft: &BlockDraft, (extranonce, nonce): (u64, u32)) -> anyhow::Result<Mined> {
    let template = &draft.template;
    let times = HeaderTimes::of(template, net.network(), None, template.time, MinDifficultyTime::Honest);
    let mut from = Cursor::at_nonce(nonce);
    for extranonce in extranonce.. {
        let mut extranonces = vec![0; EXTRANONCE_SIZE];
        extranonces[EXTRANONCE_SIZE - 8..].copy_from_slice(&extranonce.to_be_bytes());
        let solution = Solution {
            extranonces: &extranonces,
            version: template.version,
            ntime: times.start,
            bits: times.bits,
            nonce: 0,
        };
        if let Some(hit) = search(&draft.header(solution), from)? {
            let solution = Solution { version: hit.version, nonce: hit.nonce, ..solution };
            let block = draft.assemble(solution).context("the solution")?;
            return Ok(Mined { block, extranonce, nonce: hit.nonce });
        }
        from = Cursor::default();
    }
    anyhow::bail!("there are no more extranonces")
}

/// Finds a new nonce for a block whose header or transactions were altered. The other fields of the header do not change,
/// except for rolled version bits.
///
/// # Errors
/// If there is no solution.
pub fn remine(block: &mut Block) -> anyhow::Result<()> {
    let hit = search(&block.header, Cursor::default())?.context("there is no solution")?;
    block.header.version = bitcoin::block::Version::from_consensus(hit.version as i32);
    block.header.nonce = hit.nonce;
    Ok(())
}

fn search(header: &bitcoin::block::Header, from: Cursor) -> anyhow::Result<Option<hasher::Hit>> {
    let header = hasher::Header {
        // In the `bitcoin` crate, the version is a signed number. The cast keeps all of its 32 bits.
        version: header.version.to_consensus() as u32,
        prev_hash: header.prev_blockhash.to_byte_array(),
        merkle_root: header.merkle_root.to_byte_array(),
        ntime: header.time,
        nbits: hasher::CompactTarget(header.bits.to_consensus()),
        nonce: 0,
    };
    let versions = ROLLED.map(|bits| header.version ^ bits);
    let work = Work::new(&header, &versions, &Target::from_compact(header.nbits)?)?;
    let backend = Backend::available().next().unwrap_or_else(Backend::portable);
    let mut hits = HitBuffer::new();
    let mut next = Some(from);
    while let Some(cursor) = next {
        next = backend.scan(&work, cursor, &mut hits).next;
        if let Some(hit) = hits.drain().next() {
            return Ok(Some(hit));
        }
    }
    Ok(None)
}
