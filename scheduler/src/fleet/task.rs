//! One task: what is known about it, and the KILLs that end it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use problem::Problem;
use task::{Intervals, Live, Totals};

use super::lifecycle::{Lifecycle, PlannedLaunch, Slot, has_ended};
use crate::constraints::Place;
use crate::journal::TaskRecord;
use crate::task_id::TaskKind;

/// Minimum time for which a live message counts as recent, see [`Task::freshness`].
pub const LIVE: Duration = Duration::from_secs(20);

/// A task counts as silent when this many of its live intervals have passed without a live message, since single messages may be
/// lost.
pub const INTERVALS_WAITED: u32 = 3;

/// KILL is repeated until the task has ended. These are the time between the first two KILLs, and the longest time between two
/// KILLs.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// If a task has not ended after this many KILLs, the agent is asked to shut down the task's executor. Until then the task has
/// time for a last report.
const KILLS_BEFORE_SHUTDOWN: u32 = 2;

/// The health that a task reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the task is healthy.
    pub healthy: bool,
    /// When this health was first reported.
    pub since: Instant,
}

/// What a task says it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskProblem {
    /// When the task first said that it has a problem of this kind.
    pub since: Instant,
    /// When the task last said so.
    pub at: Instant,
    pub problem: Problem,
}

/// A worker's part of the sum of hashrates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashrate {
    /// The worker's hashrate in hashes per 1,000 s.
    pub millihashes: u64,
    /// The worker's hashrate per CPU as a step on a logarithmic scale. Workers in the same step count as equally fast; see
    /// [`Hashrates`](super::hashrates::Hashrates).
    pub step: i32,
}

/// The KILLs of a task that is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    sent: u32,
    /// When the next KILL is due.
    pub again: Instant,
    pause: Duration,
}

impl Kill {
    /// No KILL was sent yet, and the first one is due now.
    pub fn new(now: Instant) -> Self {
        Self { sent: 0, again: now, pause: KILL_AGAIN.0 }
    }

    /// For an executor that does not respond: SHUTDOWN follows the next KILL.
    pub fn last(now: Instant) -> Self {
        Self { sent: KILLS_BEFORE_SHUTDOWN, ..Self::new(now) }
    }

    /// Makes the next KILL due at this time. The count of sent KILLs is kept, because SHUTDOWN is sent after
    /// [`KILLS_BEFORE_SHUTDOWN`] of them.
    pub fn due_at(self, at: Instant) -> Self {
        Self { again: at, pause: KILL_AGAIN.0, ..self }
    }

    pub fn count(&mut self, now: Instant) {
        self.sent += 1;
        self.again = now + self.pause;
        self.pause = (self.pause * 2).min(KILL_AGAIN.1);
    }
}

/// A task that was or will be launched. The fleet hands out shared references only, so only the fleet changes tasks.
#[derive(Clone, Debug)]
pub struct Task {
    /// The task's id. The fleet's indexes hold clones of this `Arc`, so the text is in memory only once.
    id: Arc<str>,
    /// The task's record.
    pub record: TaskRecord,
    /// The stage that the task has reached.
    pub lifecycle: Lifecycle,
    /// When this run of the scheduler first learned that the task was running; `None` if it never did.
    pub running_since: Option<Instant>,
    /// The last health that the task reported.
    pub health: Option<Health>,
    /// When the last live message was received, or when the scheduler began to expect the next one after an interruption; `None`
    /// if no live message is expected.
    pub silent_since: Option<Instant>,
    /// The version of the wire format in which the task's last report was written; `None` before a report.
    pub version: Option<u32>,
    /// The intervals of the task's live messages and reports: those that its live messages state, or else those in its
    /// specification.
    pub intervals: Option<Intervals>,
    /// Whether the task's live messages state its intervals. The scheduler can send new intervals only to such a task.
    pub tells_intervals: bool,
    /// Whether the task counts against limits and constraints, if it is a worker.
    pub slot: Slot,
    /// For a server that an earlier run of the scheduler launched: no workers are launched before this time, unless the server's
    /// first live message arrives earlier. Only live messages say how many workers the server admits.
    pub first_live_due: Option<Instant>,
    /// The uuid of the task's update that is being persisted, if there is one.
    pub pending_uuid: Option<Vec<u8>>,
    /// Whether the end of the task is known before it is on disk. Either the update that reports the end is being persisted, or
    /// the task's executor has terminated. No workers are launched for a server whose end is known.
    pub is_ending: bool,
    /// The status with which the task's executor has terminated, as wait(2) returns it, if Mesos has said so.
    pub executor_status: Option<i32>,
    /// The last live message, and when it was received.
    pub live: Option<(Instant, Live)>,
    /// What the task last said it waits for; `None` if it works, or says nothing. Boxed, because most tasks work.
    pub(super) problem: Option<Box<TaskProblem>>,
    /// What the last live message has more than the ledger.
    pub(super) unaccounted: Totals,
    pub(super) kill: Option<Kill>,
    pub(super) rate: Option<Hashrate>,
}

