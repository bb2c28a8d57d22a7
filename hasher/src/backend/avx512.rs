//! The AVX-512 backend with 16 lanes. AVX-512 has an instruction that rotates and one that computes any function of three
//! bits.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Entry;
use super::vector::{self, Lanes};
use crate::fold::{FoldedRounds, FoldedSchedule};
use crate::hit::Scratch;
use crate::work::Work;

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

// In the first stage, three streams of eight working variables, with their temporaries, fill the 32 registers. In the second
// stage, which also computes the schedule, two streams fill them.
vector::backend! { Vector, "avx512f,avx512bw", first: 3, second: 2, Vector(_mm512_setzero_si512()) }

/// The operands of the ternary instruction as columns of a truth table: bit i is the operand's value in row i. So a function
/// applied to these constants yields the truth table of the function.
const A: i32 = 0b1111_0000;
const B: i32 = 0b1100_1100;
const C: i32 = 0b1010_1010;
const XOR3: i32 = A ^ B ^ C;
const CHOOSE: i32 = (A & B) | (!A & C);
const MAJORITY: i32 = (A & B) | (A & C) | (B & C);

// SAFETY: the type consists of 512 plain bits. For all methods: a `Vector` is created only where AVX-512F and AVX-512BW are
// enabled, so the CPU has these features.
unsafe impl Lanes for Vector {
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(self, value: &u32) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::splat(value) })
    }

    #[inline(always)]
    fn plus(self, value: &u32) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::plus(self.0, value) })
    }

    #[inline(always)]
    fn nonces(self, first: u32) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        unsafe {
            let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
            let nonces = _mm512_add_epi32(self.splat(&first).0, lanes);
            let swap_bytes = _mm512_set4_epi32(0x0c0d_0e0f, 0x0809_0a0b, 0x0405_0607, 0x0001_0203);
            Vector(_mm512_shuffle_epi8(nonces, swap_bytes))
        }
    }

    #[inline(always)]
    fn add(self, other: Vector) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::add(self.0, other.0) })
    }

    #[inline(always)]
    fn rotate_right<const BITS: i32>(self) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::rotate_right::<BITS>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::shift_right::<BITS>(self.0) })
    }

    #[inline(always)]
    fn xor3(self, b: Vector, c: Vector) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::ternary::<XOR3>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn choose(self, f: Vector, g: Vector) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::ternary::<CHOOSE>(self.0, f.0, g.0) })
    }

    #[inline(always)]
    fn majority(self, b: Vector, c: Vector) -> Vector {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        Vector(unsafe { operations::ternary::<MAJORITY>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn pin(self) -> Vector {
        self // The sums are assembly, which the compiler does not reorder.
    }

    #[inline(always)]
    fn zero_lanes(self, mask: Vector) -> u16 {
        // SAFETY: a `Vector` proves that the CPU has AVX-512F and AVX-512BW.
        unsafe { _mm512_testn_epi32_mask(self.0, mask.0) }
    }
}

/// The operations as single assembly instructions, whose order the compiler preserves.
///
/// The order in which the rounds are written matters: when the compiler reorders intrinsics, the search is 5 % slower. The
/// compiler still allocates the registers.
mod operations {
    use std::arch::asm;
    use std::arch::x86_64::__m512i;

    /// Defines a function that consists of one instruction, with its result in `out`.
    macro_rules! operation {
        ($name:ident $(<$n:ident: $number:ty>)?, $instruction:literal, $options:ident,
            ($($operand:ident: $type:ty = $class:ident),+) $(, $constant:expr)?) => {
            #[target_feature(enable = "avx512f,avx512bw")]
            #[inline]
            pub(super) fn $name$(<const $n: $number>)?($($operand: $type),+) -> __m512i {
                let out;
                // SAFETY: the function enables the instruction, which writes only its result and reads memory only through
                // the reference.
                unsafe {
                    asm!(
                        $instruction,
                        out = lateout(zmm_reg) out,
                        $($operand = in($class) $operand,)+
                        $(n = const $constant,)?
                        options($options, nostack, preserves_flags),
                    );
                }
                out
            }
        };
    }
    operation!(add, "vpaddd {out}, {a}, {b}", nomem, (a: __m512i = zmm_reg, b: __m512i = zmm_reg));
    operation!(plus, "vpaddd {out}, {a}, dword ptr [{b}]{{1to16}}", readonly, (a: __m512i = zmm_reg, b: &u32 = reg));
    operation!(splat, "vpbroadcastd {out}, dword ptr [{value}]", readonly, (value: &u32 = reg));
    operation!(rotate_right<BITS: i32>, "vprord {out}, {a}, {n}", nomem, (a: __m512i = zmm_reg), BITS);
    operation!(shift_right<BITS: u32>, "vpsrld {out}, {a}, {n}", nomem, (a: __m512i = zmm_reg), BITS);

    /// Computes a function of three bits, given by its truth table.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    pub(super) fn ternary<const TABLE: i32>(mut a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        // SAFETY: the function enables the instruction, which writes only its first operand and reads no memory.
        unsafe {
            asm!(
                "vpternlogd {a}, {b}, {c}, {table}",
                a = inout(zmm_reg) a,
                b = in(zmm_reg) b,
                c = in(zmm_reg) c,
                table = const TABLE & 0xff,
                options(nomem, nostack, preserves_flags),
            );
        }
        a
    }
}
