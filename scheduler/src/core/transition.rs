//! One transition of the state: the data that events and intents may read and change, and the methods that change it.

use std::collections::VecDeque;
use std::time::Instant;

use mesos::v1::TaskState;

use super::outbox::{OnPersisted, Outbox};
use crate::event::{Call, Effect};
use crate::fleet::Fleet;
use crate::history::{History, InMemoryRecords};
use crate::journal::{self, Change, StatusRecord};
use crate::policy::PolicyEvent;
use crate::run_state::RunState;
use crate::settings::Settings;
use crate::specification::Fingerprints;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// The parts of the state that an event or an intent may change.
pub(super) struct Transition<'a> {
    pub settings: &'a Settings,
    pub fingerprints: &'a Fingerprints,
    pub run: &'a mut RunState,
    pub fleet: &'a mut Fleet,
    pub history: &'a mut History,
    pub outbox: &'a mut Outbox,
    /// The events for the policies, oldest first.
    pub policy_events: VecDeque<PolicyEvent>,
    pub now: Instant,
}

impl Transition<'_> {
    /// Persists a change that is applied only when it is on disk.
    pub fn persist(&mut self, change: Change, then: OnPersisted) {
        self.outbox.persist(change, then);
    }

    /// Applies a change in memory immediately, and persists it.
    pub fn change(&mut self, change: Change, then: OnPersisted) {
        self.apply(&change);
        self.persist(change, then);
    }

    /// Applies a change in memory.
    pub fn apply(&mut self, change: &Change) {
        let mut records = InMemoryRecords { fleet: self.fleet, history: self.history, now: self.now };
        // The wall-clock time is 0, because the records in memory do not store it.
        let Ok(()) = journal::apply(&mut records, change, 0);
    }

    /// Calls the master. Without a subscription, the call is dropped: it would have no effect, and after the next subscription
    /// the policies decide again which calls are needed.
    pub fn call(&mut self, call: Call) {
        if self.run.connected {
            self.outbox.add(Effect::Call(call));
        }
    }

    pub fn notify(&mut self, notice: UserNotice) {
        self.outbox.add(Effect::Notify(notice));
    }

    pub fn raise(&mut self, event: PolicyEvent) {
        self.policy_events.push_back(event);
    }

    /// Updates the peak number of running workers. A new peak is persisted when the previous one is on disk.
    pub fn update_peak(&mut self) {
        let running = self.fleet.count_running_workers() as u64;
        let peak = self.history.peak_workers.max(running);
        if peak > self.history.persisted_peak && !self.outbox.is_peak_pending() {
            self.history.persisted_peak = peak;
            self.persist(Change::Peak(peak), OnPersisted::Peak);
        }
        self.history.peak_workers = peak;
    }

    /// The ids and kinds of all tasks that may be running.
    pub fn live_tasks(&self) -> Vec<(String, TaskKind)> {
        let live = self.fleet.active().filter(|task| task.may_live());
        live.map(|task| (task.id().to_owned(), task.record.kind)).collect()
    }
}

/// The record of the end of a task that did not report its end itself.
pub(super) fn end_without_report(task: String, kind: TaskKind, state: TaskState, why: &str) -> StatusRecord {
    StatusRecord { message: Some(why.to_owned()), ..StatusRecord::new(task, kind, Some(state)) }
}
