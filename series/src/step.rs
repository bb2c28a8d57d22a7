//! The steps between the points of a series.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The time from one point to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 10 s, kept for an hour.
    TenSeconds,
    /// 1 min, kept for a day.
    Minute,
    /// 15 min, kept for 31 days.
    QuarterHour,
}

impl Step {
    /// All steps, the shortest first.
    pub const ALL: [Step; 3] = [Step::TenSeconds, Step::Minute, Step::QuarterHour];

    /// The step in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Step::TenSeconds => 10,
            Step::Minute => 60,
            Step::QuarterHour => 900,
        }
    }

    /// For how many seconds points are kept.
    pub const fn kept_seconds(self) -> u64 {
        match self {
            Step::TenSeconds => 3600,
            Step::Minute => 24 * 3600,
            Step::QuarterHour => 31 * 24 * 3600,
        }
    }

    /// The highest number of points that are kept.
    pub const fn capacity(self) -> u64 {
        self.kept_seconds() / self.seconds()
    }

    /// The name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Step::TenSeconds => "10s",
            Step::Minute => "1m",
            Step::QuarterHour => "15m",
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStep(pub String);

impl Display for UnknownStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [a, b, c] = Step::ALL;
        write!(f, "{:?} is not a step: give {a}, {b} or {c}", self.0)
    }
}

impl std::error::Error for UnknownStep {}

impl FromStr for Step {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        Step::ALL.into_iter().find(|step| step.name() == text).ok_or_else(|| UnknownStep(text.to_owned()))
    }
}
