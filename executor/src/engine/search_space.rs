//! The search space of a job: extranonce2 × version bits × ntime, divided into units.
//!
//! A unit is one value of extranonce2, one ntime and a group of versions; a thread searches all 2^32 nonces with each of the
//! versions. Units are numbered, and the number determines the unit. So threads with different numbers never search the same
//! header, and counting up skips no header.
//!
//! extranonce2 varies first, because no rule restricts it. The groups of version bits vary next. ntime varies last: it only
//! increases, by at most [`NTIME_SPAN`].

use std::num::NonZeroUsize;

use stratum::Job;

/// How far the ntime of a header may run ahead of the ntime of the job, in seconds.
///
/// The span is small because the miner does not know the pool's rules on ntime, and because on test networks the difficulty
/// may depend on ntime.
/// With two bytes of extranonce2 and no version rolling, one core needs a month before it changes ntime.
pub const NTIME_SPAN: u32 = 60;

/// The search space of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchSpace {
    extranonce2_len: usize,
    version: u32,
    version_mask: u32,
    ntime: u32,
    /// The number of versions that a unit searches together. The versions of the job are divided into such groups; the last group
    /// may be smaller.
    group: u64,
    extranonces: u64,
    groups: u64,
    units: u64,
}

/// The part of the search space that a thread searches at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The value of extranonce2; big-endian in the coinbase.
    pub extranonce2: u64,
    /// Seconds since the Unix epoch.
    pub ntime: u32,
    /// The index of the unit's first version among all versions that the job allows.
    first_version: u64,
    /// The number of versions of the unit; their indices are consecutive.
    versions: u64,
}

impl SearchSpace {
    /// Divides a job into units of at most `group` versions.
    pub fn new(job: &Job, group: NonZeroUsize) -> Self {
        SearchSpace::with_span(job, group, NTIME_SPAN)
    }

    fn with_span(job: &Job, group: NonZeroUsize, span: u32) -> Self {
        let Job { extranonce2_len, version, version_mask, ntime, .. } = *job;
        let group = group.get() as u64;
        let bits = u32::try_from(extranonce2_len.saturating_mul(8)).unwrap_or(u32::MAX);
        let extranonces = 1u64.checked_shl(bits).unwrap_or(u64::MAX);
        let groups = (1u64 << version_mask.count_ones()).div_ceil(group);
        // A header cannot hold a time beyond 2^32 (the year 2106).
        let times = u64::from(span.min(u32::MAX - ntime)) + 1;
        let units = extranonces.saturating_mul(groups).saturating_mul(times);
        SearchSpace { extranonce2_len, version, version_mask, ntime, group, extranonces, groups, units }
    }

    /// The number of units. Numbers above `u64::MAX` are given as `u64::MAX`: no machine can search so many units.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// The unit with this number. Numbers start at 0; beyond the last, the result is `None`.
    pub fn unit(&self, number: u64) -> Option<Unit> {
        if number >= self.units {
            return None;
        }
        let rest = number / self.extranonces;
        let first_version = rest % self.groups * self.group;
        let all = 1u64 << self.version_mask.count_ones();
        Some(Unit {
            extranonce2: number % self.extranonces,
            ntime: self.ntime + u32::try_from(rest / self.groups).unwrap_or(0),
            first_version,
            versions: self.group.min(all - first_version),
        })
    }

    /// The versions of a unit: the job's version, with different bits flipped within the version mask.
    pub fn versions(&self, unit: &Unit) -> impl Iterator<Item = u32> + use<> {
        let (version, version_mask) = (self.version, self.version_mask);
        let first = unit.first_version;
        // At most 2^32 versions are numbered, so the cast loses nothing.
        (first..first + unit.versions).map(move |n| version ^ spread(n as u32, version_mask))
    }

    /// The bytes of extranonce2 of a unit, as they appear in the coinbase.
    pub fn extranonce2(&self, unit: &Unit) -> Vec<u8> {
        let len = self.extranonce2_len;
        let value = unit.extranonce2.to_be_bytes();
        let mut bytes = vec![0; len];
        let n = len.min(value.len());
        bytes[len - n..].copy_from_slice(&value[value.len() - n..]);
        bytes
    }
}

