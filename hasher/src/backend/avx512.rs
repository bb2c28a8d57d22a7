//! 16 lanes: AVX-512, which rotates in one operation and computes any function of three bits in one.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;

use super::Entry;
use super::vector::{self, Lanes};
use crate::Work;
use crate::fold::{FoldedRounds, FoldedSchedule};
use crate::hit::Memory;

pub(super) const ENTRY: Entry = Entry {
    name: "avx512",
    lanes: Vector::COUNT,
    features: &["avx512f", "avx512bw"],
    available: || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw"),
    items: |versions| vector::items(versions, 100),
    search,
};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Vector(__m512i);

// Three streams of eight working variables and as many temporaries fill the 32 registers; with a schedule, two do.
vector::backend! { Vector, "avx512f,avx512bw", first: 3, second: 2, Vector(_mm512_setzero_si512()) }

/// The operands of the ternary operation as it numbers its truth table: bit i of an operand is its value in row i, so a
/// function of the operands, computed on these, is its own truth table.
const A: i32 = 0b1111_0000;
const B: i32 = 0b1100_1100;
const C: i32 = 0b1010_1010;
const XOR3: i32 = A ^ B ^ C;
const CHOOSE: i32 = (A & B) | (!A & C);
const MAJORITY: i32 = (A & B) | (A & C) | (B & C);

// SAFETY: 512 bits without meaning beyond their value. For all methods: a `Vector` is only made where AVX-512F and
// AVX-512BW are enabled, so the CPU has them.
unsafe impl Lanes for Vector {
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(self, value: u32) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_set1_epi32(value as i32) })
    }

    #[inline(always)]
    fn nonces(self, first: u32) -> Vector {
        // SAFETY: see above.
        unsafe {
            let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
            let nonces = _mm512_add_epi32(self.splat(first).0, lanes);
            let swap_bytes = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
            Vector(_mm512_shuffle_epi8(nonces, swap_bytes))
        }
    }

    #[inline(always)]
    fn add(self, other: Vector) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_ror_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_srli_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    fn xor3(self, b: Vector, c: Vector) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn choose(self, f: Vector, g: Vector) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(self.0, f.0, g.0) })
    }

    #[inline(always)]
    fn majority(self, b: Vector, c: Vector) -> Vector {
        // SAFETY: see above.
        Vector(unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn pin(self) -> Vector {
        /// An operand in a 512-bit register needs a function that enables AVX-512.
        #[target_feature(enable = "avx512f")]
        #[inline]
        fn pin(mut vector: __m512i) -> __m512i {
            // SAFETY: no instruction at all.
            unsafe {
                asm!("/* {0} */", inout(zmm_reg) vector, options(pure, nomem, nostack, preserves_flags))
            };
            vector
        }
        // SAFETY: see above.
        Vector(unsafe { pin(self.0) })
    }

    #[inline(always)]
    fn zero_lanes(self, mask: Vector) -> u16 {
        // SAFETY: see above.
        unsafe { _mm512_testn_epi32_mask(self.0, mask.0) }
    }
}
