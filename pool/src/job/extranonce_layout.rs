//! How the extranonce bytes between a coinbase's two halves are divided.

/// The bytes between a coinbase's halves, from left to right. A miner receives extranonce1 when it subscribes, and chooses
/// extranonce2. It receives the other parts with each job, at the end of the coinbase's first half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtranonceLayout {
    /// Number of unused bytes, which are all zero.
    pub padding: usize,
    /// Number of bytes of the issue number, at most 2. The issue number counts a connection's jobs, and starts at 0 again when a
    /// new job makes all earlier ones stale. The number makes the headers of these jobs differ, so a miner that starts each job
    /// at extranonce2 zero never searches the same headers twice.
    pub issue: usize,
    /// Number of bytes of a connection's extranonce1. At most 4.
    pub extranonce1: usize,
    /// Number of bytes of extranonce2, which the miner chooses.
    pub extranonce2: usize,
}

/// The upstream pool's extranonce2 is too small to be divided among miners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its extranonce2 has {size} byte(s), too few to divide among workers: 2 bytes serve up to 256 workers, 4 bytes up to 65536"
)]
pub struct ExtranonceTooSmall {
    /// Number of bytes of the upstream pool's extranonce2.
    pub size: usize,
}

impl ExtranonceLayout {
    /// The layout of the extranonces in blocks of our own.
    pub const OWN_BLOCKS: ExtranonceLayout =
        ExtranonceLayout { padding: 0, issue: 2, extranonce1: 4, extranonce2: 8 };

    /// The smallest extranonce2 of an upstream pool that can be divided, in bytes.
    pub const SMALLEST_SPLIT: usize = 2;

    /// The largest extranonce2 that a miner gets, in bytes. Some mining devices cannot handle a larger one.
    const LARGEST_EXTRANONCE2: usize = 8;

    /// With an extranonce1 of this many bytes, there are enough for the miners of one pool: 65,536.
    const AMPLE_EXTRANONCE1: usize = 2;
    /// A miner whose extranonce2 has at least this many bytes does not run out of headers, even if it rolls neither version
    /// nor time.
    const AMPLE_EXTRANONCE2: usize = 4;

    /// Divides an upstream pool's extranonce2 of `size` bytes.
    ///
    /// | size | issue | extranonce1 | extranonce2 | workers |
    /// |---|---|---|---|---|
    /// | 2 | 0 | 1 | 1 | 256 |
    /// | 3 | 0 | 1 | 2 | 256 |
    /// | 4 | 0 | 2 | 2 | 65,536 |
    /// | 5 | 0 | 2 | 3 | 65,536 |
    /// | 6 | 0 | 2 | 4 | 65,536 |
    /// | 7 to 11 | 1 | 2 | 4 to 8 | 65,536 |
    /// | 12 | 2 | 2 | 8 | 65,536 |
    /// | 13 | 2 | 3 | 8 | 2^24 |
    /// | 14 and more | 2 | 4 | 8 | 2^32 |
    ///
    /// The extranonce2 of a miner may be divided once more, if that miner is such a pool itself. From 5 bytes on, three pools can
    /// be put in a row.
    ///
    /// # Errors
    /// If `size` is less than [`SMALLEST_SPLIT`](Self::SMALLEST_SPLIT).
    pub fn split(size: usize) -> Result<Self, ExtranonceTooSmall> {
        let (issue, extranonce1, extranonce2) = match size {
            0 | 1 => return Err(ExtranonceTooSmall { size }),
            2 | 3 => (0, 1, size - 1),
            4..=6 => (0, 2, size - 2),
            7..=11 => (1, 2, size - 3),
            12..=14 => (2, size - 10, Self::LARGEST_EXTRANONCE2),
            _ => (2, 4, Self::LARGEST_EXTRANONCE2),
        };
        Ok(ExtranonceLayout {
            padding: size - issue - extranonce1 - extranonce2,
            issue,
            extranonce1,
            extranonce2,
        })
    }

    /// Divides another upstream extranonce2, of `size` bytes. The miners' parts keep their sizes if they fit, so that the miners
    /// stay connected, unless they are short of something now of which they can get more.
    ///
    /// # Errors
    /// If `size` is less than [`SMALLEST_SPLIT`](Self::SMALLEST_SPLIT).
    pub fn resplit(&self, size: usize) -> Result<Self, ExtranonceTooSmall> {
        let best = Self::split(size)?;
        let Some(rest) = size.checked_sub(self.extranonce1 + self.extranonce2) else { return Ok(best) };
        let has_little = self.extranonce1 < best.extranonce1.min(Self::AMPLE_EXTRANONCE1)
            || self.extranonce2 < best.extranonce2.min(Self::AMPLE_EXTRANONCE2);
        if has_little {
            return Ok(best);
        }
        let issue = rest.min(2);
        Ok(ExtranonceLayout { padding: rest - issue, issue, ..*self })
    }

    /// How many miners can have an extranonce1 of their own, if it has `size` bytes (at most 4).
    pub const fn prefixes(size: usize) -> u64 {
        1 << (8 * size)
    }

    /// The sum of all parts, in bytes.
    pub const fn size(&self) -> usize {
        self.padding + self.issue + self.extranonce1 + self.extranonce2
    }

    /// The highest issue number (the count of jobs sent on one tip) that fits into `issue` bytes.
    pub const fn last_issue(&self) -> u16 {
        match self.issue {
            0 => 0,
            1 => u8::MAX as u16,
            _ => u16::MAX,
        }
    }