/// Distributes the low bits of `value` over the one bits of `mask`, lowest first.
fn spread(value: u32, mask: u32) -> u32 {
    let mut left = mask;
    let mut out = 0;
    for bit in 0..mask.count_ones() {
        let lowest = left & left.wrapping_neg();
        if value >> bit & 1 == 1 {
            out |= lowest;
        }
        left ^= lowest;
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use hasher::{CompactTarget, Target};
    use proptest::prelude::*;

    use super::*;

    fn group(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).expect("tests use groups of at least one")
    }

    fn job(extranonce2_len: usize, version_mask: u32) -> Job {
        Job {
            id: String::new(),
            prev_hash: [0; 32],
            coinb1: Vec::new(),
            coinb2: Vec::new(),
            branch: Vec::new(),
            version: 0x2000_0000,
            nbits: CompactTarget(0x1d00_ffff),
            ntime: 1_700_000_000,
            clean: true,
            target: Target::MAX,
            version_mask,
            extranonce1: Vec::new(),
            extranonce2_len,
        }
    }

    #[test]
    fn spread_fills_the_mask_from_its_lowest_bit() {
        assert_eq!(spread(0b101, 0x1fff_e000), 0xa000);
        assert_eq!(spread(0xffff, 0x1fff_e000), 0x1fff_e000);
        assert_eq!(spread(0b11, 0x8000_0001), 0x8000_0001);
        assert_eq!(spread(7, 0), 0);
        assert_eq!(spread(u32::MAX, u32::MAX), u32::MAX);
    }

    #[test]
    fn order_is_extranonce2_then_versions_then_ntime() {
        let space = SearchSpace::new(&job(1, 0b111 << 13), group(3));
        let at = |n| space.unit(n).expect("in range");
        assert_eq!((at(0).extranonce2, at(255).extranonce2), (0, 255));
        assert_eq!(space.versions(&at(255)).collect::<Vec<_>>(), [0x2000_0000, 0x2000_2000, 0x2000_4000]);
        assert_eq!(at(256).extranonce2, 0);
        assert_eq!(space.versions(&at(256)).next(), Some(0x2000_6000));
        assert_eq!(space.versions(&at(512)).count(), 2, "eight versions leave two for the third group");
        assert_eq!((at(767).ntime, at(768).ntime), (1_700_000_000, 1_700_000_001));
        assert_eq!(space.units(), 256 * 3 * (u64::from(NTIME_SPAN) + 1));
        assert_eq!(space.unit(space.units()), None);
    }

    #[test]
    fn without_extranonce2_and_rolling_only_ntime_is_left() {
        let space = SearchSpace::new(&job(0, 0), group(24));
        assert_eq!(space.units(), u64::from(NTIME_SPAN) + 1);
        let last = space.unit(space.units() - 1).expect("in range");
        assert_eq!(last.ntime, 1_700_000_000 + NTIME_SPAN);
        assert_eq!(space.extranonce2(&last), Vec::<u8>::new());
        assert_eq!(space.versions(&last).collect::<Vec<_>>(), [0x2000_0000]);
    }

    #[test]
    fn extreme_sizes_do_not_overflow() {
        let mut widest = job(16, u32::MAX);
        widest.ntime = u32::MAX - 1;
        let space = SearchSpace::new(&widest, group(24));
        assert_eq!(space.units(), u64::MAX);
        let unit = space.unit(u64::MAX - 1).expect("in range");
        assert_eq!(space.extranonce2(&unit).len(), 16);
        assert!(SearchSpace::new(&Job { ntime: u32::MAX, ..job(0, 0) }, group(1)).unit(1).is_none());
    }

    #[test]
    fn extranonce2_is_big_endian_and_padded() {
        let space = SearchSpace::new(&job(10, 0), group(1));
        let unit = space.unit(0x0102).expect("in range");
        assert_eq!(space.extranonce2(&unit), [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The space contains each combination of extranonce2, version and ntime exactly once.
        #[test]
        fn nothing_twice_nothing_skipped(
            len in 0usize..=1,
            mask in any::<u32>(),
            n in 1usize..40,
            span in 0u32..3,
        ) {
            // Keeps at most five bits, so that the test can enumerate the space.
            let mask = (0..32).filter(|bit| mask >> bit & 1 == 1).take(5).fold(0, |m, bit| m | 1u32 << bit);
            let space = SearchSpace::with_span(&job(len, mask), group(n), span);
            let mut seen = HashSet::new();
            for number in 0..space.units() {
                let unit = space.unit(number).expect("in range");
                for version in space.versions(&unit) {
                    prop_assert_eq!((version ^ 0x2000_0000) & !mask, 0);
                    prop_assert!(seen.insert((unit.extranonce2, version, unit.ntime)));
                }
            }
            let all = (1u64 << (8 * len)) * (1 << mask.count_ones()) * (u64::from(span) + 1);
            prop_assert_eq!(seen.len() as u64, all);
        }
    }
}
