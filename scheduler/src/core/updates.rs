//! Status updates and messages: updates are recorded, then acted on, then acknowledged.

use ::task::{Live, Report};
use mesos::v1::{TaskState, TaskStatus, task_status};

use super::outbox::OnWritten;
use super::transition::Transition;
use crate::attributes::Attributes;
use crate::fleet::{StateChange, Task, is_over};
use crate::journal::{Change, Origin, StatusRecord, TaskRecord};
use crate::kind::Kind;
use crate::policy::{Ended, Happening};
use crate::user_notice::UserNotice;

/// An update on its way to the disk.
#[derive(Debug)]
pub(super) struct Update {
    record: StatusRecord,
    agent: String,
    reason: Option<task_status::Reason>,
    healthy: Option<bool>,
    uuid: Option<Vec<u8>>,
}

/// What to do about an update of a task that ended long ago, when it is on disk.
#[derive(Debug)]
pub(super) struct LateUpdate {
    task: String,
    agent: String,
    uuid: Option<Vec<u8>>,
    alive: bool,
}

impl LateUpdate {
    pub fn recorded(self) -> Happening {
        let Self { task, agent, uuid, alive } = self;
        Happening::Recorded { task, agent, uuid, outlived: alive }
    }
}

impl Transition<'_> {
    pub fn update(&mut self, status: TaskStatus) {
        let id = status.task_id.value.clone();
        self.happen(Happening::Answered { task: id.clone() });
        if self.fleet.get(&id).is_none() && self.history.retired.contains(&id) {
            return self.late_update(&status);
        }
        if self.fleet.get(&id).is_none() && !self.adopt(&status) {
            return;
        }
        if let Some(version) = status.data.as_deref().and_then(::task::version) {
            self.fleet.set_version(&id, version);
        }
        let Some(task) = self.fleet.get(&id) else { return };
        if tells_nothing_new(task, &status) {
            return;
        }
        let (kind, known_agent) = (task.record().kind, task.agent().to_owned());
        let (state, reason) = (status.known_state(), status.known_reason());
        let uuid = status.uuid.filter(|uuid| !uuid.is_empty());
        if uuid.is_some() {
            self.fleet.set_pending(&id, uuid.clone());
        }
        let record = StatusRecord {
            report: self.report(&id, status.data.as_deref()),
            task: id,
            kind,
            state,
            reason: reason.map(|reason| reason.as_str_name().to_owned()),
            last: uuid.is_some() && state.is_some_and(TaskState::is_final),
            message: status.message,
        };
        let agent = status.agent_id.map_or(known_agent, |agent| agent.value);
        let update = Update { record: record.clone(), agent, reason, healthy: status.healthy, uuid };
        self.persist(Change::Status(record), OnWritten::Update(Box::new(update)));
    }

    /// A report that cannot be read must not keep its update from being acknowledged.
    fn report(&mut self, task: &str, data: Option<&[u8]>) -> Option<Report> {
        match Report::decode(data.filter(|data| !data.is_empty())?) {
            Ok(report) => Some(report),
            Err(error) => {
                self.notify(UserNotice::BadReport { task: task.to_owned(), why: error.to_string() });
                None
            }
        }
    }

    /// Takes a task in that is not in the records (a lost state folder), to account for it and to end it; whether there
    /// is a task at all.
    fn adopt(&mut self, status: &TaskStatus) -> bool {
        let over = status.known_state().is_none_or(is_over);
        if over && status.uuid.is_none() {
            return false;
        }
        let id = status.task_id.value.clone();
        let agent = status.agent_id.as_ref().map(|agent| agent.value.clone()).unwrap_or_default();
        let record = TaskRecord {
            id: id.clone(),
            kind: kind_of(&id),
            host: agent.clone(),
            agent,
            agent_url: None,
            assignment: None,
            origin: Origin::Found,
            address: None,
            attributes: Attributes::default(),
            state: None,
            closed: false,
            specification: None,
        };
        self.change(Change::Task(record), OnWritten::Nothing);
        if !over {
            self.notify(UserNotice::Unknown { task: id.clone() });
            self.fleet.want_end(&id, self.now);
        }
        // If it has no state that this program knows, nothing may ever be heard of it again.
        self.happen(Happening::Launched { task: id });
        true
    }

    /// The update is on disk: it is acted on and acknowledged.
    pub fn act_on(&mut self, update: Update) {
        let Update { record, agent, reason, healthy, uuid } = update;
        let (task, state, message) = (record.task.clone(), record.state, record.message.clone());
        let Some(known) = self.fleet.get(&task) else { return };
        let change = StateChange { before: known.state(), slot: known.slot() };
        let known_health = known.health();
        if known.pending_uuid() == uuid.as_deref() {
            self.fleet.set_pending(&task, None);
        }
        self.apply(&Change::Status(record));
        match state.filter(|_| !change.before.is_some_and(TaskState::is_final)) {
            Some(state) if is_over(state) && change.before.is_some_and(is_over) => {}
            Some(state) if is_over(state) => {
                self.happen(Happening::Ended(Ended { task: task.clone(), state, reason, message }));
            }
            Some(state) => {
                self.note_peak();
                self.happen(Happening::Alive { task: task.clone(), state, change });
                if let Some(healthy) = healthy.filter(|is| known_health.is_none_or(|was| was.healthy != *is))
                {
                    self.fleet.set_health(&task, healthy, self.now);
                    let (known, why) = (known_health.is_some(), message.unwrap_or_default());
                    self.happen(Happening::Health { task: task.clone(), healthy, known, why });
                }
            }
            None => {}
        }
        self.happen(Happening::Recorded { task, agent, uuid, outlived: false });
    }

    /// An update of a task that ended long ago: what repeats a last update is on disk already; of others it is written
    /// down, and they are killed if they live.
    fn late_update(&mut self, status: &TaskStatus) {
        let task = status.task_id.value.clone();
        let closed = self.history.retired.done.contains_task(&task);
        let late = LateUpdate {
            agent: status.agent_id.as_ref().map(|agent| agent.value.clone()).unwrap_or_default(),
            uuid: status.uuid.clone().filter(|uuid| !uuid.is_empty()),
            alive: !closed && status.known_state().is_some_and(|state| !is_over(state)),
            task,
        };
        if closed || late.uuid.is_none() {
            return self.happen(late.recorded());
        }
        let record = StatusRecord {
            kind: kind_of(&late.task),
            task: late.task.clone(),
            state: status.known_state(),
            reason: status.known_reason().map(|reason| reason.as_str_name().to_owned()),
            last: false,
            message: status.message.clone(),
            report: self.report(&late.task, status.data.as_deref()),
        };
        self.persist(Change::Status(record), OnWritten::LateUpdate(Box::new(late)));
    }

    pub fn message(&mut self, executor: String, data: &[u8]) {
        let heard = Live::decode(data).ok().and_then(|live| self.fleet.hear(&executor, live, self.now));
        match heard {
            Some(first) => self.happen(Happening::Spoke { task: executor, first }),
            // Only for display, and the next one comes soon.
            None => tracing::debug!(executor, "unexpected message"),
        }
    }
}

/// Whether an update is the same once more, which is acknowledged when it is on disk, or an answer to RECONCILE that
/// tells nothing new.
fn tells_nothing_new(task: &Task, status: &TaskStatus) -> bool {
    match status.uuid.as_deref().filter(|uuid| !uuid.is_empty()) {
        Some(uuid) => task.pending_uuid() == Some(uuid),
        None => {
            let known = |healthy| task.health().is_some_and(|health| health.healthy == healthy);
            let as_well = status.healthy.is_none_or(known);
            status.data.is_none() && status.known_state() == task.state() && as_well
        }
    }
}

/// What a task is that is known by its id alone.
fn kind_of(id: &str) -> Kind {
    if id.starts_with("miner-server-") { Kind::Server } else { Kind::Worker }
}
