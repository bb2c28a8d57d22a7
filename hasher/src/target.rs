//! How small a hash must be.

use std::cmp::Ordering;
use std::fmt;

use thiserror::Error;

use crate::digest::Digest;

/// A 256-bit number that a header's hash, read as a number, must not exceed.
///
/// Ordered by that number: a smaller target is harder to meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// Limbs of 64 bits, the least significant first.
    limbs: [u64; 4],
}

/// A target as a header carries it ("nBits"): a base-256 exponent and 23 bits of mantissa.
///
/// Source: <https://developer.bitcoin.org/reference/block_chain.html#target-nbits>.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompactTarget(pub u32);

/// A compact target that stands for no 256-bit number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CompactTargetError {
    /// The sign bit is set on a mantissa that is not zero.
    #[error("compact target {0} is negative")]
    Negative(CompactTarget),
    /// The number needs more than 256 bits.
    #[error("compact target {0} exceeds 256 bits")]
    Overflow(CompactTarget),
}

/// 0xffff: the mantissa of difficulty 1, whose target is this shifted by [`DIFFICULTY_1_SHIFT`] bits.
const DIFFICULTY_1: f64 = 65535.0;
const DIFFICULTY_1_SHIFT: i32 = 208;

impl Target {
    /// The easiest target: every hash meets it.
    pub const MAX: Target = Target { limbs: [u64::MAX; 4] };
    /// The hardest target: only the all-zero hash would meet it.
    pub const ZERO: Target = Target { limbs: [0; 4] };
    /// Hashes that it takes on average to meet the target of difficulty 1, as pools count them: 2^32, of which that
    /// target asks 1/65535 more.
    pub const HASHES_PER_DIFFICULTY: f64 = (1_u64 << 32) as f64;

    /// Reads a target from 32 bytes, the least significant first: the order in which SHA-256 gives a hash.
    pub fn from_le_bytes(bytes: [u8; 32]) -> Target {
        let (chunks, _) = bytes.as_chunks::<8>();
        Target { limbs: std::array::from_fn(|i| u64::from_le_bytes(chunks[i])) }
    }

    /// Returns the 32 bytes of the target, the least significant first.
    pub fn to_le_bytes(&self) -> [u8; 32] {
        std::array::from_fn(|i| self.limbs[i / 8].to_le_bytes()[i % 8])
    }

    /// Whether a hash, as a number, is at most this target.
    pub fn is_met_by(&self, digest: &Digest) -> bool {
        Target::from_le_bytes(digest.to_bytes()) <= *self
    }

    /// Returns the target of a pool difficulty: `0xffff << 208` divided by it, rounded to the 53 bits of an `f64`.
    ///
    /// What is too easy for 256 bits becomes [`Target::MAX`], and so do zero, negative numbers and NaN; infinity
    /// becomes [`Target::ZERO`].
    pub fn from_difficulty(difficulty: f64) -> Target {
        if difficulty.is_nan() || difficulty <= 0.0 {
            return Target::MAX;
        }
        // Dividing the mantissa keeps all 53 bits; below this, the quotient would have to be subnormal.
        let quotient = DIFFICULTY_1 / difficulty;
        if !quotient.is_finite() {
            return Target::MAX;
        }
        let bits = quotient.to_bits();
        let exponent = (bits >> 52) as i32;
        if exponent == 0 {
            return Target::ZERO;
        }
        let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
        // quotient = mantissa · 2^(exponent − 1075)
        Target::shifted(mantissa, exponent - 1075 + DIFFICULTY_1_SHIFT)
    }

    /// mantissa · 2^shift, rounded down, at most [`Target::MAX`].
    fn shifted(mantissa: u64, shift: i32) -> Target {
        if shift <= 0 {
            let limb = mantissa.checked_shr(shift.unsigned_abs()).unwrap_or(0);
            return Target { limbs: [limb, 0, 0, 0] };
        }
        if shift + (64 - mantissa.leading_zeros() as i32) > 256 {
            return Target::MAX;
        }
        let (limb, bit) = (shift as usize / 64, shift as usize % 64);
        let wide = u128::from(mantissa) << bit;
        let mut limbs = [0; 4];
        limbs[limb] = wide as u64;
        if limb < 3 {
            limbs[limb + 1] = (wide >> 64) as u64;
        }
        Target { limbs }
    }

    /// Returns how much harder this target is than that of difficulty 1, `0xffff << 208`; infinity for zero.
    pub fn difficulty(&self) -> f64 {
        let value = self.limbs.iter().rev().fold(0.0, |sum, &limb| sum * 2f64.powi(64) + limb as f64);
        DIFFICULTY_1 * 2f64.powi(DIFFICULTY_1_SHIFT) / value
    }

