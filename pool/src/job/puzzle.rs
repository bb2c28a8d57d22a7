//! What a header is made of, whoever made the block.

use std::sync::Arc;

use bitcoin::hashes::Hash;
use node::{BlockDraft, Solution};
use stratum::Notify;

use super::id::JobId;
use super::layout::Layout;

/// A block's header but for what the miner decides.
#[derive(Clone, Debug)]
pub enum Puzzle {
    /// Of a block that we make.
    Block(Arc<BlockDraft>),
    /// Of an upstream pool's job.
    Upstream(Arc<stratum::Job>),
}

impl Puzzle {
    /// The header that a solution makes, as its 80 bytes are hashed.
    pub fn header(&self, solution: Solution<'_>) -> hasher::Header {
        match self {
            Puzzle::Block(draft) => {
                let header = draft.header(solution);
                hasher::Header {
                    // The same 32 bits.
                    version: header.version.to_consensus() as u32,
                    prev_hash: header.prev_blockhash.to_byte_array(),
                    merkle_root: header.merkle_root.to_byte_array(),
                    ntime: header.time,
                    nbits: hasher::CompactTarget(header.bits.to_consensus()),
                    nonce: header.nonce,
                }
            }
            Puzzle::Upstream(job) => {
                let header = job.header(solution.extranonces, solution.ntime, solution.version);
                hasher::Header { nonce: solution.nonce, ..header }
            }
        }
    }

    /// The header's version before any bit is rolled.
    pub fn version(&self) -> u32 {
        match self {
            Puzzle::Block(draft) => draft.template.version,
            Puzzle::Upstream(job) => job.version,
        }
    }

    /// The time of whoever gave it, by its own clock, in seconds since the Unix epoch.
    pub fn time(&self) -> u32 {
        match self {
            Puzzle::Block(draft) => draft.template.time,
            Puzzle::Upstream(job) => job.ntime,
        }
    }

    /// The message for a miner. What it is not to know of the extranonces goes into the first half.
    pub fn notify(&self, id: JobId, layout: &Layout, start: u32, bits: u32, clean: bool) -> Notify {
        let hidden = layout.hidden(id.issue);
        let (prev_hash, coinb1, coinb2, branch) = match self {
            Puzzle::Block(draft) => {
                let (template, coinbase) = (&draft.template, &draft.coinbase);
                let coinb1 = [&coinbase.prefix[..], &hidden].concat();
                (template.prev_hash.to_byte_array(), coinb1, &coinbase.suffix, &template.branch)
            }
            Puzzle::Upstream(job) => {
                let coinb1 = [&job.coinb1[..], &job.extranonce1, &hidden].concat();
                (job.prev_hash, coinb1, &job.coinb2, &job.branch)
            }
        };
        Notify {
            job: id.to_string(),
            prev_hash,
            coinb1,
            coinb2: coinb2.clone(),
            branch: branch.clone(),
            version: self.version(),
            nbits: hasher::CompactTarget(bits),
            ntime: start,
            clean: Some(clean),
        }
    }
}
