//! Why shares are rejected, and how many of each worker.

use std::ops::AddAssign;

/// Why a share was rejected, other than as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The hash is above the target of the share's difficulty.
    LowDifficulty,
    /// The share was submitted before.
    Duplicate,
    /// The header's time is too early or too late.
    Time,
    /// Version bits were rolled that may not be.
    Version,
    /// The extranonce2 has another size than the pool gave.
    Extranonce,
    /// The upstream pool has rejected it, for whatever reason.
    Upstream,
    /// Any other reason.
    Other,
}

/// How many shares were rejected for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectionCounts {
    /// The hash is above the target of the share's difficulty.
    pub low_difficulty: u64,
    /// The share was submitted before.
    pub duplicate: u64,
    /// The header's time is too early or too late.
    pub time: u64,
    /// Version bits were rolled that may not be.
    pub version: u64,
    /// The extranonce2 has another size than the pool gave.
    pub extranonce: u64,
    /// The upstream pool has rejected it.
    pub upstream: u64,
    /// Any other reason, or one that an earlier version of this program has not recorded.
    pub other: u64,
}

impl RejectionCounts {
    /// Counts a share.
    pub fn count(&mut self, rejection: Rejection) {
        let count = match rejection {
            Rejection::LowDifficulty => &mut self.low_difficulty,
            Rejection::Duplicate => &mut self.duplicate,
            Rejection::Time => &mut self.time,
            Rejection::Version => &mut self.version,
            Rejection::Extranonce => &mut self.extranonce,
            Rejection::Upstream => &mut self.upstream,
            Rejection::Other => &mut self.other,
        };
        *count = count.saturating_add(1);
    }

    /// The counts with the names of their reasons. [`RejectionCounts::other`] is last.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        let RejectionCounts { low_difficulty, duplicate, time, version, extranonce, upstream, other } = *self;
        [
            ("low_difficulty", low_difficulty),
            ("duplicate", duplicate),
            ("time", time),
            ("version", version),
            ("extranonce", extranonce),
            ("upstream", upstream),
            ("other", other),
        ]
    }

    /// The counts that `count` tells by the names of [`RejectionCounts::named`].
    pub fn from_named(count: impl Fn(&str) -> u64) -> Self {
        RejectionCounts {
            low_difficulty: count("low_difficulty"),
            duplicate: count("duplicate"),
            time: count("time"),
            version: count("version"),
            extranonce: count("extranonce"),
            upstream: count("upstream"),
            other: count("other"),
        }
    }

    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.named().iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl AddAssign for RejectionCounts {
    fn add_assign(&mut self, more: Self) {
        let add = |count: &mut u64, more: u64| *count = count.saturating_add(more);
        add(&mut self.low_difficulty, more.low_difficulty);
        add(&mut self.duplicate, more.duplicate);
        add(&mut self.time, more.time);
        add(&mut self.version, more.version);
        add(&mut self.extranonce, more.extranonce);
        add(&mut self.upstream, more.upstream);
        add(&mut self.other, more.other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_and_a_name_of_its_own() {
        use Rejection::{Duplicate, Extranonce, LowDifficulty, Other, Time, Upstream, Version};
        let mut counts = RejectionCounts::default();
        for (times, reason) in
            [LowDifficulty, Duplicate, Time, Version, Extranonce, Upstream, Other].into_iter().enumerate()
        {
            (0..=times).for_each(|_| counts.count(reason));
        }
        assert_eq!(counts.named().map(|(_, count)| count), [1, 2, 3, 4, 5, 6, 7]);
        let named = counts.named();
        let count =
            |name: &str| named.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
        assert_eq!((RejectionCounts::from_named(count), counts.total()), (counts, 28));
        counts += counts;
        assert_eq!(counts.total(), 56);
    }
}
