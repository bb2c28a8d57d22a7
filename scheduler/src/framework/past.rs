//! Tasks that ended long ago are not kept: what remains of them is their number, their last state as one of a
//! count, and a sum in the ledger. Their records stay on disk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos::v1::{TaskState, TaskStatus};

use super::task::{Task, is_over};
use super::{Call, Pending, State};
use crate::journal::{Change, RetiredTasks, StatusRecord, TaskNumberSet, UNTRACKED_MINERS, number};
use crate::kind::Kind;

/// A task whose last update is recorded is kept for so long.
const KEEP_CLOSED: Duration = Duration::from_secs(600);
/// A task that is lost may come back, and one that ended as far as the master knows may have more to say. After this
/// time what comes is only written down, and the task killed if it lives.
const KEEP_LOST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Time between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// So many at most move to the past at once, as one change of the store.
const MOVE: usize = 500;

/// What is left of tasks that ended long ago.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Those whose last update is recorded.
    done: TaskNumberSet,
    /// All others.
    lost: TaskNumberSet,
    states: BTreeMap<TaskState, u64>,
    looked: Option<Instant>,
}

/// What to do about an update of a task of the past, when it is on disk.
#[derive(Debug)]
pub(super) struct Late {
    task: String,
    agent: String,
    uuid: Option<Vec<u8>>,
    alive: bool,
}

impl From<RetiredTasks> for Past {
    fn from(record: RetiredTasks) -> Past {
        let RetiredTasks { done, lost, states } = record;
        Past { done, lost, states, looked: None }
    }
}

impl Past {
    /// How many of them ended in each state.
    pub fn states(&self) -> impl Iterator<Item = (TaskState, u64)> {
        self.states.iter().map(|(state, count)| (*state, *count))
    }

    pub fn contains(&self, id: &str) -> bool {
        self.done.contains_task(id) || self.lost.contains_task(id)
    }
}

impl State {
    /// Takes up what an earlier life of the scheduler saw end.
    pub(super) fn start_past(&mut self, now: Instant) {
        self.move_to_past(&self.ids(|task| task.record.closed), now);
    }

    pub(super) fn look_at_past(&mut self, now: Instant) {
        if self.past.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return;
        }
        self.past.looked = Some(now);
        let server = self.server.clone();
        let old = self.ids(|task| {
            let age = now.duration_since(task.since);
            let keep = match task.state {
                Some(_) if task.record.closed => KEEP_CLOSED,
                Some(state) if is_over(state) => KEEP_LOST,
                _ => return false,
            };
            age >= keep && task.pending_uuid.is_none() && server.as_ref() != Some(&task.record.id)
        });
        self.move_to_past(&old, now);
    }

    /// Lets time pass for tasks whose last update is recorded.
    #[cfg(test)]
    pub(super) fn age_ended(&mut self, time: Duration) {
        self.past.looked = None;
        for task in self.tasks.values_mut().filter(|task| task.record.closed) {
            task.since = task.since.checked_sub(time).unwrap_or(task.since);
        }
    }

    fn ids(&self, wanted: impl Fn(&&Task) -> bool) -> Vec<String> {
        self.tasks.values().filter(wanted).map(|task| task.record.id.clone()).collect()
    }

    fn move_to_past(&mut self, ids: &[String], now: Instant) {
        for ids in ids.chunks(MOVE) {
            self.move_some_to_past(ids);
        }
        self.agents.forget_old(now);
    }

    fn move_some_to_past(&mut self, ids: &[String]) {
        let mut moved = Vec::new();
        for id in ids {
            // A name that is not of our making can't be remembered by its number.
            let (Some(number), Some(task)) = (number(id), self.tasks.get(id)) else { continue };
            let Some(state) = task.state else { continue };
            let closed = task.record.closed;
            if task.record.kind == Kind::Server && closed {
                let outsiders = self.ledger.workers_of(id).filter(|name| !self.is_ours(name)).count();
                if outsiders > UNTRACKED_MINERS {
                    self.persist(Change::AggregateUntrackedMiners { server: id.clone() }, Pending::Nothing);
                }
            }
            let numbers = if closed { &mut self.past.done } else { &mut self.past.lost };
            numbers.insert(number);
            *self.past.states.entry(state).or_default() += 1;
            self.tasks.remove(id);
            self.killing.remove(id);
            self.reconciler.answered(id);
            moved.push(id.clone());
        }
        if !moved.is_empty() {
            let tasks = &self.tasks;
            self.ledger.aggregate(&moved, |task| tasks.contains_key(task));
            self.persist(Change::Retire { tasks: moved }, Pending::Nothing);
        }
    }

    fn is_ours(&self, name: &str) -> bool {
        self.tasks.contains_key(name) || self.past.contains(name)
    }

    /// An update of a task of the past: what repeats a last update is on disk already; of others it is written
    /// down, and they are killed if they live.
    pub(super) fn late_update(&mut self, status: &TaskStatus) {
        let task = status.task_id.value.clone();
        let done = self.past.done.contains_task(&task);
        let late = Late {
            agent: status.agent_id.as_ref().map(|agent| agent.value.clone()).unwrap_or_default(),
            uuid: status.uuid.clone().filter(|uuid| !uuid.is_empty()),
            alive: !done && status.known_state().is_some_and(|state| !is_over(state)),
            task,
        };
        if done || late.uuid.is_none() {
            self.answer_late(late);
            return;
        }
        let record = StatusRecord {
            kind: if late.task.starts_with(SERVER) { Kind::Server } else { Kind::Worker },
            task: late.task.clone(),
            state: status.known_state(),
            reason: status.known_reason().map(|reason| reason.as_str_name().to_owned()),
            last: false,
            message: status.message.clone(),
            report: self.report(&late.task, status.data.as_deref()),
        };
        self.persist(Change::Status(record), Pending::Late(Box::new(late)));
    }

    pub(super) fn answer_late(&mut self, late: Late) {
        let Late { task, agent, uuid, alive } = late;
        if let Some(uuid) = uuid {
            self.call(Call::Acknowledge { task: task.clone(), agent: agent.clone(), uuid });
        }
        if alive {
            self.call(Call::Kill { task, agent });
        }
    }
}

const SERVER: &str = "miner-server-";
