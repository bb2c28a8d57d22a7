//! The order of the work items in a chunk.

/// Iterates over all pairs of a vector of nonces and a header version. All versions of a vector come before the next vector.
pub(super) struct ItemOrder {
    versions: usize,
    vector: usize,
    version: usize,
}

impl ItemOrder {
    pub(super) fn new(versions: usize) -> Self {
        ItemOrder { versions, vector: 0, version: 0 }
    }

    /// Returns the next N items, as pairs of vector index and version index.
    #[inline(always)]
    pub(super) fn take<const N: usize>(&mut self) -> [(usize, usize); N] {
        std::array::from_fn(|_| {
            let item = (self.vector, self.version);
            self.version += 1;
            if self.version == self.versions {
                (self.vector, self.version) = (self.vector + 1, 0);
            }
            item
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_before_the_next_vector() {
        let mut items = ItemOrder::new(2);
        assert_eq!(items.take(), [(0, 0), (0, 1), (1, 0)]);
        assert_eq!(items.take(), [(1, 1), (2, 0)]);
    }
}
