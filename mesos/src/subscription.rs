//! The event stream of a subscription.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::address::{Endpoint, HostPort};
use crate::config::Config;
use crate::detector::{Detector, Leader};
use crate::error::StreamError;
use crate::heartbeat::Watchdog;
use crate::http::{OpenStream, StreamConnection};
use crate::recordio::RecordReader;
use crate::utf8;

/// An event of an event stream.
pub trait StreamEvent: From<Self::Wire> {
    /// The protobuf message of a record.
    type Wire: Message + Default + 'static;

    /// The full name of the protobuf message.
    const NAME: &'static str;

    /// The heartbeat interval until the stream announces one; `None` if there are no heartbeats.
    const FIRST_INTERVAL: Option<Duration>;

    /// `Some` if this event announces the heartbeat interval; `Some(None)` means that no heartbeats follow.
    fn heartbeat_interval(&self) -> Option<Option<Duration>>;
}

/// Records of at least this size are decoded on a blocking thread: decoding the offers of 50,000 agents takes 0.2 s.
const LARGE_RECORD: usize = 1 << 20;

/// A decoded record.
#[derive(Debug)]
struct Decoded<W> {
    length: usize,
    wire: Result<W, prost::DecodeError>,
}

fn decode<E: StreamEvent>(record: &Bytes) -> Decoded<E::Wire> {
    let with_replaced_text = |error| match utf8::replaced(E::NAME, record) {
        Some(replaced) => E::Wire::decode(replaced.as_slice()),
        None => Err(error),
    };
    Decoded { length: record.len(), wire: E::Wire::decode(record.as_ref()).or_else(with_replaced_text) }
}

/// The events of one subscription. Dropping it closes the connection.
#[derive(Debug)]
pub struct Subscription<E: StreamEvent> {
    endpoint: Endpoint,
    stream_id: Option<String>,
    body: Incoming,
    reader: RecordReader,
    /// A large record that is being decoded on a blocking thread.
    decoding: Option<JoinHandle<Decoded<E::Wire>>>,
    watchdog: Watchdog,
    ended: bool,
    _connection: StreamConnection,
    leader: Option<LeaderWatch>,
    /// The client's session. This subscription owns the session, so the session ends when this subscription is dropped.
    _session: Option<Arc<dyn fmt::Debug + Send + Sync>>,
    _event: PhantomData<fn() -> E>,
}

/// Watches for a change of the leader. A frozen master cannot report that it no longer leads.
#[derive(Debug, Clone)]
pub(crate) struct LeaderWatch {
    pub detector: Detector,
    /// The leader that was known before the stream was opened. The stream itself may come from a newer leader, if a master has
    /// redirected the client.
    pub known: Option<Leader>,
}

impl LeaderWatch {
    /// Waits until a leader at another address is known.
    async fn elsewhere_than(mut self, address: &HostPort) -> HostPort {
        loop {
            let leader = self.detector.leader_other_than(self.known.as_ref()).await;
            if leader.address != *address {
                return leader.address;
            }
            self.known = Some(leader);
        }
    }
}

impl<E: StreamEvent> Subscription<E> {
    pub(crate) fn new(opened: OpenStream, config: &Config) -> Self {
        Self {
            endpoint: opened.endpoint,
            stream_id: None,
            body: opened.response.into_body(),
            reader: RecordReader::with_limit(config.record_limit),
            decoding: None,
            watchdog: Watchdog::new(E::FIRST_INTERVAL, config.missed_heartbeats, Instant::now()),
            ended: false,
            leader: None,
            _connection: opened.connection,
            _session: None,
            _event: PhantomData,
        }
    }

    /// Makes the subscription the owner of a client's session.
    pub(crate) fn of_session(self, stream_id: String, session: Arc<dyn fmt::Debug + Send + Sync>) -> Self {
        Self { stream_id: Some(stream_id), _session: Some(session), ..self }
    }

    /// Ends the stream as soon as another master leads.
    pub(crate) fn until_leader_changes(self, leader: LeaderWatch) -> Self {
        Self { leader: Some(leader), ..self }
    }

    /// The peer that sends the events: the leading master, after all redirects, or the agent.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The id of this subscription, which calls carry; `None` for executors.
    pub fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
    }

    /// The next event; `None` when the peer has ended the stream properly, with a last chunk.
    ///
    /// The future is cancel-safe: bytes that have arrived are kept for the next call.
    ///
    /// # Errors
    /// When the stream breaks, is silent for too long, is malformed, or when ZooKeeper names another leader. The remedy
    /// is to subscribe again.
    pub async fn next(&mut self) -> Result<Option<E>, StreamError> {
        loop {
            if let Some(decoding) = &mut self.decoding {
                let decoded = decoding.await;
                self.decoding = None;
                // The task is never aborted, so an error means a panic.
                let decoded = decoded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                return self.event(decoded).map(Some);
            }
            match self.reader.next() {
                Ok(Some(record)) if record.len() >= LARGE_RECORD => {
                    self.decoding = Some(tokio::task::spawn_blocking(move || decode::<E>(&record)));
                }
                Ok(Some(record)) => return self.event(decode::<E>(&record)).map(Some),
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => self.fill_unless_leader_changes().await?,
                Err(source) => return Err(StreamError::Record { endpoint: self.endpoint.clone(), source }),
            }
        }
    }

    fn event(&mut self, decoded: Decoded<E::Wire>) -> Result<E, StreamError> {
        let Decoded { length, wire } = decoded;
        let endpoint = || self.endpoint.clone();
        let wire = wire.map_err(|source| StreamError::Event { endpoint: endpoint(), length, source })?;
        let event = E::from(wire);
        if let Some(interval) = event.heartbeat_interval() {
            self.watchdog.set_interval(interval);
        }
        Ok(event)
    }

    /// Waits for more bytes, or for a change of the leader. Bytes that have already arrived take precedence.
    async fn fill_unless_leader_changes(&mut self) -> Result<(), StreamError> {
        let Some(leader) = self.leader.clone() else { return self.fill().await };
        let endpoint = self.endpoint.clone();
        tokio::select! {
            biased;
            filled = self.fill() => filled,
            leader = leader.elsewhere_than(&endpoint.address) => {
                Err(StreamError::LeaderChanged { endpoint: endpoint.clone(), leader })
            }
        }
    }

    /// Waits for more bytes, or for the end of the stream.
    async fn fill(&mut self) -> Result<(), StreamError> {
        let frame = loop {
            let Some(deadline) = self.watchdog.next_deadline() else { break self.body.frame().await };
            match timeout_at(deadline, self.body.frame()).await {
                Ok(frame) => break frame,
                Err(_) if self.watchdog.begin_last_look(Instant::now()) => {}
                Err(_) => {
                    let silence = self.watchdog.limit().unwrap_or_default();
                    return Err(StreamError::Silent { endpoint: self.endpoint.clone(), silence });
                }
            }
        };
        self.watchdog.on_bytes(Instant::now());
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.reader.push(data);
                }
                Ok(())
            }
            Some(Err(source)) => Err(StreamError::Broken { endpoint: self.endpoint.clone(), source }),
            None => {
                self.ended = true;
                let finished = self.reader.finish();
                finished.map_err(|source| StreamError::Record { endpoint: self.endpoint.clone(), source })
            }
        }
    }
}