    /// The zero bytes of the padding, followed by the bytes of the issue number. Miners receive these bytes as the end of the
    /// coinbase's first half.
    pub fn hidden(&self, issue: u16) -> Vec<u8> {
        let mut bytes = vec![0; self.padding];
        let issue = issue.to_be_bytes();
        bytes.extend_from_slice(issue.get(2 - self.issue.min(2)..).unwrap_or_default());
        bytes
    }

    /// All bytes between the coinbase's halves.
    pub fn join(&self, issue: u16, extranonce1: &[u8], extranonce2: &[u8]) -> Vec<u8> {
        [&self.hidden(issue)[..], extranonce1, extranonce2].concat()
    }

    /// Whether a miner with extranonces of one layout can work on jobs of the other.
    pub fn is_compatible_with(&self, other: &ExtranonceLayout) -> bool {
        (self.extranonce1, self.extranonce2) == (other.extranonce1, other.extranonce2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fewer_than_two_bytes_are_refused_and_more_are_used_up() {
        for size in [0, 1] {
            assert_eq!(ExtranonceLayout::split(size), Err(ExtranonceTooSmall { size }));
        }
        // issue, extranonce1, extranonce2
        let expected = [
            (2, (0, 1, 1)),
            (3, (0, 1, 2)),
            (4, (0, 2, 2)),
            (5, (0, 2, 3)),
            (6, (0, 2, 4)),
            (7, (1, 2, 4)),
            (8, (1, 2, 5)),
            (9, (1, 2, 6)),
            (10, (1, 2, 7)),
            (11, (1, 2, 8)),
            (12, (2, 2, 8)),
            (13, (2, 3, 8)),
            (14, (2, 4, 8)),
            (15, (2, 4, 8)),
            (16, (2, 4, 8)),
        ];
        for (size, parts) in expected {
            let layout = ExtranonceLayout::split(size).unwrap();
            assert_eq!((layout.issue, layout.extranonce1, layout.extranonce2), parts, "{size}");
            assert_eq!(ExtranonceLayout::prefixes(layout.extranonce1), 256u64.pow(parts.1 as u32));
        }
        assert_eq!(ExtranonceLayout::split(16).unwrap().hidden(0x1234), [0, 0, 0x12, 0x34]);
        assert_eq!(ExtranonceLayout::split(7).unwrap().hidden(0x0034), [0x34]);
        assert_eq!(ExtranonceLayout::OWN_BLOCKS.hidden(0x1234), [0x12, 0x34]);
    }

    #[test]
    fn three_pools_in_a_row_leave_the_workers_of_the_last_one_something() {
        let below = |size| Some(ExtranonceLayout::split(size).ok()?.extranonce2);
        for size in 5..=16 {
            let last = below(size).and_then(below).and_then(below);
            assert!(last >= Some(if size < 8 { 1 } else { 2 }), "{size}: {last:?}");
        }
    }

    #[test]
    fn miners_keep_their_parts_where_they_fit_unless_they_have_little() {
        let split = |size| ExtranonceLayout::split(size).unwrap();
        let keeps = |from, to| split(from).resplit(to).unwrap().is_compatible_with(&split(from));
        for (from, to) in [(8, 7), (8, 16), (11, 16), (16, 12), (7, 16), (4, 4), (3, 3)] {
            assert!(keeps(from, to), "{from} to {to}");
        }
        for (from, to) in [(8, 6), (16, 8), (4, 8), (5, 7), (3, 4), (2, 3)] {
            assert!(!keeps(from, to), "{from} to {to}");
            assert_eq!(split(from).resplit(to), Ok(split(to)));
        }
        assert_eq!(split(8).resplit(1), Err(ExtranonceTooSmall { size: 1 }));
    }

    proptest! {
        /// Two connections never search the same extranonces, and neither do two jobs of one connection that have different
        /// issue numbers.
        #[test]
        fn parts_never_overlap(from in 2usize..=16, size in 2usize..=16, bytes: [u8; 20], issues: [u16; 2]) {
            let layout = ExtranonceLayout::split(from).unwrap().resplit(size).unwrap();
            let part = |at: usize, len: usize| bytes[at..at + len].to_vec();
            let mut seen = HashSet::new();
            let mut given = HashSet::new();
            for issue in issues.map(|issue| issue & layout.last_issue()) {
                for first in [part(0, layout.extranonce1), part(4, layout.extranonce1)] {
                    for second in [part(8, layout.extranonce2), part(12, layout.extranonce2)] {
                        let all = layout.join(issue, &first, &second);
                        prop_assert_eq!(all.len(), size);
                        let new = given.insert((issue, first.clone(), second));
                        prop_assert_eq!(seen.insert(all), new);
                    }
                }
            }
        }

        /// All bytes of the upstream pool are used once, and no part is larger than it may be, whatever the pool before left.
        #[test]
        fn sizes_stay_within_their_bounds(from in 2usize..=16, size in 1usize..=16) {
            let before = ExtranonceLayout::split(from).unwrap();
            let layouts = [ExtranonceLayout::split(size), before.resplit(size)];
            if size < ExtranonceLayout::SMALLEST_SPLIT {
                prop_assert_eq!(layouts, [Err(ExtranonceTooSmall { size }); 2]);
                return Ok(());
            }
            for layout in layouts.map(Result::unwrap) {
                prop_assert_eq!(layout.size(), size);
                prop_assert!((1..=4).contains(&layout.extranonce1) && (1..=8).contains(&layout.extranonce2));
                prop_assert!(layout.issue <= 2 && (size < 6 || layout.extranonce2 >= 4));
                prop_assert!(layout.extranonce2 >= layouts[0].unwrap().extranonce2.min(4));
                prop_assert_eq!(layout.hidden(0x1234).len() + layout.extranonce1 + layout.extranonce2, size);
            }
        }
    }
}
