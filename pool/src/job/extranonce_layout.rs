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

    /// Divides an upstream pool's extranonce2 of `size` bytes.
    ///
    /// If `size` is at least 4, a miner's extranonce1 and extranonce2 always have 2 bytes each, so that miners stay
    /// connected when the upstream pool changes. 2 bytes of extranonce1 are enough for 65,536 connections. With the nonce,
    /// each connection has 2^48 hashes per job, and more if version bits may be rolled.
    ///
    /// # Errors
    /// If `size` is less than 2.
    pub fn split(size: usize) -> Result<Self, ExtranonceTooSmall> {
        let (extranonce1, extranonce2) = match size {
            0 | 1 => return Err(ExtranonceTooSmall { size }),
            2 => (1, 1),
            3 => (1, 2),
            _ => (2, 2),
        };
        let rest = size - extranonce1 - extranonce2;
        let issue = rest.min(2);
        Ok(ExtranonceLayout { padding: rest - issue, issue, extranonce1, extranonce2 })
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
        for size in 2..=16 {
            let layout = ExtranonceLayout::split(size).unwrap();
            assert_eq!(layout.size(), size);
            assert!(layout.extranonce1 >= 1 && layout.extranonce2 >= 1);
            assert_eq!(layout.hidden(0x1234).len() + layout.extranonce1 + layout.extranonce2, size);
            // Miners keep their extranonces when the upstream pool changes, if its extranonce2 has at least 4 bytes.
            assert_eq!(layout.is_compatible_with(&ExtranonceLayout::split(4).unwrap()), size >= 4);
        }
        assert_eq!(ExtranonceLayout::split(8).unwrap().hidden(0x1234), [0, 0, 0x12, 0x34]);
        assert_eq!(ExtranonceLayout::split(5).unwrap().hidden(0x0034), [0x34]);
        assert_eq!(ExtranonceLayout::OWN_BLOCKS.hidden(0x1234), [0x12, 0x34]);
    }

    proptest! {
        /// Two connections never search the same extranonces, and neither do two jobs of one connection that have different
        /// issue numbers.
        #[test]
        fn parts_never_overlap(size in 2usize..=16, bytes: [u8; 12], issues: [u16; 2]) {
            let layout = ExtranonceLayout::split(size).unwrap();
            let part = |at: usize, len: usize| bytes[at..at + len].to_vec();
            let mut seen = HashSet::new();
            let mut given = HashSet::new();
            for issue in issues.map(|issue| issue & layout.last_issue()) {
                for first in [part(0, layout.extranonce1), part(4, layout.extranonce1)] {
                    for second in [part(8, layout.extranonce2), part(10, layout.extranonce2)] {
                        let all = layout.join(issue, &first, &second);
                        prop_assert_eq!(all.len(), size);
                        let new = given.insert((issue, first.clone(), second));
                        prop_assert_eq!(seen.insert(all), new);
                    }
                }
            }
        }
    }
}
