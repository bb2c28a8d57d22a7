//! One connection with several calls in flight; the responses arrive in the order of the calls.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use net::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::response::CallResponse;
use super::response_reader::{Malformed, ResponseReader};
use crate::error::CallError;

/// A connection that is being opened.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, CallError>> + Send>>;

/// Maximum number of bytes per read: enough for about a hundred responses that accept a call.
const READ_SIZE: usize = 16 << 10;
/// A write buffer of more bytes than this is freed after use instead of reused.
const MAX_KEPT_BUFFER: usize = 64 << 10;

/// A connection that has been idle for this time is not reused, because a firewall or NAT may have dropped it silently.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);

/// The outcome of a call, or of all calls in flight on a connection.
#[derive(Debug)]
pub(crate) enum ConnectionEvent<C> {
    /// The response to the oldest call.
    Response(C, CallResponse),
    /// The peer has not executed these calls, so they may be sent again.
    NotSent(VecDeque<C>),
    /// The connection could not be opened. These calls were not sent.
    NotOpened(VecDeque<C>, CallError),
    /// The connection broke. The peer may have received some of these calls.
    Broken(VecDeque<C>, io::Error),
    /// The peer sent something that is not HTTP.
    Malformed(VecDeque<C>, Malformed),
}

/// One connection, and the calls in flight on it, oldest first.
pub(crate) struct PipelinedConnection<C> {
    io: Stream,
    /// Bytes of calls that are still to be written to the connection.
    out: BytesMut,
    /// Whether a lower layer, such as TLS, may hold unsent bytes.
    unflushed: bool,
    /// Whether any bytes of the calls in flight were written. If not, the peer cannot have executed these calls.
    begun: bool,
    /// Whether a response has arrived on this connection.
    responded: bool,
    calls: VecDeque<C>,
    reader: ResponseReader,
    last_activity: Instant,
}

enum Stream {
    Closed,
    Opening(Opening),
    Open(Box<dyn ByteStream>),
}

impl<C> fmt::Debug for PipelinedConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipelinedConnection({} in flight)", self.calls.len())
    }
}

impl<C> PipelinedConnection<C> {
    /// A connection that is closed.
    pub fn closed() -> Self {
        Self {
            io: Stream::Closed,
            out: BytesMut::new(),
            unflushed: false,
            begun: false,
            responded: false,
            calls: VecDeque::new(),
            reader: ResponseReader::default(),
            last_activity: Instant::now(),
        }
    }

    /// A connection over `io`, on which nothing has been sent yet.
    pub fn over(io: Box<dyn ByteStream>) -> Self {
        Self { io: Stream::Open(io), ..Self::closed() }
    }

    /// Whether no call is in flight.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether the connection is open.
    pub fn is_open(&self) -> bool {
        matches!(self.io, Stream::Open(_))
    }

    /// Whether the connection is neither open nor being opened.
    pub fn is_closed(&self) -> bool {
        matches!(self.io, Stream::Closed)
    }

    /// The last time that a call was pushed or a response came.
    pub fn last_activity(&self) -> Instant {
        self.last_activity
    }

    /// Whether the connection has been idle for too long to be used again.
    pub fn is_stale(&self) -> bool {
        self.is_open() && self.is_idle() && self.last_activity.elapsed() > MAX_IDLE_TIME
    }

    /// Closes the connection. Returns the calls that were in flight.
    pub fn close(&mut self) -> VecDeque<C> {
        let calls = std::mem::take(&mut self.calls);
        *self = Self { last_activity: self.last_activity, ..Self::closed() };
        calls
    }

    /// Begins to open the connection.
    pub fn open(&mut self, opening: Opening) {
        self.io = Stream::Opening(opening);
    }

    /// Queues a call. `head` is the beginning of the request and ends with `content-length: `; this function adds the rest.
    pub fn push(&mut self, call: C, head: &Bytes, body: &Bytes) {
        if self.calls.is_empty() {
            self.begun = false;
        }
        self.last_activity = Instant::now();
        self.calls.push_back(call);
        self.out.reserve(head.len() + body.len() + 32);
        self.out.extend_from_slice(head);
        let mut digits = [0; 32];
        let mut rest = &mut digits[..];
        // Writing cannot fail, because every length fits into the buffer.
        let _ = write!(rest, "{}\r\n\r\n", body.len());
        let unused = rest.len();
        self.out.extend_from_slice(&digits[..digits.len() - unused]);
        self.out.extend_from_slice(body);
    }

