//! The wire form of [`Intervals`].

use std::time::Duration;

use prost::Message;

use crate::Intervals;

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct IntervalsMessage {
    #[prost(uint32, tag = "1")]
    live_ms: u32,
    #[prost(uint32, tag = "2")]
    report_ms: u32,
}

impl IntervalsMessage {
    /// Nothing if one of them is missing.
    pub fn read(self) -> Option<Intervals> {
        let [live, report] = [self.live_ms, self.report_ms].map(|ms| Duration::from_millis(ms.into()));
        (!live.is_zero() && !report.is_zero()).then(|| Intervals::new(live, report))
    }
}

impl From<Intervals> for IntervalsMessage {
    fn from(intervals: Intervals) -> Self {
        // They have no more milliseconds than that.
        let millis = |interval: Duration| u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        Self { live_ms: millis(intervals.live()), report_ms: millis(intervals.report()) }
    }
}
