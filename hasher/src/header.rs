//! The 80 bytes that miners hash.

use crate::{CompactTarget, Digest, sha256d};

/// A block header.
///
/// Serialized it is 80 bytes, every field little-endian
/// (<https://developer.bitcoin.org/reference/block_chain.html#block-headers>).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Header {
    /// Block version; its bits 13 to 28 are free for miners (BIP-0320).
    pub version: u32,
    /// Hash of the previous header, in internal byte order, as in the 80 bytes.
    pub prev_hash: [u8; 32],
    /// Root of the merkle tree of the transactions, in internal byte order, as in the 80 bytes.
    pub merkle_root: [u8; 32],
    /// Seconds since 1970.
    pub ntime: u32,
    /// The target that the hash must meet, in compact form.
    pub nbits: CompactTarget,
    /// What a search varies.
    pub nonce: u32,
}

impl Header {
    /// Length of a serialized header.
    pub const LEN: usize = 80;

    /// Returns the header of Bitcoin's first block, hash
    /// `000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f`.
    pub const fn genesis() -> Header {
        Header {
            version: 1,
            prev_hash: [0; 32],
            merkle_root: [
                0x3b, 0xa3, 0xed, 0xfd, 0x7a, 0x7b, 0x12, 0xb2, 0x7a, 0xc7, 0x2c, 0x3e, 0x67, 0x76, 0x8f,
                0x61, 0x7f, 0xc8, 0x1b, 0xc3, 0x88, 0x8a, 0x51, 0x32, 0x3a, 0x9f, 0xb8, 0xaa, 0x4b, 0x1e,
                0x5e, 0x4a,
            ],
            ntime: 1_231_006_505,
            nbits: CompactTarget(0x1d00_ffff),
            nonce: 2_083_236_893,
        }
    }

    /// Serializes the header as it is hashed and sent.
    pub fn to_bytes(&self) -> [u8; Header::LEN] {
        let mut bytes = [0; Header::LEN];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.prev_hash);
        bytes[36..68].copy_from_slice(&self.merkle_root);
        bytes[68..72].copy_from_slice(&self.ntime.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.nbits.0.to_le_bytes());
        bytes[76..].copy_from_slice(&self.nonce.to_le_bytes());
        bytes
    }

    /// Reads a header from its serialized form; every 80 bytes are a header.
    pub fn from_bytes(bytes: &[u8; Header::LEN]) -> Header {
        let word = |at| u32::from_le_bytes(array(bytes, at));
        Header {
            version: word(0),
            prev_hash: array(bytes, 4),
            merkle_root: array(bytes, 36),
            ntime: word(68),
            nbits: CompactTarget(word(72)),
            nonce: word(76),
        }
    }

    /// Hashes the header.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(sha256d(&self.to_bytes()))
    }
}

/// Copies N bytes of a header out of it; all callers pass constants that fit.
fn array<const N: usize>(bytes: &[u8; Header::LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}