    /// Returns how many hashes it takes on average to meet this target: floor(2^256 / (target + 1)), at most `u128::MAX`.
    ///
    /// This is Bitcoin Core's measure of a chain's work (`GetBlockProof`).
    pub fn work(&self) -> u128 {
        if self.limbs[2..] == [0, 0] {
            return u128::MAX; // 2^128 or more
        }
        let (mut divisor, mut carry) = (self.limbs, true);
        for limb in &mut divisor {
            (*limb, carry) = limb.overflowing_add(u64::from(carry));
        }
        if carry {
            return 1; // target + 1 = 2^256
        }
        divide_2_256(Target { limbs: divisor })
    }

    /// Reads a target in compact form.
    ///
    /// # Errors
    /// If the number is negative or needs more than 256 bits, which Bitcoin's consensus forbids in a header.
    pub fn from_compact(compact: CompactTarget) -> Result<Target, CompactTargetError> {
        let size = (compact.0 >> 24) as i32;
        let mantissa = compact.0 & 0x007f_ffff;
        let shift = 8 * (size - 3);
        if mantissa >> -shift.min(0) == 0 {
            return Ok(Target::ZERO); // even where the sign bit is set
        }
        if compact.0 & 0x0080_0000 != 0 {
            return Err(CompactTargetError::Negative(compact));
        }
        if shift + (32 - mantissa.leading_zeros() as i32) > 256 {
            return Err(CompactTargetError::Overflow(compact));
        }
        Ok(Target::shifted(u64::from(mantissa), shift))
    }

    /// Returns the target in compact form, rounded down to what that can express.
    pub fn to_compact(&self) -> CompactTarget {
        let bytes = self.to_le_bytes();
        let mut size = 32 - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        // The three most significant bytes; bytes below the number's end are zero.
        let at = |i: usize| i.checked_sub(1).map_or(0, |i| u32::from(bytes[i]));
        let mut mantissa = at(size) << 16 | at(size.saturating_sub(1)) << 8 | at(size.saturating_sub(2));
        if mantissa & 0x0080_0000 != 0 {
            // The top bit of the mantissa would be its sign.
            mantissa >>= 8;
            size += 1;
        }
        CompactTarget((size as u32) << 24 | mantissa)
    }

    /// The most significant 32 bits of the target.
    pub(crate) fn top_word(&self) -> u32 {
        (self.limbs[3] >> 32) as u32
    }
}

/// floor(2^256 / divisor) for a divisor above 2^128, by long division, a bit at a time.
fn divide_2_256(divisor: Target) -> u128 {
    let (mut quotient, mut remainder) = (0u128, Target { limbs: [0; 4] });
    // The dividend is a one and 256 zeros; `next` is the bit that moves into the remainder.
    for next in std::iter::once(1).chain(std::iter::repeat_n(0, 256)) {
        let mut carry = next;
        for limb in &mut remainder.limbs {
            (*limb, carry) = (*limb << 1 | carry, *limb >> 63);
        }
        quotient <<= 1;
        // A bit shifted out makes the remainder larger than any divisor; the subtraction below takes it back.
        if carry == 1 || remainder >= divisor {
            quotient |= 1;
            let mut borrow = false;
            for (limb, subtrahend) in remainder.limbs.iter_mut().zip(divisor.limbs) {
                let (difference, first) = limb.overflowing_sub(subtrahend);
                let (difference, second) = difference.overflowing_sub(u64::from(borrow));
                (*limb, borrow) = (difference, first || second);
            }
        }
    }
    quotient
}

impl Ord for Target {
    fn cmp(&self, other: &Target) -> Ordering {
        self.limbs.iter().rev().cmp(other.limbs.iter().rev())
    }
}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Target) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl TryFrom<CompactTarget> for Target {
    type Error = CompactTargetError;

    fn try_from(compact: CompactTarget) -> Result<Target, CompactTargetError> {
        Target::from_compact(compact)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limbs.iter().rev().try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompactTarget({self})")
    }
}

impl Digest {
    /// Returns the difficulty that this hash reached: that of the hardest target it meets.
    ///
    /// 1 is the difficulty of the target `0xffff << 208`. The all-zero hash reaches infinity.
    pub fn difficulty(&self) -> f64 {
        Target::from_le_bytes(self.to_bytes()).difficulty()
    }
}

#[cfg(test)]
mod tests;