impl Task {
    fn new(record: TaskRecord, lifecycle: Lifecycle) -> Self {
        Self {
            id: record.id.as_str().into(),
            record,
            lifecycle,
            running_since: None,
            health: None,
            silent_since: None,
            version: None,
            intervals: None,
            tells_intervals: false,
            slot: Slot::Held,
            first_live_due: None,
            pending_uuid: None,
            is_ending: false,
            executor_status: None,
            live: None,
            problem: None,
            unaccounted: Totals::default(),
            kill: None,
            rate: None,
        }
    }

    /// A task whose launch is being persisted.
    pub fn planned(record: TaskRecord, launch: PlannedLaunch) -> Self {
        Self::new(record, Lifecycle::Persisting(Box::new(launch)))
    }

    /// A task of an earlier run of the scheduler, or one that the master reported. The time of its launch is not known.
    pub fn recovered(record: TaskRecord, now: Instant) -> Self {
        Self::launched_before(record, Duration::ZERO, now)
    }

    /// A task that an earlier run of the scheduler launched, this long before now.
    pub fn launched_before(record: TaskRecord, age: Duration, now: Instant) -> Self {
        let state = record.state;
        // If the machine was restarted after the launch, an `Instant` cannot represent the time of the launch.
        let launched = now.checked_sub(age).unwrap_or(now);
        let lifecycle = match state {
            None => Lifecycle::Launched { at: launched, unanswered_since: now },
            Some(state) if has_ended(state) => Lifecycle::Ended { state, since: now, launched: None },
            Some(state) => Lifecycle::Reported { state, since: now, launched },
        };
        let mut task = Self::new(record, lifecycle);
        task.first_live_due = (!task.is_worker()).then_some(now + LIVE);
        task.running_since = (state == Some(TaskState::TaskRunning)).then_some(now);
        if state == Some(TaskState::TaskUnreachable) {
            task.slot = Slot::Unknown;
        }
        task
    }

    pub(super) fn set_state(&mut self, state: TaskState, now: Instant) {
        if self.state() != Some(state) {
            self.is_ending = false;
            self.lifecycle = if has_ended(state) {
                Lifecycle::Ended { state, since: now, launched: self.was_launched() }
            } else {
                Lifecycle::Reported { state, since: now, launched: self.launched().unwrap_or(now) }
            };
        }
        if state == TaskState::TaskRunning {
            self.running_since.get_or_insert(now);
        }
    }

    /// The id of the task and of its executor.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// The id of the task, as a pointer that can be shared.
    pub fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// The agent's id; empty if it is not known.
    pub fn agent(&self) -> &str {
        &self.record.agent
    }

    /// The agent's host name.
    pub fn host(&self) -> &str {
        &self.record.host
    }

    /// The agent's host name and attributes.
    pub fn place(&self) -> Place {
        Place { host: self.record.host.clone(), attributes: self.record.attributes.clone() }
    }

    /// Whether the task is a worker.
    pub fn is_worker(&self) -> bool {
        self.record.kind == TaskKind::Worker
    }

    /// The last state that Mesos reported, and when the task entered it.
    fn state_since(&self) -> Option<(TaskState, Instant)> {
        match self.lifecycle {
            Lifecycle::Reported { state, since, .. } | Lifecycle::Ended { state, since, .. } => {
                Some((state, since))
            }
            Lifecycle::Persisting(_) | Lifecycle::Cancelled { .. } | Lifecycle::Launched { .. } => None,
        }
    }

    /// The last state that Mesos reported; `None` before the first update.
    pub fn state(&self) -> Option<TaskState> {
        self.state_since().map(|(state, _)| state)
    }

    /// When the task entered its current state.
    pub fn since(&self) -> Option<Instant> {
        self.state_since().map(|(_, since)| since)
    }

    /// When the task entered `state`; `None` if it is in another state.
    pub fn since_in(&self, state: TaskState) -> Option<Instant> {
        self.state_since().filter(|(known, _)| *known == state).map(|(_, since)| since)
    }

