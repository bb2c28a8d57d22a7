//! The hash of a block: SHA-256 applied twice.

use std::fmt;

use sha2::Digest as _;

use crate::Target;

/// SHA-256 of the SHA-256 of some bytes, in the byte order in which SHA-256 gives it.
///
/// This is the hash of Bitcoin's headers, transactions and merkle trees.
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(sha2::Sha256::digest(bytes)).into()
}

/// The double SHA-256 of a block header.
///
/// The bytes are in internal byte order, as SHA-256 gives them: as a number, the first byte is the least significant.
/// [`Display`](fmt::Display) reverses them into the form that block explorers show, with the zeros in front.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Wraps a hash given in internal byte order.
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Returns the 32 bytes in internal byte order.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Returns the difficulty that this hash reached: that of the hardest target it meets.
    ///
    /// 1 is the difficulty of the target `0xffff << 208`. The all-zero hash reaches infinity.
    pub fn difficulty(&self) -> f64 {
        Target::from_le_bytes(self.0).difficulty()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
