//! A distribution.

/// How many values lie below each of some bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The upper bounds of the buckets, ascending. What lies above the last one is in a bucket of its own.
    bounds: &'static [f64],
    /// The number of values in each bucket.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// A histogram without values. The bounds must ascend.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Counts a value.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += value;
        }
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the values.
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// The bounds of the buckets with the number of values in each; the last one has no bound.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}
