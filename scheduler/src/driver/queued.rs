//! The effects of some events that others carry out: other threads, and the queue of calls.

use super::call_queue::CallQueue;
use crate::event::Call;
use crate::journal::{Change, ChangeId};

/// Effects that are handed over. Changes and lines wait until all events are handled.
#[derive(Default)]
pub(super) struct Queued<'a> {
    pub changes: Vec<(ChangeId, Change)>,
    pub lines: Vec<(logging::Level, String)>,
    /// The calls of the present subscription, if there is one.
    pub calls: Option<&'a mut CallQueue>,
}

impl Queued<'_> {
    /// Queues a call. Without a subscription, it is dropped.
    pub fn call(&mut self, call: Call) {
        if let Some(calls) = &mut self.calls {
            calls.send(call);
        }
    }
}