    /// Waits for the next event. A call must be in flight.
    pub async fn next_event(&mut self) -> ConnectionEvent<C> {
        let mut events = Vec::new();
        poll_fn(|cx| {
            self.poll(cx, &mut events);
            events.pop().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Connects, writes and reads as far as possible without waiting. No event follows an event that ends the connection.
    pub fn poll(&mut self, cx: &mut Context<'_>, events: &mut Vec<ConnectionEvent<C>>) {
        if let Stream::Opening(opening) = &mut self.io {
            match opening.as_mut().poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(io)) => self.io = Stream::Open(io),
                Poll::Ready(Err(error)) => {
                    events.push(ConnectionEvent::NotOpened(self.close(), error));
                    return;
                }
            }
        }
        if self.is_closed() {
            return;
        }
        // Read before the first write: if the peer has closed the idle connection, the calls can be reported as not sent.
        let first = if self.begun { Ok(Poll::Pending) } else { self.read(cx, events) };
        let read = match first {
            Ok(Poll::Pending) if self.calls.is_empty() => return,
            Ok(Poll::Pending) => {
                let written = self.write(cx);
                // If writing fails, a last response from the peer explains the failure better than the error.
                self.read(cx, events).and_then(|read| match written {
                    Err(error) if read.is_pending() => Err(error),
                    _ => Ok(read),
                })
            }
            read => read,
        };
        match read {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => self.ended(events),
            Err(error) => self.broken(error, events),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Stream::Open(io) = &mut self.io else { return Ok(()) };
        while !self.out.is_empty() {
            match Pin::new(&mut *io).poll_write(cx, &self.out) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    (self.begun, self.unflushed) = (true, true);
                    self.out.advance(written);
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        if self.out.capacity() > MAX_KEPT_BUFFER {
            self.out = BytesMut::new();
        }
        if self.unflushed && Pin::new(&mut *io).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// Reads all bytes that have arrived. Returns `Ready` if the peer accepts no more calls.
    fn read(&mut self, cx: &mut Context<'_>, events: &mut Vec<ConnectionEvent<C>>) -> io::Result<Poll<()>> {
        // The space is uninitialised, because clearing it would cost more than most reads.
        let mut space = [const { MaybeUninit::uninit() }; READ_SIZE];
        loop {
            let Stream::Open(io) = &mut self.io else { return Ok(Poll::Ready(())) };
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(()) if buffer.filled().is_empty() => return Ok(Poll::Ready(())),
                Poll::Ready(()) => self.reader.push(buffer.filled()),
            }
            if self.take_responses(events) {
                return Ok(Poll::Ready(()));
            }
        }
    }

    /// Takes the complete responses. Returns `true` if the peer accepts no more calls on this connection.
    fn take_responses(&mut self, events: &mut Vec<ConnectionEvent<C>>) -> bool {
        loop {
            match self.reader.next() {
                Ok(Some(response)) => {
                    let closes = response.closes;
                    // A response without a call is a server's last message before it closes the connection.
                    let Some(call) = self.calls.pop_front() else { return true };
                    (self.responded, self.last_activity) = (true, Instant::now());
                    events.push(ConnectionEvent::Response(call, response));
                    if closes {
                        // The peer ignores all calls after this one (RFC 9112, section 9.6), so they count as not sent.
                        self.begun = false;
                        return true;
                    }
                }
                Ok(None) => return false,
                Err(error) => {
                    let calls = self.close();
                    if !calls.is_empty() {
                        events.push(ConnectionEvent::Malformed(calls, error));
                    }
                    return true;
                }
            }
        }
    }

    /// Call this when the peer has closed the connection, or accepts no more calls on it.
    fn ended(&mut self, events: &mut Vec<ConnectionEvent<C>>) {
        if let Some(response) = self.reader.finish()
            && let Some(call) = self.calls.pop_front()
        {
            events.push(ConnectionEvent::Response(call, response));
            self.begun = false;
            self.responded = true;
        }
        self.broken(io::ErrorKind::UnexpectedEof.into(), events);
    }

    fn broken(&mut self, error: io::Error, events: &mut Vec<ConnectionEvent<C>>) {
        // Callers repeat calls that are reported as `NotSent`. With a peer that closes each connection immediately, this would
        // never end. So `NotSent` is reported only after the peer's first response on a connection.
        let not_sent = !self.begun && self.responded;
        let calls = self.close();
        if calls.is_empty() {
            return;
        }
        events.push(match not_sent {
            true => ConnectionEvent::NotSent(calls),
            false => ConnectionEvent::Broken(calls, error),
        });
    }
}
