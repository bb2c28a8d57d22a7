//! What is to be done: effects, and what follows when a change is on disk.

use std::collections::BTreeMap;

use super::updates::{LateUpdate, Update};
use crate::event::Effect;
use crate::journal::{Change, Ticket};

/// What happens when a change is on disk.
#[derive(Debug)]
pub(super) enum OnWritten {
    /// A launch is sent.
    Launch(String),
    /// An update is acted on and acknowledged.
    Update(Box<Update>),
    /// An update of a task that ended long ago is acknowledged.
    LateUpdate(Box<LateUpdate>),
    /// The peak is compared again.
    Peak,
    /// Nothing.
    Nothing,
}

/// Effects in the order in which they were decided, and the changes that are on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    effects: Vec<Effect>,
    last_ticket: Ticket,
    pending: BTreeMap<Ticket, OnWritten>,
    peak_pending: bool,
}

impl Outbox {
    pub fn add(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn persist(&mut self, change: Change, then: OnWritten) {
        self.last_ticket += 1;
        self.peak_pending |= matches!(then, OnWritten::Peak);
        self.pending.insert(self.last_ticket, then);
        self.effects.push(Effect::Persist(self.last_ticket, change));
    }

    /// A change is on disk; what follows.
    pub fn written(&mut self, ticket: Ticket) -> Option<OnWritten> {
        let then = self.pending.remove(&ticket)?;
        self.peak_pending &= !matches!(then, OnWritten::Peak);
        Some(then)
    }

    /// Whether the last peak is still on its way.
    pub fn is_peak_pending(&self) -> bool {
        self.peak_pending
    }

    /// How many changes are on their way.
    pub fn count_unwritten(&self) -> usize {
        self.pending.len()
    }

    /// Nothing follows from what is on its way.
    pub fn forget(&mut self) {
        self.pending.values_mut().for_each(|then| *then = OnWritten::Nothing);
        self.peak_pending = false;
    }
}
