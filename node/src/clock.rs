//! The node's clock, as far as its templates show it.
//!
//! A header's time is judged by the clocks of nodes, so work goes by the node's clock: the time in the node's last template,
//! plus what has passed since the template came. Our own system clock may be hours wrong and is not asked. What has passed is
//! measured with a clock that also counts while the machine is suspended.

use std::time::Duration;

use crate::template::Template;

/// A reading of the clock that counts from the machine's start, also while the machine is suspended (`CLOCK_BOOTTIME`). Only
/// differences of two readings have a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// Reads the clock.
    pub fn now() -> Self {
        let read = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(read.tv_sec).unwrap_or_default();
        BootTime(Duration::new(seconds, u32::try_from(read.tv_nsec).unwrap_or_default()))
    }

    /// What has passed since an earlier reading; zero if that reading is later.
    pub fn since(self, earlier: BootTime) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for BootTime {
    type Output = BootTime;

    fn add(self, passed: Duration) -> BootTime {
        BootTime(self.0.saturating_add(passed))
    }
}

/// A node's clock: it was read once, at a known reading of ours, and runs on since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeClock {
    time: u32,
    read_at: BootTime,
    exact: bool,
}

impl NodeClock {
    /// A clock that showed `time`, in seconds since the Unix epoch, at `read_at`.
    pub fn new(time: u32, read_at: BootTime) -> Self {
        NodeClock { time, read_at, exact: true }
    }

    /// The clock of the node that gave this template at `read_at`. `before` is what was known of the node's clock.
    ///
    /// A node puts its clock's time into a template, unless that is earlier than the chain allows; then the template has the
    /// earliest time that is allowed. So such a template tells only that the clock is not later.
    pub fn read(template: &Template, read_at: BootTime, before: Option<NodeClock>) -> Self {
        let exact = template.time > template.min_time;
        match before {
            Some(before) if !exact && before.at(read_at) < template.time => before,
            _ => NodeClock { exact, ..NodeClock::new(template.time, read_at) },
        }
    }

    /// The clock's time at `now`, in seconds since the Unix epoch. Never before the time that was read.
    pub fn at(&self, now: BootTime) -> u32 {
        let passed = now.since(self.read_at).as_secs();
        self.time.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// Whether this is the clock's time, not only a time that the clock has not passed when it was read.
    pub fn is_exact(&self) -> bool {
        self.exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_runs_on_from_its_reading() {
        let start = BootTime::now();
        let clock = NodeClock::new(1_800_000_000, start);
        for (passed, shown) in [(0, 0), (999, 0), (1_000, 1), (3_600_500, 3_600)] {
            let now = start + Duration::from_millis(passed);
            assert_eq!(clock.at(now), 1_800_000_000 + shown, "{passed} ms later");
        }
        let later = NodeClock::new(7, start + Duration::from_secs(9));
        assert_eq!(later.at(start), 7, "a clock is never before its reading");
        assert_eq!(NodeClock::new(u32::MAX, start).at(start + Duration::from_secs(9)), u32::MAX);
    }

    #[test]
    fn a_template_with_the_earliest_time_does_not_tell_the_clock() {
        let start = BootTime::now();
        let template = |time| Template { time, min_time: 1_000, ..crate::testing::template(0) };
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = NodeClock::read(&template(1_000), start, None);
        assert_eq!((first.at(start), first.is_exact()), (1_000, false));
        let known = NodeClock::read(&template(1_005), start, Some(first));
        assert_eq!((known.at(start), known.is_exact()), (1_005, true));
        // The chain's earliest time is ahead of the clock, which runs on as before.
        let ahead = Template { min_time: 9_000, ..template(9_000) };
        assert_eq!(NodeClock::read(&ahead, at(10), Some(known)), known);
        assert_eq!(NodeClock::read(&ahead, at(10), Some(known)).at(at(10)), 1_015);
        // The clock was set back.
        let back = Template { min_time: 500, ..template(500) };
        assert_eq!(NodeClock::read(&back, at(10), Some(known)).at(at(10)), 500);
        assert_eq!(NodeClock::read(&template(1_001), at(10), Some(known)).at(at(10)), 1_001);
    }

    #[test]
    fn readings_rise() {
        let first = BootTime::now();
        assert!(BootTime::now() >= first && first > BootTime::default());
    }
}
