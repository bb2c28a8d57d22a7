//! The state of the one task of an executor.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use mesos::v1::{KillPolicy, TaskInfo};
use task::Report;

/// The grace period of tasks without a kill policy: the default of Mesos.
pub(super) const DEFAULT_GRACE: Duration = Duration::from_secs(3);
/// A task with a limit on its updates is also renewed when the data of its updates reach this many bytes. The reports of a pool
/// server with a thousand workers are large: they would fill the agent's memory long before the number of updates reaches the
/// limit.
const MAX_UPDATE_BYTES: u64 = 1 << 30;

/// The task.
#[derive(Debug)]
pub(super) struct Task {
    pub info: TaskInfo,
    pub phase: Phase,
    /// The latest report without its rows, which are sent only once.
    pub last_report: Option<Report>,
    /// The result of the last health check, if there was one.
    pub healthy: Option<bool>,
    max_updates: Option<NonZeroU64>,
    /// The number of updates that the task has caused so far; `bytes` is the size of their data.
    updates: u64,
    bytes: u64,
}

/// The phase of the task.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    Starting,
    Running,
    Stopping { until: Instant, end: End },
    Ended,
}

/// How a stopping task ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// The task was killed: its last state is TASK_KILLED.
    Killed,
    /// The task failed for this reason: its last state is TASK_FAILED.
    Failed(String),
    /// The task has reached its limit of updates: its last state is TASK_FINISHED, and a new task replaces it.
    Renewed,
}

impl Task {
    pub fn new(info: TaskInfo, max_updates: Option<NonZeroU64>) -> Self {
        Task {
            info,
            phase: Phase::Starting,
            last_report: None,
            healthy: None,
            max_updates,
            updates: 0,
            bytes: 0,
        }
    }

    /// Requires the task to end before `until`. Returns whether the caller must ask the task to stop, which is done only once. If
    /// the task is already stopping, `end` is ignored, except that it replaces [`End::Renewed`].
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

    /// The grace period of the task, which a kill may override.
    pub fn grace(&self) -> Duration {
        grace(self.info.kill_policy.as_ref()).unwrap_or(DEFAULT_GRACE)
    }

    pub fn count_update(&mut self, data: Option<&[u8]>) {
        self.updates += 1;
        self.bytes = self.bytes.saturating_add(data.map_or(0, |data| data.len() as u64));
    }

    /// Whether a running task has used up its limit of updates. This is so if only its terminal update is left, or if the size
    /// of its updates has reached [`MAX_UPDATE_BYTES`].
    pub fn is_used_up(&self) -> bool {
        let Some(limit) = self.max_updates else { return false };
        let last = self.updates >= limit.get() - 1 || self.bytes >= MAX_UPDATE_BYTES;
        self.phase == Phase::Running && last
    }

    /// The message of the update that ends a renewed task. `error` is the error with which the task ended, if any.
    pub fn renewal_message(&self, error: Option<&str>) -> String {
        let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
        // The update that carries this message is not counted yet.
        format!("renewed: a new task takes its place after {} updates{error}", self.updates + 1)
    }
}

/// The grace period of a kill policy.
pub(super) fn grace(policy: Option<&KillPolicy>) -> Option<Duration> {
    let nanoseconds = policy?.grace_period.as_ref()?.nanoseconds;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// The report without its rows. Rows are sent only once, so a report that is repeated in the terminal update has none.
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