    /// When the launch was sent, as far as it is known; `None` if it was not sent, or if the task has ended.
    pub fn launched(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Launched { at, .. } => Some(at),
            Lifecycle::Reported { launched, .. } => Some(launched),
            Lifecycle::Persisting(_) | Lifecycle::Cancelled { .. } | Lifecycle::Ended { .. } => None,
        }
    }

    /// Like [`Self::launched`], but also for a task that has ended, if this run of the scheduler saw it alive.
    pub fn was_launched(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Ended { launched, .. } => launched,
            _ => self.launched(),
        }
    }

    /// Whether the launch has not been sent yet.
    pub fn is_unsent(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Persisting(_) | Lifecycle::Cancelled { .. })
    }

    /// Since when the first update of the task is expected; `None` if the launch was not sent, or if there is an update.
    pub fn unanswered_since(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Launched { unanswered_since, .. } => Some(unanswered_since),
            _ => None,
        }
    }

    /// Whether the task was launched and is still to reach TASK_RUNNING. A task that is to end, or whose agent is unreachable, is
    /// not waited for.
    pub fn is_starting(&self) -> bool {
        let early = match self.lifecycle {
            Lifecycle::Launched { .. } => true,
            Lifecycle::Reported { state, .. } => {
                matches!(state, TaskState::TaskStaging | TaskState::TaskStarting)
            }
            _ => false,
        };
        early && !self.is_to_end()
    }

    /// The ids of the offers that are reserved for the task, neither accepted nor declined yet.
    pub fn held_offers(&self) -> &[String] {
        match &self.lifecycle {
            Lifecycle::Persisting(launch) => &launch.planned.offers,
            Lifecycle::Cancelled { offers, .. } => offers,
            _ => &[],
        }
    }

    /// The launch that has not been sent yet, unless it was cancelled.
    pub fn planned_launch(&self) -> Option<&PlannedLaunch> {
        match &self.lifecycle {
            Lifecycle::Persisting(launch) => Some(launch),
            _ => None,
        }
    }

    /// The ids of the other tasks that the same call launches; `None` if no offers are reserved for the launch of this task.
    pub fn launched_with(&self) -> Option<&[String]> {
        match &self.lifecycle {
            Lifecycle::Persisting(launch) => launch.with.as_deref(),
            Lifecycle::Cancelled { with, .. } => with.as_deref(),
            _ => None,
        }
    }

    /// Whether the task has ended as far as Mesos knows. It may reappear unless the state is final.
    pub fn has_ended(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Ended { .. })
    }

    /// Whether the task has ended and cannot send further updates: the final update from its agent is recorded, or Mesos reported
    /// that the task was never launched.
    pub fn is_final(&self) -> bool {
        let refused = matches!(self.state(), Some(TaskState::TaskError | TaskState::TaskDropped));
        self.has_ended() && (self.record.closed || refused && self.running_since.is_none())
    }

    /// Whether the task may be on its agent: the launch was sent, and the task has not ended.
    pub fn may_live(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Launched { .. } | Lifecycle::Reported { .. })
    }

    /// Whether the task runs, according to Mesos.
    pub fn is_running(&self) -> bool {
        self.state() == Some(TaskState::TaskRunning)
    }

    /// Whether the task is a worker that counts against limits and constraints.
    pub fn occupies_slot(&self) -> bool {
        self.is_worker() && !self.has_ended() && self.slot != Slot::Released
    }

    /// Since when the task has reported that it is unhealthy.
    pub fn unhealthy_since(&self) -> Option<Instant> {
        self.health.filter(|health| !health.healthy).map(|health| health.since)
    }

    /// Whether the task is to be ended.
    pub fn is_to_end(&self) -> bool {
        self.kill.is_some()
    }

    /// Whether the executor has ignored so many KILLs that the agent has to shut it down.
    pub fn ignores_kills(&self) -> bool {
        self.kill.is_some_and(|kill| kill.sent > KILLS_BEFORE_SHUTDOWN)
    }

    /// The hashrate per CPU (H/s) in the last live message; 0 if this message is not recent.
    pub fn hashrate_per_cpu(&self) -> f64 {
        let cpus = self.record.cpus_milli().max(1) as f64 / 1e3;
        self.rate.map_or(0.0, |rate| rate.millihashes as f64 / 1e3 / cpus)
    }

    /// The hashrate in the worker's last live message in H/s; `None` if this message is not recent, or the worker is paused.
    pub fn hashrate(&self) -> Option<f64> {
        self.rate.map(|rate| rate.millihashes as f64 / 1e3)
    }

    /// Whether the task is a paused worker, as its last live message says.
    pub fn is_paused(&self) -> bool {
        matches!(&self.live, Some((_, Live::Worker(live))) if live.paused == Some(true))
    }

    /// Whether the task has a recent hashrate.
    pub fn tells_hashrate(&self) -> bool {
        self.rate.is_some()
    }

    /// The problem that the task has had for at least this long, according to its recent messages.
    pub fn problem(&self, least: Duration, now: Instant) -> Option<&Problem> {
        let known = self.problem.as_ref()?;
        let recent = now.duration_since(known.at) < self.freshness();
        (recent && now.duration_since(known.since) >= least).then_some(&known.problem)
    }

    /// The problem that the task last had, however long ago it said so. A task that has failed keeps it.
    pub fn last_problem(&self) -> Option<&Problem> {
        self.problem.as_ref().map(|known| &known.problem)
    }

    /// How long a live message of the task counts as recent: three of the task's intervals, but at least [`LIVE`].
    pub fn freshness(&self) -> Duration {
        self.intervals.map_or(LIVE, |intervals| LIVE.max(INTERVALS_WAITED * intervals.live()))
    }
}
