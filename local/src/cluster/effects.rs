//! Carries out what master and agents want: answers, events, processes.

use super::core::{Core, Input, Message, Party, Pending};
use crate::agent::{self, Effect as AgentEffect, Start};
use crate::container;
use crate::http::wire::{Named, Wire};
use crate::http::{Frames, Reply};
use crate::link::{Answer, RequestId, ToMaster};
use crate::master::{self, Effect as MasterEffect};
use bytes::Bytes;
use mesos::v1::scheduler;
use std::collections::HashMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
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

    fn answer(&mut self, request: RequestId, answer: Answer) {
        let Some((party, pending)) = self.waiting.remove(&request) else { return };
        let reply = match answer {
            Answer::Accepted => Reply::accepted(),
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

    fn send<T: Named>(&mut self, stream: RequestId, event: &T) {
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

impl Core {
    pub(super) fn on_master_effect(&mut self, effect: MasterEffect) {
        match effect {
            MasterEffect::Answer(request, answer) => self.streams.answer(request, answer),
            MasterEffect::Event(stream, event) => {
                self.streams.send(stream, &*event);
                let update = event.r#type() == scheduler::event::Type::Update;
                if update && self.streams.duplicate_updates {
                    self.streams.send(stream, &*event);
                }
            }
            MasterEffect::Close(stream) => self.streams.close(stream),
            MasterEffect::Agent(place, message) => {
                self.queue.push_back(Input::Agent(place, agent::Input::Master(message)));
            }
        }
    }

    /// An agent that has left only ends its executors: the master does not hear of it.
    pub(super) fn on_agent_effect(&mut self, place: usize, effect: AgentEffect, left: bool) {
        match effect {
            AgentEffect::Master(message) => {
                if !left || matches!(message, ToMaster::Unregister) {
                    self.queue.push_back(Input::Master(master::Input::Agent(place, message)));
                }
            }
            AgentEffect::Answer(request, answer) => self.streams.answer(request, answer),
            AgentEffect::Event(stream, event) => self.streams.send(stream, &*event),
            AgentEffect::Close(stream) => self.streams.close(stream),
            AgentEffect::Start(start) => self.start(place, *start),
            AgentEffect::Kill(container) => {
                if let Some(kill) = self.containers.get(&container) {
                    kill.cancel();
                }
            }
        }
    }

    fn start(&mut self, place: usize, start: Start) {
        let Some(cache) = self.places.get(place).map(|place| place.cache.clone()) else { return };
        let kill = CancellationToken::new();
        let container = start.container;
        self.containers.insert(container, kill.clone());
        let sender = self.sender.clone();
        let report = move |event: container::Event| {
            if let Some(sender) = sender.upgrade() {
                // Without a core nobody needs to know.
                let _ = sender.send(Message::Container { place, container, event });
            }
        };
        self.running.spawn(container::run(start, cache, kill, report));
    }
}
