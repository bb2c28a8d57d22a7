//! The backend that runs everywhere, written to be read: the oracle of all others.
//!
//! Nothing is folded but the midstate. A header is two blocks; the first, with the version in it, is hashed once per
//! work, the second holds the nonce:
//!
//! ```text
//! hash 1, block 2:  merkle root's end │ ntime │ nBits │ nonce │ padding, 640
//! hash 2:           the eight words of hash 1         │ padding, 256
//! ```

use super::Entry;
use crate::Work;
use crate::hit::Memory;
use crate::sha256::{DIGEST_BITS, HEADER_BITS, IV, PAD, compress};

pub(super) const ENTRY: Entry = Entry {
    name: "portable",
    lanes: 1,
    features: &[],
    available: || true,
    items: |versions| 64usize.div_ceil(versions),
    search,
};

fn search(work: &Work, first: u32, _memory: &mut Memory, candidates: &mut [u16]) -> bool {
    let versions = work.rounds();
    let mut any = false;
    for (i, item) in candidates.chunks_exact_mut(versions.len()).enumerate() {
        let nonce = first.wrapping_add(i as u32);
        for (candidate, version) in item.iter_mut().zip(versions) {
            let found = last_word(version.midstate, work.schedule().tail, nonce) & work.candidate_mask() == 0;
            *candidate = u16::from(found);
            any |= found;
        }
    }
    any
}

/// The last word of the double hash.
fn last_word(midstate: [u32; 8], [w0, w1, w2]: [u32; 3], nonce: u32) -> u32 {
    // The header is little-endian and SHA-256 reads big-endian words.
    let w3 = nonce.swap_bytes();
    let [a, b, c, d, e, f, g, h] =
        compress(midstate, &[w0, w1, w2, w3, PAD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, HEADER_BITS]);
    compress(IV, &[a, b, c, d, e, f, g, h, PAD, 0, 0, 0, 0, 0, 0, DIGEST_BITS])[7]
}
