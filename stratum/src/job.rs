//! Jobs: coinbase → merkle root → header.
//!
//! A pool sends the coinbase transaction in two halves. The miner puts extranonce1 (the connection's) and extranonce2
//! (its own choice) between them, hashes the whole, folds the merkle branch over it, and has a header to search.

use hasher::{CompactTarget, Header, Target, sha256d};

use crate::message::Notify;

/// One job, complete in itself: whatever the pool changes later, a job keeps the difficulty, mask and extranonces that
/// were in force when it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The pool's name for the job; shares are submitted under it.
    pub id: String,
    /// Digest of the block before, internal byte order (as in the header).
    pub prev_hash: [u8; 32],
    /// The coinbase transaction up to extranonce1.
    pub coinb1: Vec<u8>,
    /// The coinbase transaction from behind extranonce2.
    pub coinb2: Vec<u8>,
    /// The coinbase's merkle branch from the leaf up, internal byte order.
    pub branch: Vec<[u8; 32]>,
    /// Header version.
    pub version: u32,
    /// The network's target.
    pub nbits: CompactTarget,
    /// Header time, seconds since the Unix epoch.
    pub ntime: u32,
    /// Whether all older jobs are void.
    pub clean: bool,
    /// What a digest must meet to be a share.
    pub target: Target,
    /// Version bits that the miner may choose (BIP-0310); 0 if it may choose none.
    pub version_mask: u32,
    /// The connection's part of the coinbase; may be empty.
    pub extranonce1: Vec<u8>,
    /// Bytes that the miner chooses.
    pub extranonce2_len: usize,
}

impl Job {
    /// The header with this extranonce2 (of [`Job::extranonce2_len`] bytes), time and version; its nonce is 0.
    pub fn header(&self, extranonce2: &[u8], ntime: u32, version: u32) -> Header {
        let coinbase = self.coinbase(extranonce2);
        Header {
            version,
            prev_hash: self.prev_hash,
            merkle_root: merkle_root(sha256d(&coinbase), &self.branch),
            ntime,
            nbits: self.nbits,
            nonce: 0,
        }
    }

    /// The serialized coinbase transaction, without witness.
    pub fn coinbase(&self, extranonce2: &[u8]) -> Vec<u8> {
        [&self.coinb1, &self.extranonce1, extranonce2, &self.coinb2].concat()
    }

    /// Whether both jobs have the same headers, so that hits of one are hits of the other. True for a job that came
    /// again with another difficulty or version mask: it must be continued, not started over.
    pub fn same_work(&self, other: &Job) -> bool {
        self.id == other.id
            && self.prev_hash == other.prev_hash
            && self.extranonce1 == other.extranonce1
            && self.extranonce2_len == other.extranonce2_len
            && self.version == other.version
            && self.nbits == other.nbits
            && self.ntime == other.ntime
            && self.branch == other.branch
            && self.coinb1 == other.coinb1
            && self.coinb2 == other.coinb2
    }
}

/// What a job takes from its connection rather than from `mining.notify`.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What a digest must meet to be a share.
    pub target: Target,
    /// Version bits that the miner may choose.
    pub version_mask: u32,
    /// The connection's part of the coinbase.
    pub extranonce1: Vec<u8>,
    /// Bytes that the miner chooses.
    pub extranonce2_len: usize,
}

impl Job {
    /// The job of `notify` under the terms of its connection. A `notify` that does not say whether it voids older
    /// jobs does so if `clean` is true.
    pub fn new(notify: Notify, terms: Terms, clean: bool) -> Job {
        Job {
            id: notify.job,
            prev_hash: notify.prev_hash,
            coinb1: notify.coinb1,
            coinb2: notify.coinb2,
            branch: notify.branch,
            version: notify.version,
            nbits: notify.nbits,
            ntime: notify.ntime,
            clean: notify.clean.unwrap_or(clean),
            target: terms.target,
            version_mask: terms.version_mask,
            extranonce1: terms.extranonce1,
            extranonce2_len: terms.extranonce2_len,
        }
    }
}

/// Folds the merkle branch over the coinbase's digest. All in internal byte order.
pub fn merkle_root(coinbase_digest: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    branch.iter().fold(coinbase_digest, |left, right| {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&left);
        pair[32..].copy_from_slice(right);
        sha256d(&pair)
    })
}

/// The version that a share with these version bits was mined with: `job`'s, with the bits under `mask` replaced
/// (BIP-0310).
pub fn rolled_version(job: u32, mask: u32, version_bits: u32) -> u32 {
    (job & !mask) | (version_bits & mask)
}

/// Turns each 32-bit word of a digest around: `mining.notify` carries the previous block's digest so. Its own inverse.
pub fn swap_words(digest: [u8; 32]) -> [u8; 32] {
    let mut swapped = digest;
    swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    swapped
}
