//! The search on vectors: many nonces at a time, one in each lane. The code is generic over the vector width.
//!
//! A work item is *(version, nonce vector)*. Arithmetic dominates the cost of an item, so the design saves operations and
//! keeps the execution units busy:
//!
//! * Constants are precomputed ([`fold`](crate::fold)). The schedule of the first SHA-256 depends only on the nonce, so all
//!   versions share that schedule ([`schedule()`]). It is stored with the round constants added.
//! * The first SHA-256 and rounds 0 to 15 of the second SHA-256 read precomputed K + W ([`first()`]). The other rounds of the
//!   second SHA-256 compute their schedule as they go ([`second()`]). Each stage is a function that runs over a batch of items.
//! * A round is a chain of dependent operations. Several items run side by side as *streams*, so that the operations of one
//!   stream fill the gaps of another.
//! * Loops of eight rounds, after which each working variable is back in its register, keep the code small. The caches of
//!   decoded instructions hold some 5000 instructions, and longer code runs slower.

#![allow(clippy::needless_range_loop)] // One index selects a stream in several arrays.

use std::hint::black_box;

mod chunk;
mod first;
mod item_order;
mod schedule;
mod second;

pub(super) use chunk::{Stages, backend, items, search};
pub(super) use first::first;
pub(super) use schedule::schedule;
pub(super) use second::second;

use super::unroll::{streams, unroll};

/// A vector of 32-bit lanes in a register. The methods are the operations of SHA-256, so that each instruction set can use
/// its best instructions for them.
///
/// A value proves that the CPU has the instructions, because values are created only where the instructions are enabled. All
/// methods must be inlined into functions that enable the features.
///
/// # Safety
/// The type must be a plain vector of integers: all byte patterns are valid values.
#[allow(unsafe_code)]
pub(super) unsafe trait Lanes: Copy {
    /// Number of lanes, at most 16.
    const COUNT: usize;

    /// A vector with the same value in each lane. `self` only proves that the CPU has the instructions. `value` is a reference
    /// because the CPU reads it from memory.
    fn splat(self, value: &u32) -> Self;
    /// The message words for nonces `first`, `first + 1`, …, with their bytes swapped because a header is little-endian. `self`
    /// only proves that the CPU has the instructions.
    fn nonces(self, first: u32) -> Self;
    fn add(self, other: Self) -> Self;
    fn rotate_right<const BITS: i32>(self) -> Self;
    fn shift_right<const BITS: u32>(self) -> Self;
    fn xor3(self, b: Self, c: Self) -> Self;
    /// The bits of `f` where self has ones, and of `g` elsewhere.
    fn choose(self, f: Self, g: Self) -> Self;
    fn majority(self, b: Self, c: Self) -> Self;
    /// The vector itself, but opaque to the optimizer.
    ///
    /// LLVM reassociates chains of additions. It would add K + W, which is available early, only after the additions on the
    /// critical path. This method costs no instruction and keeps the order as written.
    fn pin(self) -> Self;
    /// Bit `i` is set if lane `i` has zeros wherever `mask` has ones.
    fn zero_lanes(self, mask: Self) -> u16;

    /// Adds the same value to each lane.
    #[inline(always)]
    fn plus(self, value: &u32) -> Self {
        self.add(self.splat(value))
    }
    #[inline(always)]
    fn big_sigma1(self) -> Self {
        self.rotate_right::<6>().xor3(self.rotate_right::<11>(), self.rotate_right::<25>())
    }
    #[inline(always)]
    fn small_sigma0(self) -> Self {
        self.rotate_right::<7>().xor3(self.rotate_right::<18>(), self.shift_right::<3>())
    }
    #[inline(always)]
    fn small_sigma1(self) -> Self {
        self.rotate_right::<17>().xor3(self.rotate_right::<19>(), self.shift_right::<10>())
    }
}

/// The working variables of one stream: a, b, …, h.
pub(super) type State<L> = [L; 8];
/// The message schedule of the first SHA-256 for one vector of nonces. It is the same for all header versions.
#[repr(C)]
pub(super) struct Schedule<L> {
    /// The nonces as message words.
    nonces: L,
    /// K + W of rounds 8 to 63 of the first SHA-256. The value of round t is at index t − 8.
    k_plus_w: [L; 56],
}

/// Schedule words 16 to 63 of one stream. Word t is at index t − 16.
pub(super) type Words<L> = [L; 48];

/// Computes schedule word t with the complete recurrence; `index` is t − 16.
#[inline(always)]
fn word<L: Lanes, const N: usize>(words: &[L; N], index: usize) -> L {
    let back = |distance: usize| words[index - distance];
    let (sigma0, sigma1) = (back(15).small_sigma0(), back(2).small_sigma1());
    sigma0.add(back(16)).pin().add(back(7)).pin().add(sigma1).pin()
}

/// The result of [`first()`] for an item, which [`second()`] continues.
#[repr(C)]
pub(super) struct Item<L> {
    /// The result of the first SHA-256, which is words 0 to 7 of the message of the second SHA-256.
    words: [L; 8],
    /// The working variables after round 15 of the second SHA-256.
    state: State<L>,
    /// Makes the size of an item an odd number of vectors, so that items do not compete for the same cache sets.
    _padding: L,
}

/// Makes the compiler align the stack frame of the calling function to 64 bytes. This works because the function is inlined.
///
/// Without the alignment, a spilled vector may cross a cache line, which doubles the cost of an access: depending on the
/// position of the stack, the search with AVX2 took 176 or 199 cycles per hash.
#[inline(always)]
pub(super) fn align_spills() {
    #[repr(align(64))]
    struct Aligned(#[allow(dead_code)] u8);
    black_box(&mut Aligned(0));
}

/// The number of nonce vectors for which [`schedule()`] computes the schedules at the same time.
pub(super) const SCHEDULE_STREAMS: usize = 2;

/// Computes one round, given K + W.
#[inline(always)]
fn round<L: Lanes>(state: State<L>, k_plus_w: L) -> State<L> {
    let h = state[7];
    round_with(state, |choose| h.add(k_plus_w).pin().add(choose).pin())
}

/// Computes one round. The function `sum` adds h, K and W to its argument.
///
/// The order of the statements keeps the execution units busy, and the code for AVX-512 preserves this order. Rotations come
/// first, because only half of the units can execute them. Other operations on the state follow, then the sums. The sum for e is
/// the first, because the next round starts with e. Rounds of several items are not interleaved here, because the CPU overlaps
/// them by itself.
#[inline(always)]
fn round_with<L: Lanes>([a, b, c, d, e, f, g, _]: State<L>, sum: impl FnOnce(L) -> L) -> State<L> {
    let (e25, e11) = (e.rotate_right::<25>(), e.rotate_right::<11>());
    let a2 = a.rotate_right::<2>();
    let e6 = e.rotate_right::<6>();
    let (a13, a22) = (a.rotate_right::<13>(), a.rotate_right::<22>());
    let big_sigma1 = e6.xor3(e11, e25);
    let majority = a.majority(b, c);
    let t1 = sum(e.choose(f, g)).add(big_sigma1).pin();
    let next_e = d.add(t1).pin();
    let big_sigma0 = a2.xor3(a13, a22);
    let next_a = t1.add(majority).pin().add(big_sigma0).pin();
    [next_a, a, b, c, next_e, e, f, g]
}
