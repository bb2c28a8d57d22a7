//! 8 lanes: AVX2, which has neither rotations nor functions of three operands.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::Entry;
use super::vector::{self, Lanes};
use crate::Work;
use crate::fold::{FoldedRounds, FoldedSchedule};
use crate::hit::Memory;

pub(super) const ENTRY: Entry = Entry {
    name: "avx2",
    lanes: Vector::COUNT,
    features: &["avx2"],
    available: || is_x86_feature_detected!("avx2"),
    items: |versions| vector::items(versions, 50),
    search,
};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Vector(__m256i);

// Its 16 registers hold the working variables of two streams in the stage without a schedule, of one in the other; what
// else is needed comes from memory.
vector::backend! { Vector, "avx2", first: 2, second: 1, Vector(_mm256_setzero_si256()) }

// SAFETY: 256 bits without meaning beyond their value. For all methods: a `Vector` is only made where AVX2 is enabled,
// so the CPU has it.
unsafe impl Lanes for Vector {
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(self, value: &u32) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm256_set1_epi32(*value as i32) })
    }

    #[inline(always)]
    fn nonces(self, first: u32) -> Vector {
        // SAFETY: see above.
        unsafe {
            let nonces = _mm256_add_epi32(self.splat(&first).0, _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
            let swap_bytes = _mm256_set1_epi64x(0x0405_0607_0001_0203);
            let swap_bytes = _mm256_add_epi8(
                swap_bytes,
                _mm256_set_epi64x(0x0808_0808_0808_0808, 0, 0x0808_0808_0808_0808, 0),
            );
            Vector(_mm256_shuffle_epi8(nonces, swap_bytes))
        }
    }

    #[inline(always)]
    fn add(self, other: Vector) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self) -> Vector {
        // SAFETY: see above. The counts are variables in the type system only.
        unsafe {
            let right = _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS));
            let left = _mm256_sll_epi32(self.0, _mm_cvtsi32_si128(32 - BITS));
            Vector(_mm256_or_si256(right, left))
        }
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }

    #[inline(always)]
    fn xor3(self, b: Vector, c: Vector) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm256_xor_si256(_mm256_xor_si256(self.0, b.0), c.0) })
    }

    #[inline(always)]
    fn choose(self, f: Vector, g: Vector) -> Vector {
        // Where self has ones, the difference between f and g is taken back.
        // SAFETY: see above.
        Vector(unsafe { _mm256_xor_si256(_mm256_and_si256(_mm256_xor_si256(f.0, g.0), self.0), g.0) })
    }

    #[inline(always)]
    fn majority(self, b: Vector, c: Vector) -> Vector {
        // Where b and c differ, self decides; and b ^ c of this round is self ^ b of the round before, which the
        // compiler finds and keeps.
        // SAFETY: see above.
        unsafe {
            let (differs, keeps) = (_mm256_xor_si256(self.0, b.0), _mm256_xor_si256(b.0, c.0));
            Vector(_mm256_xor_si256(b.0, _mm256_and_si256(differs, keeps)))
        }
    }

    #[inline(always)]
    fn pin(self) -> Vector {
        /// An operand in a 256-bit register needs a function that enables AVX.
        #[target_feature(enable = "avx2")]
        #[inline]
        fn pin(mut vector: __m256i) -> __m256i {
            // SAFETY: no instruction at all.
            unsafe {
                asm!("/* {0} */", inout(ymm_reg) vector, options(pure, nomem, nostack, preserves_flags))
            };
            vector
        }
        // SAFETY: see above.
        Vector(unsafe { pin(self.0) })
    }

    #[inline(always)]
    fn zero_lanes(self, mask: Vector) -> u16 {
        // SAFETY: see above.
        unsafe {
            let zero = _mm256_cmpeq_epi32(_mm256_and_si256(self.0, mask.0), _mm256_setzero_si256());
            _mm256_movemask_ps(_mm256_castsi256_ps(zero)) as u16
        }
    }
}
