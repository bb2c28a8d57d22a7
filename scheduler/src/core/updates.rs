//! Status updates and live messages. An update is persisted, then applied, then acknowledged.

use ::task::{Message, Report};
use mesos::v1::{TaskState, TaskStatus};

use super::outbox::{OnPersisted, StatusUpdate};
use super::transition::Transition;
use crate::fleet::{StateChange, Task, has_ended};
use crate::journal::{Change, Origin, StatusRecord, TaskRecord};
use crate::policy::{PolicyEvent, TaskEnd};
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

impl Transition<'_> {
    pub fn update(&mut self, status: TaskStatus) {
        let id = status.task_id.value.clone();
        self.raise(PolicyEvent::UpdateReceived(id.clone()));
        if self.fleet.get(&id).is_none() && self.history.retired.contains(&id) {
            return self.update_of_retired(&status);
        }
        if self.fleet.get(&id).is_none() && !self.adopt(&status) {
            return;
        }
        if let Some(version) = status.data.as_deref().and_then(::task::version) {
            self.fleet.set_version(&id, version);
        }
        let Some(task) = self.fleet.get(&id) else { return };
        if is_known(task, &status) {
            return;
        }
        let (kind, known_agent) = (task.record.kind, task.agent().to_owned());
        if status.known_state().is_some_and(has_ended) {
            self.fleet.set_ending(&id);
        }
        let uuid = uuid(&status).map(<[u8]>::to_vec);
        if uuid.is_some() {
            self.fleet.set_pending(&id, uuid.clone());
        }
        let last = uuid.is_some() && status.known_state().is_some_and(TaskState::is_final);
        let record = StatusRecord { kind, last, ..self.status_record(&status) };
        let (reason, healthy) = (status.known_reason(), status.healthy);
        let agent = status.agent_id.map_or(known_agent, |agent| agent.value);
        let update = StatusUpdate { record: record.clone(), agent, reason, healthy, uuid };
        self.persist(Change::Status(record), OnPersisted::Update(Box::new(update)));
    }

    /// The record of an update. If the update is the last one of its task, the caller marks the record as the last.
    fn status_record(&mut self, status: &TaskStatus) -> StatusRecord {
        let task = status.task_id.value.clone();
        let kind = TaskKind::of_id(&task);
        StatusRecord {
            report: self.report(&task, status.data.as_deref()),
            reason: status.known_reason().map(|reason| reason.as_str_name().to_owned()),
            message: status.message.clone(),
            ..StatusRecord::new(task, kind, status.known_state())
        }
    }

    /// The report in an update. An update is acknowledged even if its report cannot be read.
    fn report(&mut self, task: &str, data: Option<&[u8]>) -> Option<Report> {
        match Report::decode(data.filter(|data| !data.is_empty())?) {
            Ok(report) => Some(report),
            Err(error) => {
                self.notify(UserNotice::BadReport { task: task.to_owned(), why: error.to_string() });
                None
            }
        }
    }

    /// Adds a task without a record, for example after the loss of the state folder. The task is recorded, and killed. Returns
    /// `false` if the update only says that no such task exists.
    fn adopt(&mut self, status: &TaskStatus) -> bool {
        let ended = status.known_state().is_none_or(has_ended);
        if ended && status.uuid.is_none() {
            return false;
        }
        let id = status.task_id.value.clone();
        let agent = status.agent_id.as_ref().map(|agent| agent.value.clone()).unwrap_or_default();
        let record = TaskRecord::new(id.clone(), agent.clone(), agent, Origin::Unrecorded);
        self.change(Change::Task(record), OnPersisted::Nothing);
        if !ended {
            self.notify(UserNotice::UnknownTask(id.clone()));
            self.fleet.want_end(&id, self.now);
        }
        // `Launched` starts the launch timeout. Without it, a task in a state that this program does not know might never be
        // given up.
        self.raise(PolicyEvent::Launched(id));
        true
    }

    /// Applies an update that is on disk. The acknowledgement of the update follows.
    pub fn apply_update(&mut self, update: StatusUpdate) {
        let StatusUpdate { record, agent, reason, healthy, uuid } = update;
        let (task, state, message) = (record.task.clone(), record.state, record.message.clone());
        let Some(known) = self.fleet.get(&task) else { return };
        let change = StateChange { before: known.state(), slot: known.slot };
        let (known_health, status) = (known.health, known.executor_status);
        if known.pending_uuid.as_deref() == uuid.as_deref() {
            self.fleet.set_pending(&task, None);
        }
        self.apply(&Change::Status(record));
        self.set_accounted(&task);
        match state.filter(|_| !change.before.is_some_and(TaskState::is_final)) {
            Some(state) if has_ended(state) && change.before.is_some_and(has_ended) => {}
            Some(state) if has_ended(state) => {
                let named = self.fleet.get(&task).and_then(Task::last_problem);
                let problem = named.filter(|_| state == TaskState::TaskFailed).cloned();
                let task = task.clone();
                self.raise(PolicyEvent::Ended(TaskEnd { task, state, reason, status, message, problem }));
            }
            Some(state) => {
                self.update_peak();
                self.raise(PolicyEvent::Alive { task: task.clone(), state, change });
                if let Some(healthy) = healthy.filter(|is| known_health.is_none_or(|was| was.healthy != *is))
                {
                    self.fleet.set_health(&task, healthy, self.now);
                    let (known, why) = (known_health.is_some(), message.unwrap_or_default());
                    self.raise(PolicyEvent::Health { task: task.clone(), healthy, known, why });
                }
            }
            None => {}
        }
        self.raise(PolicyEvent::UpdatePersisted { task, agent, uuid, still_alive: false });
    }

    /// Handles an update of a task that has retired. If the task's last update is already on disk, this update only repeats an
    /// earlier one and is not persisted. Otherwise it is persisted. A task that is still alive is killed.
    fn update_of_retired(&mut self, status: &TaskStatus) {
        let task = status.task_id.value.clone();
        let closed = self.history.retired.done.contains_task(&task);
        let agent = status.agent_id.as_ref().map(|agent| agent.value.clone()).unwrap_or_default();
        let uuid = uuid(status).map(<[u8]>::to_vec);
        let still_alive = !closed && status.known_state().is_some_and(|state| !has_ended(state));
        let is_recorded = closed || uuid.is_none();
        let event = PolicyEvent::UpdatePersisted { task, agent, uuid, still_alive };
        if is_recorded {
            return self.raise(event);
        }
        let record = self.status_record(status);
        self.persist(Change::Status(record), OnPersisted::Raise(Box::new(event)));
    }

    /// Tells the fleet what the ledger has of a task.
    fn set_accounted(&mut self, task: &str) {
        let accounted = self.history.ledger.entry(task, task).map(|entry| entry.totals).unwrap_or_default();
        self.fleet.set_accounted(task, &accounted);
    }

    pub fn message(&mut self, executor: String, data: &[u8]) {
        let first = match Message::decode(data) {
            Ok(Message::Live(live)) => self.fleet.on_live_message(&executor, *live, self.now),
            Ok(Message::Waiting(problem)) => {
                return self.fleet.set_problem(&executor, Some(problem), self.now);
            }
            Err(_) => None,
        };
        match first {
            Some(first) => {
                self.set_accounted(&executor);
                self.raise(PolicyEvent::LiveMessage { task: executor, first });
            }
            // The unusable message is dropped, since the next live message comes soon.
            None => tracing::debug!(executor, "unexpected message"),
        }
    }
}

/// The uuid of an update; `None` if the update is not to be acknowledged.
fn uuid(status: &TaskStatus) -> Option<&[u8]> {
    status.uuid.as_deref().filter(|uuid| !uuid.is_empty())
}

/// Whether an update repeats one that is not on disk yet, or is an answer to RECONCILE that says nothing new.
fn is_known(task: &Task, status: &TaskStatus) -> bool {
    match uuid(status) {
        Some(uuid) => task.pending_uuid.as_deref() == Some(uuid),
        None => {
            let known = |healthy| task.health.is_some_and(|health| health.healthy == healthy);
            let as_well = status.healthy.is_none_or(known);
            status.data.is_none() && status.known_state() == task.state() && as_well
        }
    }
}
