//! Requests that wait for their answers, and event streams.

use super::message::{Message, Party, Pending};
use crate::http::wire::{Named, Wire};
use crate::http::{Frames, Reply};
use crate::link::{Answer, RequestId};
use bytes::Bytes;
use std::collections::HashMap;
use tokio::sync::mpsc;
use tracing::warn;

/// A peer that leaves more events than this unread loses its stream.
const MAX_UNREAD: usize = 10_000;

/// Requests that wait, and event streams.
pub(super) struct Streams {
    next: RequestId,
    waiting: HashMap<RequestId, (Party, Pending)>,
    open: HashMap<RequestId, Stream>,
    sender: mpsc::WeakUnboundedSender<Message>,
    /// Every UPDATE goes out twice.
    pub duplicate_updates: bool,
}

struct Stream {
    party: Party,
    wire: Wire,
    frames: mpsc::Sender<Bytes>,
}

impl Streams {
    pub fn new(sender: mpsc::WeakUnboundedSender<Message>) -> Self {
        let (waiting, open) = (HashMap::new(), HashMap::new());
        Self { next: 0, waiting, open, sender, duplicate_updates: false }
    }

    /// A request has come.
    pub fn open(&mut self, party: Party, pending: Pending) -> RequestId {
        self.next += 1;
        self.waiting.insert(self.next, (party, pending));
        self.next
    }

    pub fn answer(&mut self, request: RequestId, answer: Answer) {
        let Some((party, pending)) = self.waiting.remove(&request) else { return };
        let reply = match answer {
            Answer::Accepted => Reply::empty(202),
            Answer::Done => Reply::empty(200),
            Answer::Refused(status, message) => Reply::text(status, message),
            Answer::Stream(id) => {
                let (frames, receiver) = mpsc::channel(MAX_UNREAD);
                let wire = pending.wire;
                self.open.insert(request, Stream { party, wire, frames });
                let sender = self.sender.clone();
                let on_end = move || {
                    if let Some(sender) = sender.upgrade() {
                        // Without a core nobody needs to know.
                        let _ = sender.send(Message::Closed(party, request));
                    }
                };
                let frames = Frames { receiver, on_end: Some(Box::new(on_end)) };
                Reply::stream(wire.content_type(), id, frames)
            }
        };
        // An error means that the peer has gone; its stream, if any, has told so by now.
        let _ = pending.reply.send(reply);
    }

    pub fn send<T: Named>(&mut self, stream: RequestId, event: &T) {
        let Some(open) = self.open.get(&stream) else { return };
        let record = mesos::recordio::encode(&open.wire.encode(event));
        if let Err(error) = open.frames.try_send(Bytes::from(record)) {
            warn!(%error, "an event stream is given up");
            self.open.remove(&stream);
        }
    }

    /// Ends a stream.
    pub fn close(&mut self, stream: RequestId) {
        self.open.remove(&stream);
        self.waiting.remove(&stream);
    }

    /// Forgets everything of a party, as its death does.
    pub fn forget(&mut self, party: Party) {
        self.open.retain(|_, stream| stream.party != party);
        self.waiting.retain(|_, (owner, _)| *owner != party);
    }

    /// Ends all streams.
    pub fn clear(&mut self) {
        self.open.clear();
        self.waiting.clear();
    }
}
