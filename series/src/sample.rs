//! What is recorded, and what is kept of it.

/// Counters that only grow while the program's work goes on. One that is lower than before has begun anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Accepted shares.
    pub accepted: u64,
    /// Rejected shares.
    pub rejected: u64,
    /// Stale shares.
    pub stale: u64,
    /// Shares that were never answered.
    pub unanswered: u64,
    /// Blocks that were found.
    pub blocks: u64,
}

impl Counters {
    /// How much each counter has grown since `before`. A counter that is lower than before has grown by nothing.
    pub fn since(&self, before: &Counters) -> Counters {
        self.with(before, u64::saturating_sub)
    }

    /// The sums.
    pub fn plus(&self, other: &Counters) -> Counters {
        self.with(other, u64::saturating_add)
    }

    fn with(&self, other: &Counters, of: fn(u64, u64) -> u64) -> Counters {
        Counters {
            accepted: of(self.accepted, other.accepted),
            rejected: of(self.rejected, other.rejected),
            stale: of(self.stale, other.stale),
            unanswered: of(self.unanswered, other.unanswered),
            blocks: of(self.blocks, other.blocks),
        }
    }
}

/// The figures of a program at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// The hashrate in H/s.
    pub hashrate: f64,
    /// The number of workers.
    pub workers: u64,
    /// What was counted so far.
    pub counters: Counters,
}

/// The figures of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// The mean of the recorded hashrates in H/s.
    pub hashrate: f64,
    /// The last recorded number of workers.
    pub workers: u64,
    /// What was counted in this step.
    pub counters: Counters,
    /// The number of samples, of which `hashrate` is the mean.
    pub samples: u32,
}

impl Figures {
    /// Adds a sample. `grown` is what was counted since the sample before.
    pub(crate) fn add(&mut self, sample: &Sample, grown: &Counters) {
        // A mean with a number that is not finite could never be shown again.
        let hashrate = if sample.hashrate.is_finite() { sample.hashrate } else { 0.0 };
        self.samples = self.samples.saturating_add(1);
        let part = 1.0 / f64::from(self.samples);
        // Both parts are finite, while the difference of two numbers may overflow.
        self.hashrate = self.hashrate * (1.0 - part) + hashrate * part;
        self.workers = sample.workers;
        self.counters = self.counters.plus(grown);
    }
}
