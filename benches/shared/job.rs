//! A sample job for benches and for a test of the engine.

use std::sync::Arc;

use hasher::{CompactTarget, Target};
use stratum::Job;

/// A job of a block with about 2^`depth` transactions. No hash meets its target.
pub fn sample_job(id: u32, depth: u8) -> Arc<Job> {
    Arc::new(Job {
        id: id.to_string(),
        prev_hash: [7; 32],
        coinb1: [&[1; 60][..], &id.to_le_bytes()].concat(),
        coinb2: vec![2; 160],
        branch: (0..depth).map(|level| [level; 32]).collect(),
        version: 0x2000_0000,
        nbits: CompactTarget(0x1d00_ffff),
        ntime: 1_700_000_000,
        clean: true,
        target: Target::ZERO,
        version_mask: 0x1fff_e000,
        extranonce1: vec![1, 2, 3, 4],
        extranonce2_len: 8,
    })
}
