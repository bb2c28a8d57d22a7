//! Builds block headers, both for our own blocks and for an upstream pool's jobs.

use std::sync::Arc;

use bitcoin::hashes::Hash;
use node::{BlockDraft, Solution};

/// All of a block's header except the values that the miner chooses.
#[derive(Clone, Debug)]
pub enum HeaderBuilder {
    /// Builds headers of a block of our own.
    Template(Arc<BlockDraft>),
    /// Builds headers for a job of an upstream pool.
    Upstream(Arc<stratum::Job>),
}

impl HeaderBuilder {
    /// The header with a miner's solution, in the form that the hasher needs.
    pub fn header(&self, solution: Solution<'_>) -> hasher::Header {
        match self {
            HeaderBuilder::Template(draft) => {
                let header = draft.header(solution);
                hasher::Header {
                    // In the `bitcoin` crate, the version is a signed number. The cast keeps all of its 32 bits.
                    version: header.version.to_consensus() as u32,
                    prev_hash: header.prev_blockhash.to_byte_array(),
                    merkle_root: header.merkle_root.to_byte_array(),
                    ntime: header.time,
                    nbits: hasher::CompactTarget(header.bits.to_consensus()),
                    nonce: header.nonce,
                }
            }
            HeaderBuilder::Upstream(job) => {
                let header = job.header(solution.extranonces, solution.ntime, solution.version);
                hasher::Header { nonce: solution.nonce, ..header }
            }
        }
    }

    /// The header's version before any bit is rolled.
    pub fn version(&self) -> u32 {
        match self {
            HeaderBuilder::Template(draft) => draft.template.version,
            HeaderBuilder::Upstream(job) => job.version,
        }
    }
}
