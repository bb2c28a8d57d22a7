//! How the bytes between a coinbase's halves are shared out.

/// The bytes between a coinbase's halves, from left to right. Miners know of the last two parts only: the others go to
/// them as the end of the first half, so they may change with each job without a miner noticing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes that nobody needs; zeros.
    pub padding: usize,
    /// Bytes that count the jobs which a connection got for one block, so that no two of them share a single header: a
    /// miner that starts over with each job never repeats itself. At most 2.
    pub issue: usize,
    /// Bytes of a connection's extranonce1. At most 4.
    pub extranonce1: usize,
    /// Bytes that the miner chooses.
    pub extranonce2: usize,
}

/// An upstream pool that leaves too little for anybody to be given a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its extranonce2 has {size} byte(s), which can't be shared out: that takes 2 for up to 256 workers, 4 for up to 65536"
)]
pub struct TooSmall {
    /// Bytes of the upstream's extranonce2.
    pub size: usize,
}

impl Layout {
    /// That of blocks which are all our own.
    pub const OWN: Layout = Layout { padding: 0, issue: 2, extranonce1: 4, extranonce2: 8 };

    /// Shares out an upstream pool's extranonce2 of `size` bytes.
    ///
    /// From 4 bytes on, miners always get the same two parts, so that they can be moved from one upstream pool to the
    /// next: 65,536 connections, each with 2 bytes of its own, which with the nonce is 2^48 hashes a job, more where
    /// version bits may be rolled.
    ///
    /// # Errors
    /// If there is nothing to be shared out.
    pub fn split(size: usize) -> Result<Layout, TooSmall> {
        let (extranonce1, extranonce2) = match size {
            0 | 1 => return Err(TooSmall { size }),
            2 => (1, 1),
            3 => (1, 2),
            _ => (2, 2),
        };
        let rest = size - extranonce1 - extranonce2;
        let issue = rest.min(2);
        Ok(Layout { padding: rest - issue, issue, extranonce1, extranonce2 })
    }

    /// All bytes together.
    pub const fn size(&self) -> usize {
        self.padding + self.issue + self.extranonce1 + self.extranonce2
    }

    /// The highest number that the issue's bytes can have.
    pub const fn last_issue(&self) -> u16 {
        match self.issue {
            0 => 0,
            1 => u8::MAX as u16,
            _ => u16::MAX,
        }
    }

    /// What miners get as the end of the first half.
    pub fn hidden(&self, issue: u16) -> Vec<u8> {
        let mut bytes = vec![0; self.padding];
        let issue = issue.to_be_bytes();
        bytes.extend_from_slice(issue.get(2 - self.issue.min(2)..).unwrap_or_default());
        bytes
    }

    /// All bytes, of a connection's share.
    pub fn join(&self, issue: u16, extranonce1: &[u8], extranonce2: &[u8]) -> Vec<u8> {
        [&self.hidden(issue)[..], extranonce1, extranonce2].concat()
    }

    /// Whether a miner that knows one of them can go on with the other.
    pub fn looks_like(&self, other: &Layout) -> bool {
        (self.extranonce1, self.extranonce2) == (other.extranonce1, other.extranonce2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_little_is_refused_and_all_else_is_used_up() {
        for size in [0, 1] {
            assert_eq!(Layout::split(size), Err(TooSmall { size }));
        }
        for size in 2..=16 {
            let layout = Layout::split(size).unwrap();
            assert_eq!(layout.size(), size);
            assert!(layout.extranonce1 >= 1 && layout.extranonce2 >= 1);
            assert_eq!(layout.hidden(0x1234).len() + layout.extranonce1 + layout.extranonce2, size);
            // Whoever is moved between these two sees no difference.
            assert_eq!(layout.looks_like(&Layout::split(4).unwrap()), size >= 4);
        }
        assert_eq!(Layout::split(8).unwrap().hidden(0x1234), [0, 0, 0x12, 0x34]);
        assert_eq!(Layout::split(5).unwrap().hidden(0x0034), [0x34]);
        assert_eq!(Layout::OWN.hidden(0x1234), [0x12, 0x34]);
    }

    proptest! {
        /// Whatever two connections do with what they were given, they never meet; nor do two jobs of one connection.
        #[test]
        fn parts_never_overlap(size in 2usize..=16, bytes: [u8; 12], issues: [u16; 2]) {
            let layout = Layout::split(size).unwrap();
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
