//! A stream of events.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::address::{Endpoint, HostPort};
use crate::detector::{Detector, Leader};
use crate::error::StreamError;
use crate::heartbeat::Watchdog;
use crate::http::{Config, Connection, Opened};
use crate::recordio::RecordReader;
use crate::utf8;

/// What can be read from a stream.
pub trait StreamEvent: From<Self::Wire> {
    /// The message that stands in a record.
    type Wire: Message + Default + 'static;

    /// The full name of that message.
    const NAME: &'static str;

    /// How often something is expected before the stream itself says so; `None`: never.
    const FIRST_INTERVAL: Option<Duration>;

    /// `Some` if this event says how often something is expected from now on (inner `None`: never).
    fn heartbeat_interval(&self) -> Option<Option<Duration>>;
}

/// Records of this size are read on a thread of their own: the offers of 50,000 agents take a fifth of a second.
const LARGE: usize = 1 << 20;

/// What has been read of a record.
struct Decoded<W> {
    length: usize,
    wire: Result<W, prost::DecodeError>,
}

/// A large record that is being read.
struct Decoding<W>(JoinHandle<Decoded<W>>);

impl<W: Send + 'static> Decoding<W> {
    fn start<E: StreamEvent<Wire = W>>(record: Bytes) -> Self {
        Self(tokio::task::spawn_blocking(move || Decoded {
            length: record.len(),
            wire: decode::<E>(&record),
        }))
    }

    /// Waits for the end. Cancelling loses nothing; not to be called again after it.
    async fn finish(&mut self) -> Decoded<W> {
        match (&mut self.0).await {
            Ok(decoded) => decoded,
            // It is never aborted.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl<W> std::fmt::Debug for Decoding<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoding")
    }
}

fn decode<E: StreamEvent>(record: &Bytes) -> Result<E::Wire, prost::DecodeError> {
    let again = |error| match utf8::replaced(E::NAME, record) {
        Some(replaced) => E::Wire::decode(replaced.as_slice()),
        None => Err(error),
    };
    E::Wire::decode(record.as_ref()).or_else(again)
}

/// The events of one subscription. Its connection ends when this is dropped.
#[derive(Debug)]
pub struct Subscription<E: StreamEvent> {
    endpoint: Endpoint,
    stream_id: Option<String>,
    body: Incoming,
    reader: RecordReader,
    /// A large record that is being read.
    decoding: Option<Decoding<E::Wire>>,
    watchdog: Watchdog,
    ended: bool,
    _connection: Connection,
    moves: Option<Moves>,
    // Ends the client's session with the stream.
    _session: Option<SessionGuard>,
    _event: PhantomData<fn() -> E>,
}

/// How a stream learns that its master leads no more, which a frozen one cannot tell.
#[derive(Debug, Clone)]
pub(crate) struct Moves {
    pub detector: Detector,
    /// Who was known to lead when the stream began; it may have begun at a later leader by a redirect.
    pub known: Option<Leader>,
}

impl Moves {
    /// Waits for a leader who listens elsewhere.
    async fn away_from(mut self, address: &HostPort) -> HostPort {
        loop {
            let leader = self.detector.leader_other_than(self.known.as_ref()).await;
            if leader.address != *address {
                return leader.address;
            }
            self.known = Some(leader);
        }
    }
}

/// Something to be done when a subscription ends.
pub(crate) struct SessionGuard(pub Box<dyn Fn() + Send + Sync>);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl std::fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionGuard")
    }
}

impl<E: StreamEvent> Subscription<E> {
    pub(crate) fn new(
        opened: Opened,
        stream_id: Option<String>,
        config: &Config,
        session: Option<SessionGuard>,
    ) -> Self {
        Self {
            endpoint: opened.endpoint,
            stream_id,
            body: opened.response.into_body(),
            reader: RecordReader::with_limit(config.record_limit),
            decoding: None,
            watchdog: Watchdog::new(E::FIRST_INTERVAL, config.missed_heartbeats, Instant::now()),
            ended: false,
            moves: None,
            _connection: opened.connection,
            _session: session,
            _event: PhantomData,
        }
    }

    /// Ends the stream as soon as another master leads.
    pub(crate) fn until(mut self, moves: Moves) -> Self {
        self.moves = Some(moves);
        self
    }

    /// Who sends the events: the leading master after redirects, or the agent.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What ties calls to this stream; executors have none.
    pub fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
    }

    /// The next event; `None` when the peer has ended the stream in good order.
    ///
    /// Cancelling the future loses nothing: what has arrived is kept for the next call.
    ///
    /// # Errors
    /// When the stream breaks, is silent for too long, is not made of events, or ZooKeeper names another leader.
    /// Subscribe again then.
    pub async fn next(&mut self) -> Result<Option<E>, StreamError> {
        loop {
            if let Some(decoding) = &mut self.decoding {
                let decoded = decoding.finish().await;
                self.decoding = None;
                return self.event(decoded).map(Some);
            }
            match self.reader.next() {
                Ok(Some(record)) if record.len() >= LARGE => {
                    self.decoding = Some(Decoding::start::<E>(record))
                }
                Ok(Some(record)) => {
                    let decoded = Decoded { length: record.len(), wire: decode::<E>(&record) };
                    return self.event(decoded).map(Some);
                }
                Ok(None) if self.ended => return Ok(None),
                Ok(None) => self.fill_or_move().await?,
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

    /// What has arrived comes first.
    async fn fill_or_move(&mut self) -> Result<(), StreamError> {
        let Some(moves) = self.moves.clone() else { return self.fill().await };
        let endpoint = self.endpoint.clone();
        tokio::select! {
            biased;
            filled = self.fill() => filled,
            leader = moves.away_from(&endpoint.address) => {
                Err(StreamError::Moved { endpoint: endpoint.clone(), leader })
            }
        }
    }

    /// Waits for more bytes, or the end.
    async fn fill(&mut self) -> Result<(), StreamError> {
        let frame = loop {
            let Some(deadline) = self.watchdog.deadline() else { break self.body.frame().await };
            match timeout_at(deadline, self.body.frame()).await {
                Ok(frame) => break frame,
                Err(_) if self.watchdog.look_again(Instant::now()) => {}
                Err(_) => return Err(self.silent()),
            }
        };
        self.watchdog.heard(Instant::now());
        let endpoint = || self.endpoint.clone();
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.reader.push(data);
                }
            }
            Some(Err(source)) => return Err(StreamError::Broken { endpoint: endpoint(), source }),
            None => {
                self.ended = true;
                self.reader
                    .finish()
                    .map_err(|source| StreamError::Record { endpoint: endpoint(), source })?;
            }
        }
        Ok(())
    }

    fn silent(&self) -> StreamError {
        let silence = self.watchdog.limit().unwrap_or_default();
        StreamError::Silent { endpoint: self.endpoint.clone(), silence }
    }
}
