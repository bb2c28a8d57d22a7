//! Everything a search needs, computed once per job.

use thiserror::Error;

use crate::fold::{FoldedRounds, FoldedSchedule};
use crate::sha256::{self, IV};
use crate::{Digest, Header, Hit, Target};

/// How many versions one [`Work`] can roll (BIP-0310, BIP-0320); more would gain less than one part in a hundred.
pub const MAX_VERSIONS: usize = 24;

/// A header whose nonce, and whose version among several, is to be found: the input of a search.
///
/// The first 64 bytes of a header, hashed once for each version, give k *midstates*; the search then only hashes the
/// remaining 16 bytes, and all versions share the schedule of that block (BIP-0320). A `Work` is a plain value
/// without heap memory, so a job can change without an allocation.
#[derive(Clone, Debug)]
pub struct Work {
    header: Header,
    target: Target,
    versions: [u32; MAX_VERSIONS],
    rounds: [FoldedRounds; MAX_VERSIONS],
    count: usize,
    end: u64,
    schedule: FoldedSchedule,
    candidate_mask: u32,
}

/// Versions that make no [`Work`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum WorkError {
    /// No version was given.
    #[error("work needs at least one version")]
    NoVersion,
    /// More versions were given than [`MAX_VERSIONS`].
    #[error("{0} versions are more than the {MAX_VERSIONS} that work can roll")]
    TooManyVersions(usize),
    /// A version was given twice: its nonces would be searched twice.
    #[error("version {0:08x} is given twice")]
    DuplicateVersion(u32),
}

impl Work {
    /// Prepares a search over all 2^32 nonces of a header under each of some versions.
    ///
    /// The header's own version and nonce are ignored. `target` is what a hit must meet, usually a pool's share
    /// target rather than the one in the header.
    ///
    /// # Errors
    /// If there are no versions, more than [`MAX_VERSIONS`], or two that are the same.
    pub fn new(header: &Header, versions: &[u32], target: &Target) -> Result<Work, WorkError> {
        check_versions(versions)?;
        let bytes = header.to_bytes();
        let message: [u32; 20] = std::array::from_fn(|i| {
            u32::from_be_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
        });
        let tail = [message[16], message[17], message[18]];
        let mut work = Work {
            header: Header { nonce: 0, ..*header },
            target: *target,
            versions: [0; MAX_VERSIONS],
            rounds: [FoldedRounds::default(); MAX_VERSIONS],
            count: versions.len(),
            end: 1 << 32,
            schedule: FoldedSchedule::new(tail),
            candidate_mask: candidate_mask(target),
        };
        work.versions[..versions.len()].copy_from_slice(versions);
        let mut block: [u32; 16] = std::array::from_fn(|i| message[i]);
        for (rounds, version) in work.rounds.iter_mut().zip(versions) {
            block[0] = version.swap_bytes();
            *rounds = FoldedRounds::new(sha256::compress(IV, &block), tail);
        }
        Ok(work)
    }

    /// Restricts the search to nonces below `end`, at most 2^32; zero makes an empty space.
    pub fn with_end(mut self, end: u64) -> Work {
        self.end = end.min(1 << 32);
        self
    }

    /// The versions that are rolled, in the order of the search.
    pub fn versions(&self) -> &[u32] {
        &self.versions[..self.count]
    }

    /// The target that a hit meets.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The first nonce that is not searched, 2^32 unless [`with_end`](Work::with_end) lowered it.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The header that a hit stands for.
    pub fn header(&self, hit: Hit) -> Header {
        Header { version: hit.version, nonce: hit.nonce, ..self.header }
    }

    /// The hash of the header that a hit stands for.
    pub fn digest(&self, hit: Hit) -> Digest {
        self.header(hit).digest()
    }

    /// What is constant in the rounds of the second block, for each version.
    pub(crate) fn rounds(&self) -> &[FoldedRounds] {
        &self.rounds[..self.count]
    }

    /// What is constant in the schedule of the second block.
    pub(crate) fn schedule(&self) -> &FoldedSchedule {
        &self.schedule
    }

    /// Bits of the last word of a hash that must be zero for the hash to be worth an exact look.
    pub(crate) fn candidate_mask(&self) -> u32 {
        self.candidate_mask
    }
}

fn check_versions(versions: &[u32]) -> Result<(), WorkError> {
    if versions.is_empty() {
        return Err(WorkError::NoVersion);
    }
    if versions.len() > MAX_VERSIONS {
        return Err(WorkError::TooManyVersions(versions.len()));
    }
    let seen_before = |(i, version): &(usize, &u32)| versions[..*i].contains(version);
    match versions.iter().enumerate().find(seen_before) {
        Some((_, version)) => Err(WorkError::DuplicateVersion(*version)),
        None => Ok(()),
    }
}

/// The target's leading zeros, as bits of the last word of a hash.
///
/// That word is big-endian in the hash, and the hash read as a number is little-endian: its most significant 32 bits
/// are the last word with its bytes swapped. At least half of all hashes that pass this mask meet the target.
fn candidate_mask(target: &Target) -> u32 {
    let zeros = target.top_word().leading_zeros();
    (!(u32::MAX.checked_shr(zeros).unwrap_or(0))).swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_follow_the_target() {
        let mask = |difficulty| candidate_mask(&Target::from_difficulty(difficulty)).swap_bytes();
        assert_eq!(candidate_mask(&Target::MAX), 0);
        assert_eq!(candidate_mask(&Target::ZERO), u32::MAX);
        assert_eq!(mask(1.0), u32::MAX);
        assert_eq!(mask(1.0 / 65536.0), 0xffff_0000);
        assert_eq!(mask(0.9 / 65536.0), 0xfffe_0000);
        assert_eq!(mask(0.4 / 65536.0), 0xfffc_0000);
    }

    #[test]
    fn refuses_versions_that_make_no_search() {
        let new = |versions: &[u32]| Work::new(&Header::genesis(), versions, &Target::MAX).map(|_| ());
        assert_eq!(new(&[]), Err(WorkError::NoVersion));
        assert_eq!(new(&[4, 7, 4]), Err(WorkError::DuplicateVersion(4)));
        let many: Vec<u32> = (0..=MAX_VERSIONS as u32).collect();
        assert_eq!(new(&many), Err(WorkError::TooManyVersions(MAX_VERSIONS + 1)));
        assert_eq!(new(&many[1..]), Ok(()));
    }
}
