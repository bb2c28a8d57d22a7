//! A simulated master with agents and executors, as far as they matter to a scheduler. Calls that may overtake each other do so
//! at random.

mod agents;
mod faults;
mod judge;
mod master;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ::task::{Instruction, Intervals, Live, WorkerLive};
use mesos::v1::task_status::Reason;
use mesos::v1::{TaskInfo, TaskState, TaskStatus};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::*;

/// The interval at which simulated executors send live messages.
const LIVE: Duration = Duration::from_secs(10);
/// When an agent has been away for this long, the simulated master says that its tasks are unreachable.
const PINGS: Duration = Duration::from_secs(75);
/// The interval at which simulated agents repeat an update that is not acknowledged.
const REPEAT: Duration = Duration::from_secs(10);
/// Within this time, the scheduler must accept or decline each offer. Only a slow disk may delay this, because launches are
/// written to disk first.
const HELD: Duration = Duration::from_secs(5);

/// The outcome of the next launch.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// The master drops the task, since the offer had been rescinded.
    InvalidOffers,
    /// The master drops the task, since the agent was disconnected.
    AgentDisconnected,
    /// The master refuses the task as invalid: TASK_ERROR.
    Invalid,
    /// The call never reaches the master.
    Lost,
    /// The task reaches its agent, but its executor does not start.
    NoExecutor,
    /// The task reaches its agent, but its executor never registers and never ends.
    Stuck,
}

impl Fate {
    pub const ALL: [Fate; 6] = [
        Fate::InvalidOffers,
        Fate::AgentDisconnected,
        Fate::Invalid,
        Fate::Lost,
        Fate::NoExecutor,
        Fate::Stuck,
    ];
}

#[derive(Debug)]
struct Agent {
    id: String,
    cpus: u64,
    mem: u64,
    /// When the agent disconnected, and whether the master has noticed the disconnection; `None` while the agent is connected.
    away: Option<(Instant, bool)>,
}

/// The actual state of a task.
#[derive(Debug)]
struct Real {
    agent: String,
    cpus: u64,
    mem: u64,
    state: TaskState,
    pool: String,
    intervals: Intervals,
    hung: bool,
    next: Instant,
    updates: Vec<TaskStatus>,
    sent: Instant,
    uuids: u8,
}

impl Real {
    fn lives(&self) -> bool {
        !self.state.is_terminal()
    }
}

#[derive(Debug)]
struct Piece {
    agent: String,
    cpus: u64,
    mem: u64,
    since: Instant,
}

struct Filter {
    agent: String,
    cpus: u64,
    mem: u64,
    until: Instant,
}

pub struct Cluster {
    pub script: Script,
    pub slow_disk: bool,
    pub fate: Option<Fate>,
    agents: Vec<Agent>,
    tasks: BTreeMap<String, Real>,
    offers: BTreeMap<String, Piece>,
    /// The ids of the offers that the scheduler has accepted or declined.
    answered: BTreeSet<String>,
    filters: Vec<Filter>,
    suppressed: bool,
    /// Whether all calls of the scheduler are lost, because its connection is about to break.
    deaf: bool,
    history: Vec<TaskStatus>,
    /// The tasks about which a RECONCILE got no answer, because their agent was away and the master had not noticed this.
    unanswered: BTreeSet<String>,
    /// Decides which of several calls arrives first.
    random: StdRng,
    next: u64,
}

impl Cluster {
    pub fn new(settings: Settings) -> Self {
        let agent = |(id, cpus, mem): (&str, u64, u64)| Agent { id: id.into(), cpus, mem, away: None };
        let mut cluster = Cluster {
            script: Script::with(settings),
            slow_disk: false,
            fate: None,
            agents: [("a", 2000, 1024), ("b", 1500, 700), ("c", 4000, 900)].map(agent).into(),
            tasks: BTreeMap::new(),
            offers: BTreeMap::new(),
            answered: BTreeSet::new(),
            filters: Vec::new(),
            suppressed: false,
            deaf: false,
            history: Vec::new(),
            unanswered: BTreeSet::new(),
            random: StdRng::seed_from_u64(1),
            next: 0,
        };
        cluster.subscribed();
        cluster
    }

    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    pub fn pick(&self, which: usize) -> String {
        let live: Vec<&String> =
            self.tasks.iter().filter(|(_, task)| task.lives()).map(|(id, _)| id).collect();
        if live.is_empty() { String::new() } else { live[which % live.len()].clone() }
    }

    fn here(&self, agent: &str) -> bool {
        self.agents.iter().any(|it| it.id == agent && it.away.is_none())
    }

    pub fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.script.now += Duration::from_secs(1);
            if !self.deaf {
                if self.script.heartbeat_due() {
                    self.event(Event::Heartbeat);
                }
                self.allocate();
            }
            self.work();
            self.write();
            self.event(Event::Tick);
        }
    }

    /// Makes the disk slow, or fast again. If the driver has noticed that it is full, it sets or clears the problem.
    pub fn set_slow_disk(&mut self, slow: bool, noticed: bool) {
        self.slow_disk = slow;
        let full = Problem::new(ProblemKind::StateFolderFull, "the disk is full");
        let problem = Some(full).filter(|_| slow);
        if noticed || !slow {
            self.event(Event::Problem { topic: Topic::Store, problem });
        }
    }

    /// Time passes only for the scheduler, which has no subscription. The simulated cluster stands still.
    fn pass_alone(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.script.now += Duration::from_secs(1);
            self.write();
            self.event(Event::Tick);
        }
    }

    fn write(&mut self) {
        while !self.slow_disk && !self.script.queue.is_empty() {
            let batch = std::mem::take(&mut self.script.queue);
            self.script.disk.write(&batch);
            for (change_id, _) in batch {
                self.event(Event::Persisted(vec![change_id]));
            }
        }
    }
}
