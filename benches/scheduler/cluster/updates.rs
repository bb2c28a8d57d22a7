//! Status updates. The updates of a task are sent one by one, and each is repeated until acknowledged.

use std::time::{Duration, Instant};

use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{TaskState, TaskStatus};

use super::{Cluster, events};

/// An unacknowledged update is sent again after this time. (Mesos doubles the time after each attempt.)
const RETRY: Duration = Duration::from_secs(10);

/// An update that the scheduler must acknowledge.
pub(super) struct Update {
    pub number: u64,
    /// When the update was first sent.
    sent: Option<Instant>,
    status: TaskStatus,
}

impl Cluster {
    /// Queues an update of a task. The scheduler must acknowledge the update.
    pub(super) fn push_update(
        &mut self,
        index: usize,
        state: TaskState,
        data: Option<Vec<u8>>,
        now: Instant,
    ) {
        let task = &self.tasks[index];
        let status = status(&task.id, &self.agents[task.agent].id, state);
        let status = TaskStatus { source: Some(Source::Executor.into()), data, ..status };
        self.push_status(index, state, status, now);
    }

    /// Queues a TASK_FAILED update with a reason from the agent. The scheduler must acknowledge the update.
    pub(super) fn push_failure(&mut self, index: usize, reason: Reason, text: &str, now: Instant) {
        let (task, state) = (&self.tasks[index], TaskState::TaskFailed);
        let status = status(&task.id, &self.agents[task.agent].id, state);
        self.push_status(index, state, because(status, Source::Agent, reason, text), now);
    }

    fn push_status(&mut self, index: usize, state: TaskState, status: TaskStatus, now: Instant) {
        let number = self.next_update;
        self.next_update += 1;
        self.counters.updates += 1;
        let task = &mut self.tasks[index];
        task.state = state;
        let status = TaskStatus { uuid: Some(uuid(number)), ..status };
        task.updates.push_back(Update { number, sent: None, status });
        if task.updates.len() == 1 {
            self.send_first(index, now);
        }
    }

    fn send_first(&mut self, index: usize, now: Instant) {
        let task = &mut self.tasks[index];
        let Some(update) = task.updates.front_mut() else { return };
        if self.agents[task.agent].is_lost || self.stream.is_none() {
            return;
        }
        self.counters.resent += u64::from(update.sent.is_some());
        update.sent.get_or_insert(now);
        self.resends.push_back((now + RETRY, index, update.number));
        let event = events::update(update.status.clone());
        self.counters.update_bytes += event.len() as u64;
        self.send(event);
    }

    pub(super) fn resend_what_is_due(&mut self, now: Instant) {
        while let Some((due, index, number)) = self.resends.front().copied() {
            if due > now {
                return;
            }
            self.resends.pop_front();
            let task = &self.tasks[index];
            if task.updates.front().is_some_and(|update| update.number == number) {
                self.send_first(index, now);
            }
        }
    }

    /// Sends all unacknowledged updates again, after a new subscription.
    pub(super) fn resend_all(&mut self, now: Instant) {
        self.resends.clear();
        (0..self.tasks.len()).for_each(|index| self.send_first(index, now));
    }

    pub(super) fn acknowledge(&mut self, acknowledge: call::Acknowledge, now: Instant) {
        let known = self.by_id.get(&acknowledge.task_id.value).copied();
        let expected = known.and_then(|index| Some((index, self.tasks[index].updates.front()?.number)));
        let Some((index, _)) = expected.filter(|(_, number)| uuid(*number) == acknowledge.uuid) else {
            self.counters.duplicates += 1;
            return;
        };
        let task = &mut self.tasks[index];
        let Some(update) = task.updates.pop_front() else { return };
        if let Some(sent) = update.sent {
            self.latencies.push(now.duration_since(sent).as_secs_f64() * 1e3);
        }
        if let Some((_, acknowledged)) = self.marker.as_mut().filter(|(marker, _)| *marker == update.number) {
            *acknowledged = Some(now);
        }
        self.live -= usize::from(task.state.is_terminal() && task.updates.is_empty());
        self.counters.acknowledged += 1;
        self.counters.last_acknowledgement = Some(now);
        // Count each worker once: its later reports are updates with TASK_RUNNING, too.
        let runs = update.status.state == i32::from(TaskState::TaskRunning);
        if task.is_worker() && runs && !task.has_run {
            task.has_run = true;
            self.counters.running += 1;
        }
        self.send_first(index, now);
    }

    /// The number of unacknowledged updates.
    pub fn unacknowledged(&self) -> u64 {
        self.counters.updates - self.counters.acknowledged
    }

    /// When the scheduler acknowledged the update that the last call of [`send_marker`](Self::send_marker) sent; `None` if it has
    /// not yet.
    pub fn marker_acknowledged(&self) -> Option<Instant> {
        self.marker.and_then(|(_, acknowledged)| acknowledged)
    }

    /// Loses every second agent except the server's. Returns the number of tasks on the lost agents.
    pub fn lose_half(&mut self) -> usize {
        let server = self.server.map(|server| self.tasks[server].agent);
        let mut tasks = 0;
        for number in (0..self.agents.len()).step_by(2).filter(|number| Some(*number) != server) {
            self.rescind(number);
            self.agents[number].is_lost = true;
            for index in self.agents[number].tasks.clone() {
                let (text, reason) = ("Agent is unreachable", Reason::AgentRemoved);
                self.tell(index, TaskState::TaskUnreachable, reason, text);
                tasks += 1;
            }
            let failure = events::agent_failure(&self.agents[number].id);
            self.send(failure);
        }
        tasks
    }

    /// Brings all lost agents back, with their tasks.
    pub fn return_lost(&mut self, now: Instant) {
        for number in 0..self.agents.len() {
            if !std::mem::take(&mut self.agents[number].is_lost) {
                continue;
            }
            for index in self.agents[number].tasks.clone() {
                self.tell(index, TaskState::TaskRunning, Reason::AgentReregistered, "Agent reregistered");
                self.send_first(index, now);
            }
        }
    }

    /// Sends an update from the master itself, without a uuid.
    fn tell(&mut self, index: usize, state: TaskState, reason: Reason, text: &str) {
        let task = &self.tasks[index];
        let status = status(&task.id, &self.agents[task.agent].id, state);
        let event = events::update(because(status, Source::Master, reason, text));
        self.send(event);
    }
}

/// Creates an update with the fields that all updates have.
pub(super) fn status(task: &str, agent: &str, state: TaskState) -> TaskStatus {
    TaskStatus {
        task_id: task.into(),
        agent_id: Some(agent.into()),
        executor_id: Some(task.into()),
        state: state.into(),
        timestamp: Some(1_700_000_000.0),
        ..TaskStatus::default()
    }
}

pub(super) fn because(status: TaskStatus, source: Source, reason: Reason, text: &str) -> TaskStatus {
    TaskStatus {
        source: Some(source.into()),
        reason: Some(reason.into()),
        message: Some(text.to_owned()),
        ..status
    }
}

/// A UUID (RFC 4122, version 4) that contains the number.
fn uuid(number: u64) -> Vec<u8> {
    let mut uuid = vec![0; 16];
    uuid[..6].copy_from_slice(&number.to_be_bytes()[2..]);
    uuid[6] = 0x40;
    uuid[8] = 0x80;
    uuid
}
