//! How often a task speaks.

use std::num::NonZeroU32;
use std::time::Duration;

/// How often a task sends [`Live`](crate::Live) messages and [`Report`](crate::Report)s. Small, since the scheduler keeps it of
/// each task: whole milliseconds, from one to 49 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Intervals {
    live_ms: NonZeroU32,
    report_ms: NonZeroU32,
}

impl Intervals {
    /// Time between two live messages, and the shortest time between two reports. What is out of range becomes the nearest
    /// that is not.
    pub fn new(live: Duration, report: Duration) -> Self {
        Self { live_ms: millis(live), report_ms: millis(report) }
    }

    /// Time between two live messages.
    pub fn live(&self) -> Duration {
        Duration::from_millis(self.live_ms.get().into())
    }

    /// The shortest time between two reports.
    pub fn report(&self) -> Duration {
        Duration::from_millis(self.report_ms.get().into())
    }
}

fn millis(interval: Duration) -> NonZeroU32 {
    let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN)
}
