//! Requests that wait for their answers, and event streams.

use super::message::{Member, Message, Pending};
use crate::encoding::{Encoding, NamedMessage};
use crate::http::{StreamBody, empty, stream, text};
use crate::messages::{Answer, RequestId};
use bytes::Bytes;
use std::collections::HashMap;
use tokio::sync::mpsc;
use tracing::warn;

/// Maximum number of events that an event stream stores for a slow peer. One more event closes the stream.
const MAX_UNREAD: usize = 10_000;

/// Requests that wait for their answers, and open event streams.
pub(super) struct Streams {
    last: RequestId,
    waiting: HashMap<RequestId, (Member, Pending)>,
    open: HashMap<RequestId, (Encoding, mpsc::Sender<Bytes>)>,
    sender: mpsc::WeakUnboundedSender<Message>,
}

impl Streams {
    pub fn new(sender: mpsc::WeakUnboundedSender<Message>) -> Self {
        Self { last: 0, waiting: HashMap::new(), open: HashMap::new(), sender }
    }

    /// Adds a request to `member`.
    pub fn open(&mut self, member: Member, pending: Pending) -> RequestId {
        self.last += 1;
        self.waiting.insert(self.last, (member, pending));
        self.last
    }

    /// Answers a request.
    pub fn answer(&mut self, request: RequestId, answer: Answer) {
        let Some((member, pending)) = self.waiting.remove(&request) else { return };
        let reply = match answer {
            Answer::Accepted => empty(202),
            Answer::Refused(status, message) => text(status, message),
            Answer::Stream(stream_id) => {
                let (frames, receiver) = mpsc::channel(MAX_UNREAD);
                self.open.insert(request, (pending.encoding, frames));
                let sender = self.sender.clone();
                let on_end = move || {
                    if let Some(sender) = sender.upgrade() {
                        // The send fails if the cluster has ended.
                        let _ = sender.send(Message::Closed(member, request));
                    }
                };
                let frames = StreamBody { receiver, on_end: Some(Box::new(on_end)) };
                stream(pending.encoding.content_type(), stream_id, frames)
            }
        };
        // If the peer has disconnected, the reply is dropped, and an event stream in the reply ends with it.
        let _ = pending.reply.send(reply);
    }

    /// Sends an event.
    pub fn send<T: NamedMessage>(&mut self, stream: RequestId, event: &T) {
        let Some((encoding, frames)) = self.open.get(&stream) else { return };
        let record = mesos::recordio::encode(&encoding.encode(event));
        if let Err(error) = frames.try_send(Bytes::from(record)) {
            warn!(%error, "an event stream is closed: its peer does not read it");
            self.open.remove(&stream);
        }
    }

    /// Ends a stream.
    pub fn close(&mut self, stream: RequestId) {
        self.open.remove(&stream);
    }
}
