//! One task as the framework sees it.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use task::Live;

use crate::journal::TaskRecord;
use crate::kind::Kind;
use crate::offers::Accept;

/// First and longest time between two KILLs of one task.
const KILL_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// So many KILLs are sent before the agent is asked to end the executor: time enough for a last report.
const PATIENCE: u32 = 2;

/// How far a launch has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// It is being written down; the offers are held. Without them, it will not be launched.
    Writing(Option<Box<Accept>>),
    /// The master was told then (or by an earlier life of the scheduler).
    Sent(Instant),
}

/// A task that was or will be launched.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub record: TaskRecord,
    pub phase: Phase,
    /// `None` before the first update.
    pub state: Option<TaskState>,
    /// Since when it is in this state.
    pub since: Instant,
    /// When it last came to run, if it did.
    pub running_since: Option<Instant>,
    /// Whether it is well, if it says so, and since when.
    pub health: Option<(bool, Instant)>,
    /// When to kill it again, if it is to end.
    pub kill: Option<Kill>,
    /// An update with this uuid is on its way to the disk.
    pub pending_uuid: Option<Vec<u8>>,
    /// The last live message.
    pub live: Option<(Instant, Live)>,
    /// Since when it could have sent another one and has not, if it is one that does.
    pub silent_since: Option<Instant>,
    /// The version of its last report.
    pub version: Option<u32>,
    /// For a worker that is to go to another server.
    pub told: Option<Told>,
    /// A worker that has been unreachable for so long that others may take its place.
    pub missed: bool,
    /// One that was unreachable when this life of the scheduler began: others may have its place already.
    pub unsure: bool,
}

/// The messages that send a worker to a server.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub server: String,
    /// When the last one was sent.
    pub at: Instant,
    pub times: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    /// How often it was killed so far.
    sent: u32,
    again: Instant,
    pause: Duration,
}

impl Task {
    pub fn new(record: TaskRecord, phase: Phase, now: Instant) -> Task {
        let state = record.state;
        let running_since = (state == Some(TaskState::TaskRunning)).then_some(now);
        Task {
            record,
            phase,
            state,
            since: now,
            running_since,
            health: None,
            kill: None,
            pending_uuid: None,
            live: None,
            silent_since: None,
            version: None,
            told: None,
            missed: false,
            unsure: state == Some(TaskState::TaskUnreachable),
        }
    }

    pub fn is_worker(&self) -> bool {
        self.record.kind == Kind::Worker
    }

    /// As far as is known it has ended, though it may come back unless the state is final.
    pub fn is_over(&self) -> bool {
        self.state.is_some_and(is_over)
    }

    /// A worker that counts where there are to be only so many.
    pub fn takes_place(&self) -> bool {
        self.is_worker() && !self.is_over() && !self.missed
    }

    pub fn is_running(&self) -> bool {
        self.state == Some(TaskState::TaskRunning)
    }

    /// Since when it says that it is not well.
    pub fn ill_since(&self) -> Option<Instant> {
        self.health.filter(|(healthy, _)| !healthy).map(|(_, since)| since)
    }

    /// Its agent may have it: launched, and not over.
    pub fn may_live(&self) -> bool {
        matches!(self.phase, Phase::Sent(_)) && !self.is_over()
    }

    /// Whether a KILL is due; to be sent then.
    pub fn kill_due(&mut self, now: Instant) -> bool {
        let alive = self.may_live();
        match &mut self.kill {
            Some(kill) if alive && now >= kill.again => {
                kill.sent += 1;
                kill.again = now + kill.pause;
                kill.pause = (kill.pause * 2).min(KILL_AGAIN.1);
                true
            }
            _ => false,
        }
    }

    /// Whether its executor does not do what it is told, so that its agent has to end it.
    pub fn ignores_kills(&self) -> bool {
        self.kill.is_some_and(|kill| kill.sent > PATIENCE)
    }

    /// From now on it is to end.
    pub fn want_kill(&mut self, now: Instant) {
        self.kill.get_or_insert(Kill { sent: 0, again: now, pause: KILL_AGAIN.0 });
    }

    /// The same for one that says nothing any more.
    pub fn want_end(&mut self, now: Instant) {
        self.kill = Some(Kill { sent: PATIENCE, again: now, pause: KILL_AGAIN.0 });
    }

    /// It showed life after it was to end: kill it at the next occasion.
    pub fn kill_at_once(&mut self, now: Instant) {
        self.kill = Some(Kill { sent: 0, again: now, pause: KILL_AGAIN.0 });
    }
}

/// The task does not run as far as Mesos knows.
pub(super) fn is_over(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::TaskUnknown
}
