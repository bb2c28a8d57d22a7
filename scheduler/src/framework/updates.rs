//! Status updates: recorded, then acted on, then acknowledged.

use std::collections::BTreeMap;
use std::time::Instant;

use ::task::Report;
use mesos::v1::{TaskState, TaskStatus, task_status};

use super::ending::Ending;
use super::task::{Phase, Task, is_over};
use super::{ADOPTED, Call, Pending, State, UserNotice};
use crate::kind::Kind;
use crate::launch::Delivery;
use crate::record::{Change, StatusRecord, TaskRecord};

/// An update on its way to the disk.
#[derive(Debug)]
pub(super) struct Update {
    task: String,
    agent: String,
    state: Option<TaskState>,
    reason: Option<task_status::Reason>,
    message: Option<String>,
    report: Option<Report>,
    healthy: Option<bool>,
    uuid: Option<Vec<u8>>,
}

impl State {
    pub(super) fn update(&mut self, status: TaskStatus, now: Instant) {
        let id = status.task_id.value.clone();
        self.reconciler.answered(&id);
        if !self.tasks.contains_key(&id) && self.past.contains(&id) {
            return self.late_update(&status);
        }
        if !self.tasks.contains_key(&id) && !self.adopt(&status, now) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let (state, reason, healthy) = (status.known_state(), status.known_reason(), status.healthy);
        let uuid = status.uuid.filter(|uuid| !uuid.is_empty());
        if uuid.is_some() && uuid == task.pending_uuid {
            return; // the same once more: it is acknowledged when it is on disk
        }
        let as_well = healthy.is_none_or(|healthy| task.health.is_some_and(|(was, _)| was == healthy));
        if uuid.is_none() && status.data.is_none() && state == task.state && as_well {
            return; // an answer to RECONCILE that tells nothing new
        }
        let agent = status.agent_id.map_or_else(|| task.record.agent.clone(), |agent| agent.value);
        let kind = task.record.kind;
        if uuid.is_some() {
            task.pending_uuid.clone_from(&uuid);
        }
        if let Some(version) = status.data.as_deref().and_then(::task::version) {
            task.version = Some(version);
        }
        let report = self.report(&id, status.data.as_deref());
        let record = StatusRecord {
            task: id.clone(),
            kind,
            state: state.map(|state| state.as_str_name().to_owned()),
            reason: reason.map(|reason| reason.as_str_name().to_owned()),
            last: uuid.is_some() && state.is_some_and(TaskState::is_final),
            message: status.message.clone(),
            report: report.clone(),
        };
        let update =
            Update { task: id, agent, state, reason, message: status.message, report, healthy, uuid };
        self.persist(Change::Status(record), Pending::Update(Box::new(update)));
    }

    /// A report that can't be read must not keep its update from being acknowledged.
    pub(super) fn report(&mut self, task: &str, data: Option<&[u8]>) -> Option<Report> {
        match Report::decode(data.filter(|data| !data.is_empty())?) {
            Ok(report) => Some(report),
            Err(error) => {
                self.publish(UserNotice::BadReport { task: task.to_owned(), why: error.to_string() });
                None
            }
        }
    }

