//! Collects the effects of the state machine, such as calls to send and changes to store. Remembers which action follows when a
//! change is on disk.

use std::collections::BTreeMap;

use mesos::v1::task_status;

use crate::event::Effect;
use crate::journal::{Change, ChangeId, RecordedCommand, StatusRecord};
use crate::policy::PolicyEvent;

/// The action that follows when a change is on disk.
#[derive(Debug)]
pub(super) enum OnPersisted {
    /// The launch of this task can be sent.
    Launch(String),
    /// The update is applied, and then acknowledged.
    Update(Box<StatusUpdate>),
    /// The command is applied, and answered.
    Command(Box<RecordedCommand>),
    /// Policies get an event.
    Raise(Box<PolicyEvent>),
    /// The number of running workers may have reached a higher peak while this peak was written. If so, the higher peak is
    /// persisted.
    Peak,
    /// No action follows.
    Nothing,
}

/// A status update that is not on disk yet.
#[derive(Debug)]
pub(super) struct StatusUpdate {
    pub record: StatusRecord,
    pub agent: String,
    pub reason: Option<task_status::Reason>,
    pub healthy: Option<bool>,
    /// The uuid for ACKNOWLEDGE; `None` if the update is not to be acknowledged.
    pub uuid: Option<Vec<u8>>,
}

/// The effects in the order in which they were decided, and the changes that are not on disk yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    effects: Vec<Effect>,
    last_ticket: ChangeId,
    pending: BTreeMap<ChangeId, OnPersisted>,
    peak_pending: bool,
    finished: bool,
}

impl Outbox {
    pub fn add(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Adds [`Effect::Finish`], after which no effect follows.
    pub fn finish(&mut self) {
        self.finished = true;
        self.add(Effect::Finish);
    }

    /// Whether [`Effect::Finish`] was added.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn persist(&mut self, change: Change, then: OnPersisted) {
        self.last_ticket += 1;
        self.peak_pending |= matches!(then, OnPersisted::Peak);
        self.pending.insert(self.last_ticket, then);
        self.effects.push(Effect::Persist(self.last_ticket, change));
    }

    /// Removes and returns the action that follows a change, which is on disk now.
    pub fn persisted(&mut self, change_id: ChangeId) -> OnPersisted {
        let then = self.pending.remove(&change_id).unwrap_or(OnPersisted::Nothing);
        self.peak_pending &= !matches!(then, OnPersisted::Peak);
        then
    }

    /// Whether the last [`OnPersisted::Peak`] is not on disk yet.
    pub fn is_peak_pending(&self) -> bool {
        self.peak_pending
    }

    /// The number of changes that are not on disk yet.
    pub fn count_unpersisted(&self) -> usize {
        self.pending.len()
    }

    /// Cancels the actions that would follow the pending changes, because the tasks are gone. Commands of operators hold all the
    /// same.
    pub fn cancel_pending(&mut self) {
        let of_tasks = self.pending.values_mut().filter(|then| !matches!(then, OnPersisted::Command(_)));
        of_tasks.for_each(|then| *then = OnPersisted::Nothing);
        self.peak_pending = false;
    }
}
