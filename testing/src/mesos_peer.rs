//! A Mesos master or agent that a test controls: the peer accepts every call, passes the call to the test, and sends the events
//! that the test chooses.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use mesos::{executor, recordio, scheduler, v1};
use prost::Message;
use tokio::sync::{Mutex, mpsc};

use crate::http_peer::{HttpPeer, Reply};
use crate::in_time;

/// A master, for tests of schedulers.
pub type TestMaster = MesosPeer<v1::scheduler::Call>;
/// An agent, for tests of executors.
pub type TestAgent = MesosPeer<v1::executor::Call>;

/// A call of one of the two APIs, the scheduler's or the executor's.
pub trait Call: Message + Default + 'static {
    /// The enum that tells the calls of this API apart, such as SUBSCRIBE.
    type Type: Copy + Debug + PartialEq;
    /// The events of this API.
    type Event;

    /// The header line that this API adds to the response to SUBSCRIBE; may be empty.
    const STREAM_HEADER: &'static str;

    /// The type of this call.
    fn call_type(&self) -> Self::Type;
    /// Whether this is SUBSCRIBE.
    fn is_subscribe(&self) -> bool;
    /// The protobuf bytes of an event.
    fn encode_event(event: Self::Event) -> Vec<u8>;
}

impl Call for v1::scheduler::Call {
    type Type = v1::scheduler::call::Type;
    type Event = scheduler::Event;

    const STREAM_HEADER: &'static str = "Mesos-Stream-Id: s-1\r\n";

    fn call_type(&self) -> Self::Type {
        self.r#type()
    }

    fn is_subscribe(&self) -> bool {
        self.r#type() == Self::Type::Subscribe
    }

    fn encode_event(event: scheduler::Event) -> Vec<u8> {
        v1::scheduler::Event::from(event).encode_to_vec()
    }
}

impl Call for v1::executor::Call {
    type Type = v1::executor::call::Type;
    type Event = executor::Event;

    const STREAM_HEADER: &'static str = "";

    fn call_type(&self) -> Self::Type {
        self.r#type()
    }

    fn is_subscribe(&self) -> bool {
        self.r#type() == Self::Type::Subscribe
    }

    fn encode_event(event: executor::Event) -> Vec<u8> {
        v1::executor::Event::from(event).encode_to_vec()
    }
}

/// The head of an event stream as Mesos sends it.
pub fn stream_head<C: Call>() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-protobuf\r\n";
    format!("{head}{}\r\n", C::STREAM_HEADER).into_bytes()
}

/// Events as one chunk of a stream.
pub fn chunk<C: Call>(events: impl IntoIterator<Item = C::Event>) -> Vec<u8> {
    let records = events.into_iter().flat_map(|event| recordio::encode(&C::encode_event(event)));
    let records: Vec<u8> = records.collect();
    [format!("{:x}\r\n", records.len()).as_bytes(), &records, b"\r\n"].concat()
}

/// A master or agent on a port of its own.
#[derive(Debug)]
pub struct MesosPeer<C: Call> {
    calls: mpsc::UnboundedReceiver<(C, Option<EventSender<C>>)>,
    peer: HttpPeer,
}

impl<C: Call> MesosPeer<C> {
    /// A peer that accepts every call.
    pub async fn start() -> Self {
        Self::refusing(|_| None).await
    }

    /// A peer that refuses the calls for which `refusal` returns an HTTP status, such as `503 Service Unavailable`. All other
    /// calls are accepted, and SUBSCRIBE always is.
    pub async fn refusing(
        refusal: impl Fn(C::Type) -> Option<&'static str> + Clone + Send + 'static,
    ) -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let peer = HttpPeer::start(move |request| {
            let call = C::decode(&*request.body).expect("a call");
            let (events, reply) = if call.is_subscribe() {
                let (bytes, stream) = mpsc::unbounded_channel();
                bytes.send(stream_head::<C>()).expect("the receiver is there");
                (Some(EventSender { bytes, _call: PhantomData }), Reply::Stream(Arc::new(Mutex::new(stream))))
            } else {
                let status = refusal(call.call_type()).unwrap_or("202 Accepted");
                let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                (None, Reply::Bytes(response.into_bytes()))
            };
            // The send fails only if the test has ended.
            let _ = sender.send((call, events));
            reply
        });
        Self { calls, peer: peer.await }
    }

    /// The address that the peer listens on.
    pub fn address(&self) -> SocketAddr {
        self.peer.address
    }

    /// Stops accepting connections, like a process that has died. Event streams end when their senders are dropped.
    pub fn stop_listening(&self) {
        self.peer.stop_listening();
    }

    /// The next call; for SUBSCRIBE also the sender of its events.
    pub async fn next_call(&mut self) -> (C, Option<EventSender<C>>) {
        in_time("a call", self.calls.recv()).await.expect("the peer runs")
    }

    /// The next call of this type. Other calls are skipped.
    pub async fn call_of(&mut self, wanted: C::Type) -> C {
        loop {
            let next = in_time(&format!("{wanted:?}"), self.calls.recv()).await;
            let (call, _events) = next.expect("the peer runs");
            if call.call_type() == wanted {
                return call;
            }
        }
    }

    /// The next SUBSCRIBE and the sender of its events. Other calls are skipped.
    pub async fn subscription(&mut self) -> (C, EventSender<C>) {
        loop {
            if let (call, Some(events)) = self.next_call().await {
                return (call, events);
            }
        }
    }
}

/// Sends the events of one subscription. Dropping the sender ends the event stream.
#[derive(Debug)]
pub struct EventSender<C> {
    bytes: mpsc::UnboundedSender<Vec<u8>>,
    _call: PhantomData<C>,
}

impl<C: Call> EventSender<C> {
    /// Sends an event.
    ///
    /// # Panics
    /// When the client has closed the connection.
    pub fn send(&self, event: C::Event) {
        self.bytes.send(chunk::<C>([event])).expect("the client reads its events");
    }
}
