//! One task and its life.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use task::{Intervals, Live};

use super::kills::Kill;
use crate::constraints::Place;
use crate::journal::TaskRecord;
use crate::kind::Kind;
use crate::offers::Accept;

/// A live message older than this says nothing about now, unless its task sends one more seldom than that.
pub const LIVE: Duration = Duration::from_secs(20);

/// So many of a task's intervals are waited for its next live message: some may be lost.
pub const INTERVALS_WAITED: u32 = 3;

/// How far a task has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// Its launch is being written down; the offers are held.
    Writing(Box<PlannedLaunch>),
    /// Its launch was called off while it was being written down. These offers are still held for it.
    CalledOff {
        /// The offers' ids.
        offers: Vec<String>,
        /// As [`PlannedLaunch::with`].
        with: Option<Vec<String>>,
    },
    /// The master was told to launch it, by this run of the scheduler or an earlier one. No update has come.
    Launched {
        /// When, or when this run began.
        at: Instant,
    },
    /// Mesos says that it is on its agent, or that its agent is unreachable.
    Present {
        /// Mesos' state.
        state: TaskState,
        /// Since when.
        since: Instant,
        /// When it was launched, as above.
        launched: Instant,
    },
    /// It ended as far as Mesos knows. It may come back unless the state is final.
    Over {
        /// Mesos' state.
        state: TaskState,
        /// Since when.
        since: Instant,
        /// When it was launched, as above, if that is known.
        launched: Option<Instant>,
    },
}

/// A launch that is being written down. Tasks of one agent are launched by one call, when the last of them is on disk: this
/// one holds the offers.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLaunch {
    /// What the task takes.
    pub accept: Accept,
    /// The ids of the other tasks of the call; `None` if it is another task that holds the offers.
    pub with: Option<Vec<String>>,
}

/// Whether a worker counts against `--max-workers`, `--max-cpus` and constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It counts.
    Held,
    /// It was unreachable when this run of the scheduler began. It counts, but others may have its place already.
    Unknown,
    /// It has been unreachable for so long that others may take its place.
    Released,
}

/// What a task was before an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Mesos' state.
    pub before: Option<TaskState>,
    /// Its slot.
    pub slot: Slot,
}

/// What a task says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it is well.
    pub healthy: bool,
    /// Since when.
    pub since: Instant,
}

/// What one worker adds to the sum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Hashes in 1,000 s.
    pub millihashes: u64,
    pub step: i32,
}

/// A task that was or will be launched. Only [`Fleet`](super::Fleet) changes it.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id, for all that keeps it beside the record.
    id: Arc<str>,
    pub(super) record: TaskRecord,
    pub(super) lifecycle: Lifecycle,
    pub(super) running_since: Option<Instant>,
    pub(super) health: Option<Health>,
    pub(super) kill: Option<Kill>,
    pub(super) pending_uuid: Option<Vec<u8>>,
    pub(super) live: Option<(Instant, Live)>,
    pub(super) silent_since: Option<Instant>,
    /// What it adds to the sum of the hashrates.
    pub(super) rate: Option<Rate>,
    pub(super) version: Option<u32>,
    pub(super) intervals: Option<Intervals>,
    pub(super) tells_intervals: bool,
    pub(super) slot: Slot,
    /// Whether this run of the scheduler found it.
    found: bool,
}

impl Task {
    fn new(record: TaskRecord, lifecycle: Lifecycle) -> Self {
        Self {
            id: record.id.as_str().into(),
            record,
            lifecycle,
            running_since: None,
            health: None,
            kill: None,
            pending_uuid: None,
            live: None,
            silent_since: None,
            rate: None,
            version: None,
            intervals: None,
            tells_intervals: false,
            slot: Slot::Held,
            found: false,
        }
    }

    /// A task whose launch is being written down.
    pub fn planned(record: TaskRecord, launch: PlannedLaunch) -> Self {
        Self::new(record, Lifecycle::Writing(Box::new(launch)))
    }

    /// A task of an earlier run of the scheduler, or one that the master told of.
    pub fn found(record: TaskRecord, now: Instant) -> Self {
        let state = record.state;
        let lifecycle = match state {
            None => Lifecycle::Launched { at: now },
            Some(state) if is_over(state) => Lifecycle::Over { state, since: now, launched: None },
            Some(state) => Lifecycle::Present { state, since: now, launched: now },
        };
        let mut task = Self { found: true, ..Self::new(record, lifecycle) };
        task.running_since = (state == Some(TaskState::TaskRunning)).then_some(now);
        if state == Some(TaskState::TaskUnreachable) {
            task.slot = Slot::Unknown;
        }
        task
    }

    /// Mesos gives it this state.
    pub(super) fn set_state(&mut self, state: TaskState, now: Instant) {
        if self.state() != Some(state) {
            self.lifecycle = if is_over(state) {
                Lifecycle::Over { state, since: now, launched: self.was_launched() }
            } else {
                Lifecycle::Present { state, since: now, launched: self.launched().unwrap_or(now) }
            };
        }
        if state == TaskState::TaskRunning {
            self.running_since.get_or_insert(now);
        }
    }

    /// What is written down of it.
    pub fn record(&self) -> &TaskRecord {
        &self.record
    }

    /// Whether an earlier run of the scheduler, or nobody that is known, has launched it.
    pub fn is_of_an_earlier_run(&self) -> bool {
        self.found
    }

    /// Its id, which is also its executor's.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// The same, to be kept.
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

