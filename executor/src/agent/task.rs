//! The one task of an executor, as the state machine sees it.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use mesos::v1::{KillPolicy, TaskInfo};
use task::Report;

/// Mesos' own default for tasks without a kill policy.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(3);
/// A task with a limit on its updates is also renewed when their data come to this many bytes: the pool server of a
/// thousand workers fills an agent's memory long before the number of its updates says so.
const MAX_UPDATE_BYTES: u64 = 1 << 30;

/// The task.
#[derive(Debug)]
pub(super) struct Task {
    pub info: TaskInfo,
    pub phase: Phase,
    /// The latest report, without its rows: they were told.
    pub last: Option<Report>,
    /// Whether it is well, if it was looked at.
    pub healthy: Option<bool>,
    max_updates: Option<NonZeroU64>,
    /// Number and size of the updates so far.
    updates: u64,
    bytes: u64,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    Starting,
    Running,
    Stopping { until: Instant, end: End },
    Ended,
}

/// What it will have come to when it has stopped.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// TASK_KILLED.
    Killed,
    /// TASK_FAILED, for this reason.
    Failed(String),
    /// TASK_FINISHED: it has made all its updates.
    Renewed,
}

impl Task {
    pub fn new(info: TaskInfo, max_updates: Option<NonZeroU64>) -> Task {
        Task { info, phase: Phase::Starting, last: None, healthy: None, max_updates, updates: 0, bytes: 0 }
    }

    /// From now on it is to end; whether that is news. An end that others want outweighs a renewal.
    pub fn stop(&mut self, until: Instant, end: End) -> bool {
        match &mut self.phase {
            Phase::Ended => false,
            Phase::Stopping { until: earlier, end: before } => {
                *earlier = until.min(*earlier);
                if *before == End::Renewed {
                    *before = end;
                }
                false
            }
            phase => {
                *phase = Phase::Stopping { until, end };
                true
            }
        }
    }

    /// How long it may take to end, unless somebody says otherwise.
    pub fn grace(&self) -> Duration {
        grace(self.info.kill_policy.as_ref()).unwrap_or(DEFAULT_GRACE)
    }

    pub fn count_update(&mut self, data: Option<&[u8]>) {
        self.updates += 1;
        self.bytes = self.bytes.saturating_add(data.map_or(0, |data| data.len() as u64));
    }

    /// Whether only its last update is left to be made.
    pub fn is_used_up(&self) -> bool {
        let Some(limit) = self.max_updates else { return false };
        let last = self.updates >= limit.get() - 1 || self.bytes >= MAX_UPDATE_BYTES;
        self.phase == Phase::Running && last
    }

    /// For people; `trouble` is what was wrong with its end.
    pub fn why_renewed(&self, trouble: Option<&str>) -> String {
        let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        // The last one is about to be made.
        format!("renewed: a fresh task is to take its place after {} updates{trouble}", self.updates + 1)
    }
}

/// The grace period of a kill policy.
pub(super) fn grace(policy: Option<&KillPolicy>) -> Option<Duration> {
    let nanoseconds = policy?.grace_period.as_ref()?.nanoseconds;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// Rows are told once; a report that is repeated in a terminal update leaves them out.
pub(super) fn without_rows(report: &Report) -> Report {
    let mut report = report.clone();
    for account in &mut report.accounts {
        account.rows.clear();
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_updates_count_for_more() {
        let megabyte = vec![0; 1 << 20];
        for limit in [None, NonZeroU64::new(100_000)] {
            let mut task = Task::new(TaskInfo::default(), limit);
            task.phase = Phase::Running;
            for _ in 1..MAX_UPDATE_BYTES >> 20 {
                task.count_update(Some(&megabyte));
                assert!(!task.is_used_up());
            }
            task.count_update(Some(&megabyte));
            assert_eq!(task.is_used_up(), limit.is_some());
        }
    }
}
