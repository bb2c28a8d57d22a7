//! Jobs: coinbase → merkle root → header.
//!
//! A pool sends the coinbase transaction in two halves. The miner inserts extranonce1 (assigned to the connection) and
//! extranonce2 (its own choice) between them, hashes the result, folds the merkle branch over it, and searches the header.

use hasher::{CompactTarget, Header, Target, sha256d};

use crate::message::Notify;

/// A self-contained job: it keeps the target, version mask and extranonces that were in force when it was received, even if
/// the pool changes them later.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The pool's id of the job, which each share contains.
    pub id: String,
    /// Hash of the previous block, internal byte order (as in the header).
    pub prev_hash: [u8; 32],
    /// The coinbase transaction up to extranonce1.
    pub coinb1: Vec<u8>,
    /// The coinbase transaction after extranonce2.
    pub coinb2: Vec<u8>,
    /// The merkle branch of the coinbase, from the leaf up, internal byte order.
    pub branch: Vec<[u8; 32]>,
    /// Header version.
    pub version: u32,
    /// The compact target of the network.
    pub nbits: CompactTarget,
    /// Header time, seconds since the Unix epoch.
    pub ntime: u32,
    /// Whether this job voids all older ones.
    pub clean: bool,
    /// The target that the hash of a share must meet.
    pub target: Target,
    /// Version bits that the miner may roll (BIP-0310); 0 if none.
    pub version_mask: u32,
    /// The bytes of the coinbase that the pool assigned to the connection; may be empty.
    pub extranonce1: Vec<u8>,
    /// The number of bytes of extranonce2, which the miner chooses.
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

    /// The difficulty of a block; 0 if the compact target is invalid.
    pub fn network_difficulty(&self) -> f64 {
        Target::from_compact(self.nbits).map_or(0.0, |target| target.difficulty())
    }

    /// The height of the block, with which the script of its coinbase begins (BIP-0034). `None` if it is a block of version 1,
    /// whose coinbase need not have it, or if the pool sends no coinbase that is well-formed.
    pub fn height(&self) -> Option<u32> {
        // Version, number of inputs, and the outpoint of a coinbase; then the length of the script and the script.
        let (head, rest) = self.coinb1.split_at_checked(41)?;
        let is_coinbase =
            self.version > 1 && head[4] == 1 && head[5..37] == [0; 32] && head[37..] == [0xff; 4];
        let (&length, script) = rest.split_first()?;
        let (&push, pushed) = script.split_first().filter(|_| is_coinbase && (2..=100).contains(&length))?;
        match push {
            // OP_1 to OP_16.
            0x51..=0x60 => Some(u32::from(push - 0x50)),
            // A number of so many bytes, little-endian; the highest bit is the sign.
            1..=4 if push < length => {
                let bytes = pushed.get(..usize::from(push))?;
                let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
                (bytes.last()? & 0x80 == 0).then_some(number)
            }
            _ => None,
        }
    }

    /// Whether both jobs have the same id and the same headers. This holds for a job that is sent again with another difficulty
    /// or version mask: the miner continues it instead of starting over.
    pub fn same_work(&self, other: &Job) -> bool {
        self.id == other.id && self.version == other.version && self.same_but_for_version(other)
    }

    /// Whether both jobs have the same headers except for the version. Ids and targets are not compared.
    pub fn same_but_for_version(&self, other: &Job) -> bool {
        (self.ntime, self.nbits, self.extranonce2_len) == (other.ntime, other.nbits, other.extranonce2_len)
            && self.prev_hash == other.prev_hash
            && self.extranonce1 == other.extranonce1
            && self.branch == other.branch
            && self.coinb1 == other.coinb1
            && self.coinb2 == other.coinb2
    }
}

/// The parts of a job that come from the session, not from `mining.notify`.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionParams {
    /// The target that the hash of a share must meet.
    pub target: Target,
    /// Version bits that the miner may roll.
    pub version_mask: u32,
    /// The bytes of the coinbase that the pool assigned to the connection.
    pub extranonce1: Vec<u8>,
    /// The number of bytes of extranonce2.
    pub extranonce2_len: usize,
}

impl Job {
    /// Creates the job of a `mining.notify`. `clean` applies if the message has no `clean_jobs`.
    pub fn new(notify: Notify, session: SessionParams, clean: bool) -> Self {
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
            target: session.target,
            version_mask: session.version_mask,
            extranonce1: session.extranonce1,
            extranonce2_len: session.extranonce2_len,
        }
    }
}

/// Folds the merkle branch over the hash of the coinbase. All hashes are in internal byte order.
pub fn merkle_root(coinbase_digest: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    branch.iter().fold(coinbase_digest, |left, right| {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&left);
        pair[32..].copy_from_slice(right);
        sha256d(&pair)
    })
}

/// The header version of a share: the version of the job with the bits under `mask` replaced by `version_bits` (BIP-0310).
pub fn rolled_version(job: u32, mask: u32, version_bits: u32) -> u32 {
    (job & !mask) | (version_bits & mask)
}

/// Reverses the bytes of each 32-bit word of a hash. `mining.notify` carries the hash of the previous block in this form. The
/// function is its own inverse.
pub fn swap_words(digest: [u8; 32]) -> [u8; 32] {
    let mut swapped = digest;
    swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    swapped
}