    /// Its agent's host and attributes, as constraints see them.
    pub fn place(&self) -> Place {
        Place { host: self.record.host.clone(), attributes: self.record.attributes.clone() }
    }

    /// Whether it is a worker.
    pub fn is_worker(&self) -> bool {
        self.record.kind == Kind::Worker
    }

    /// How far it has come.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The last state that Mesos gave; `None` before the first.
    pub fn state(&self) -> Option<TaskState> {
        match self.lifecycle {
            Lifecycle::Present { state, .. } | Lifecycle::Over { state, .. } => Some(state),
            Lifecycle::Writing(_) | Lifecycle::CalledOff { .. } | Lifecycle::Launched { .. } => None,
        }
    }

    /// Since when it is in that state.
    pub fn since(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Present { since, .. } | Lifecycle::Over { since, .. } => Some(since),
            Lifecycle::Writing(_) | Lifecycle::CalledOff { .. } | Lifecycle::Launched { .. } => None,
        }
    }

    /// When it entered `state`; `None` if it is in another one.
    pub fn since_in(&self, state: TaskState) -> Option<Instant> {
        self.since().filter(|_| self.state() == Some(state))
    }

    /// When the master was told to launch it, or when this run of the scheduler began; `None` if it was not told, or if
    /// the task is over.
    pub fn launched(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Launched { at } => Some(at),
            Lifecycle::Present { launched, .. } => Some(launched),
            Lifecycle::Writing(_) | Lifecycle::CalledOff { .. } | Lifecycle::Over { .. } => None,
        }
    }

    /// The same of a task that is over as well, if this run of the scheduler saw it live.
    pub fn was_launched(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Over { launched, .. } => launched,
            _ => self.launched(),
        }
    }

    /// Whether the master was not told of it yet.
    pub fn is_unsent(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Writing(_) | Lifecycle::CalledOff { .. })
    }

    /// When it was launched, while nothing was heard of it since.
    pub fn unanswered_since(&self) -> Option<Instant> {
        match self.lifecycle {
            Lifecycle::Launched { at } => Some(at),
            _ => None,
        }
    }

    /// It ended as far as Mesos knows, though it may come back unless the state is final.
    pub fn is_over(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Over { .. })
    }

    /// It is over, and nothing new is to come of it: its own last update is recorded, or Mesos says that it was never
    /// launched.
    pub fn is_settled(&self) -> bool {
        let refused = matches!(self.state(), Some(TaskState::TaskError | TaskState::TaskDropped));
        self.is_over() && (self.record.closed || refused && self.running_since.is_none())
    }

    /// Its agent may have it: it was launched, and is not over.
    pub fn may_live(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Launched { .. } | Lifecycle::Present { .. })
    }

    /// Whether Mesos says that it runs.
    pub fn is_running(&self) -> bool {
        self.state() == Some(TaskState::TaskRunning)
    }

    /// A worker that counts against limits and constraints.
    pub fn takes_place(&self) -> bool {
        self.is_worker() && !self.is_over() && self.slot != Slot::Released
    }

    /// Whether it counts.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// When it first came to run, or when this run of the scheduler found it running.
    pub fn running_since(&self) -> Option<Instant> {
        self.running_since
    }

    /// What it last said of its health.
    pub fn health(&self) -> Option<Health> {
        self.health
    }

    /// Since when it says that it is not well.
    pub fn ill_since(&self) -> Option<Instant> {
        self.health.filter(|health| !health.healthy).map(|health| health.since)
    }

    /// Whether it is to end.
    pub fn is_to_end(&self) -> bool {
        self.kill.is_some()
    }

    /// Whether its executor does not do what it is told, so that its agent has to end it.
    pub fn ignores_kills(&self) -> bool {
        self.kill.is_some_and(Kill::are_ignored)
    }

    /// The uuid of an update that is on its way to the disk.
    pub fn pending_uuid(&self) -> Option<&[u8]> {
        self.pending_uuid.as_deref()
    }

    /// Its last live message, and when it came.
    pub fn live(&self) -> Option<&(Instant, Live)> {
        self.live.as_ref()
    }

    /// H/s for each CPU, as it was last told; 0 if it was not told lately.
    pub fn hashrate_per_cpu(&self) -> f64 {
        let cpus = self.record.cpus_milli().max(1) as f64 / 1e3;
        self.rate.map_or(0.0, |rate| rate.millihashes as f64 / 1e3 / cpus)
    }

    /// Whether it told its hashrate lately.
    pub fn tells_hashrate(&self) -> bool {
        self.rate.is_some()
    }

    /// Since when it could have sent another live message and has not, if it is one that does.
    pub fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// The intervals of its live messages and reports: those that it told itself or, if it tells none, those of its
    /// specification; `None` if neither is known.
    pub fn intervals(&self) -> Option<Intervals> {
        self.intervals
    }

    /// Whether it tells which intervals it uses, and so can be told others.
    pub fn tells_intervals(&self) -> bool {
        self.tells_intervals
    }

    /// For how long its last live message says something about now: three of its intervals, but not less than [`LIVE`].
    pub fn freshness(&self) -> Duration {
        self.intervals.map_or(LIVE, |intervals| LIVE.max(INTERVALS_WAITED * intervals.live()))
    }

    /// The version of the wire form of its last report.
    pub fn version(&self) -> Option<u32> {
        self.version
    }
}

/// The task does not run as far as Mesos knows.
pub fn is_over(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::TaskUnknown
}