    /// Takes a task in that is not in the books (a lost state folder), to account for it and to end it; whether
    /// there is a task at all.
    fn adopt(&mut self, status: &TaskStatus, now: Instant) -> bool {
        let over = status.known_state().is_none_or(is_over);
        if over && status.uuid.is_none() {
            return false;
        }
        let id = status.task_id.value.clone();
        let number = id.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0);
        self.next_number = self.next_number.max(number.saturating_add(1));
        let server = id.starts_with("miner-server-");
        let agent = status.agent_id.as_ref().map(|agent| agent.value.clone()).unwrap_or_default();
        let record = TaskRecord {
            id: id.clone(),
            kind: if server { Kind::Server } else { Kind::Worker },
            host: agent.clone(),
            agent,
            server: None,
            cpus_milli: ADOPTED,
            address: None,
            attributes: BTreeMap::new(),
            state: None,
            closed: false,
        };
        if !over {
            self.publish(UserNotice::Unknown { task: id.clone() });
        }
        self.tasks.insert(id.clone(), Task::new(record.clone(), Phase::Sent(now), now));
        self.persist(Change::Task(record), Pending::Nothing);
        if !over {
            self.want_kill(&id, now);
        }
        true
    }

    /// The update is on disk: acts on it and acknowledges it.
    pub(super) fn apply(&mut self, update: Update, now: Instant) {
        let Some(task) = self.tasks.get_mut(&update.task) else { return };
        if let Some(report) = &update.report {
            self.ledger.record(&update.task, task.record.kind, report);
            if let (Kind::Server, Some(address)) = (task.record.kind, &report.server) {
                task.record.address = Some(address.clone());
            }
        }
        if task.pending_uuid == update.uuid {
            task.pending_uuid = None;
        }
        task.record.closed |= update.uuid.is_some() && update.state.is_some_and(TaskState::is_final);
        let before = task.state;
        if let Some(state) = update.state
            && !before.is_some_and(TaskState::is_final)
        {
            if before != Some(state) {
                task.state = Some(state);
                task.since = now;
            }
            if is_over(state) {
                if !before.is_some_and(is_over) {
                    self.ended(&update, state, now);
                }
            } else {
                self.alive(&update.task, before, state, now);
                self.note_health(&update, now);
            }
        }
        if let Some(uuid) = update.uuid {
            self.call(Call::Acknowledge { task: update.task, agent: update.agent, uuid });
        }
    }

    fn note_health(&mut self, update: &Update, now: Instant) {
        let Some(task) = self.tasks.get_mut(&update.task) else { return };
        let before = task.health;
        let Some(healthy) = update.healthy.filter(|healthy| before.is_none_or(|(was, _)| was != *healthy))
        else {
            return;
        };
        task.health = Some((healthy, now));
        // That a task is well is no news unless it was not.
        if !healthy || before.is_some() {
            let why = update.message.clone().unwrap_or_default();
            self.publish(UserNotice::Health { task: update.task.clone(), healthy, why });
        }
    }

    fn alive(&mut self, id: &str, before: Option<TaskState>, state: TaskState, now: Instant) {
        let Some(task) = self.tasks.get(id) else { return };
        let wanted = task.kill.is_none() && self.belongs(task);
        let missed = task.missed || task.unsure;
        let gone = missed && state != TaskState::TaskUnreachable || before.is_some_and(is_over);
        let wanted = wanted && (!gone || self.has_place_again(id));
        let Some(task) = self.tasks.get_mut(id) else { return };
        let (host, address) = (task.record.host.clone(), task.record.address.clone());
        let running = state == TaskState::TaskRunning && before != Some(state);
        if running {
            task.running_since.get_or_insert(now);
            self.count_workers();
        }
        let task = id.to_owned();
        if state == TaskState::TaskUnreachable && before != Some(state) {
            self.publish(UserNotice::Unreachable { task, host });
        } else if running && wanted {
            self.publish(match address {
                Some(address) => UserNotice::ServerUp { task, address },
                None => UserNotice::Mining { task, host },
            });
        }
        if wanted {
            return;
        }
        self.want_kill(id, now);
        let returned = before.is_some_and(|before| is_over(before) || before == TaskState::TaskUnreachable);
        if returned && let Some(task) = self.tasks.get_mut(id) {
            task.kill_at_once(now);
            self.kill_now = true;
        }
    }

    /// Whether what was gone still has its place; says so if not.
    fn has_place_again(&mut self, id: &str) -> bool {
        let free = self.takes_place_again(id);
        if !free {
            let why = "others have taken its place";
            self.publish(UserNotice::GivenUp { task: id.to_owned(), why });
        }
        free
    }

    /// Keeps the most workers that mined at once.
    fn count_workers(&mut self) {
        let mining = self.tasks.values().filter(|task| task.is_worker() && task.is_running()).count() as u64;
        if mining > self.peak {
            self.peak = mining;
            self.persist(Change::Peak(mining), Pending::Nothing);
        }
    }

    fn ended(&mut self, update: &Update, state: TaskState, now: Instant) {
        self.killing.remove(&update.task);
        let Some(task) = self.tasks.get(&update.task) else { return };
        let asked_for = task.kill.is_some();
        // What ran and finished has made all its updates, and a fresh one is to take its place. Somebody else's program
        // makes none: it has given up, and may well do so again at once.
        let ours = self.settings.template.programs.is_ours(task.record.kind);
        let renewed = state == TaskState::TaskFinished && task.running_since.is_some() && ours;
        let host = task.record.host.clone();
        let why = format!("{}{}", why(update), self.advice(update));
        self.publish(UserNotice::Ended {
            task: update.task.clone(),
            host,
            state: state.as_str_name().to_owned(),
            why: why.clone(),
        });
        self.workers_changed();
        if !asked_for && !renewed && is_failure(state, update.reason) {
            self.agent_failed(&update.task, &format!("{}{why}", state.as_str_name()), now);
        }
        if self.server.as_deref() == Some(update.task.as_str()) {
            self.lose_server(now);
        }
    }

    /// What to look at where the agent got no executor: by far the most likely reason is that it can't reach us.
    fn advice(&self, update: &Update) -> String {
        let launch = update.reason == Some(task_status::Reason::ContainerLaunchFailed);
        let fetch = update.message.as_ref().is_some_and(|message| message.contains("fetch"));
        match &self.settings.template.delivery {
            Delivery::Fetch { uri, .. } if launch && fetch => {
                format!("; does this agent reach {uri}? (--artifact-address, --executor-uri)")
            }
            _ => String::new(),
        }
    }

    /// The server is gone, whatever the reason: its workers would be talking to a dead server, unless they stay for the
    /// next one.
    pub(super) fn lose_server(&mut self, now: Instant) {
        let Some(server) = self.server.take() else { return };
        if self.repoints() {
            let (workers, kept) = (self.keep_workers(&server, now), true);
            if self.ending == Ending::No {
                self.publish(UserNotice::ServerLost { task: server, workers, kept });
            }
            return;
        }
        let workers: Vec<String> = self
            .tasks
            .values()
            .filter(|task| task.record.server.as_ref() == Some(&server) && !task.is_over())
            .map(|task| task.record.id.clone())
            .collect();
        if self.ending == Ending::No {
            self.publish(UserNotice::ServerLost { task: server, workers: workers.len(), kept: false });
        }
        for id in workers {
            self.want_kill(&id, now);
        }
    }
}

/// Whether the agent is to blame, so that the next try there should wait.
fn is_failure(state: TaskState, reason: Option<task_status::Reason>) -> bool {
    use TaskState::*;
    use task_status::Reason;
    // Mesos has taken revocable CPU back, as it may at any time; or an operator empties the agent.
    if matches!(reason, Some(Reason::ContainerPreempted | Reason::AgentDraining)) {
        return false;
    }
    match state {
        TaskFailed | TaskError | TaskFinished | TaskKilled => true,
        // A race with another offer or rescission, not the agent's fault.
        TaskDropped => reason != Some(task_status::Reason::InvalidOffers),
        _ => false,
    }
}

/// Reason and message, for people.
fn why(update: &Update) -> String {
    let reason = update.reason.map(|reason| format!(" ({})", reason.as_str_name())).unwrap_or_default();
    let message = update.message.as_deref().filter(|message| !message.is_empty());
    format!("{reason}{}", message.map(|message| format!(": {message}")).unwrap_or_default())
}
