//! One connection on which several calls are sent at once, and answered in their order.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::answer::Received;
use super::reader::{AnswerReader, Malformed};
use crate::connect::ByteStream;
use crate::error::CallError;

/// A connection in the making.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, CallError>> + Send>>;

/// As much as is read at once: some hundred answers that accept a call.
const READ: usize = 16 << 10;
/// A larger buffer is not kept for the next calls.
const KEPT: usize = 64 << 10;

/// What has become of a call, or of the whole line.
#[derive(Debug)]
pub(crate) enum LineEvent<C> {
    /// The next call's answer.
    Answered(C, Received),
    /// The peer cannot have seen these calls: they may be sent again.
    NotSent(Vec<C>),
    /// No connection came about; these calls were not sent.
    NotOpened(Vec<C>, CallError),
    /// It broke, and nobody knows which of the calls were taken.
    Broken(VecDeque<C>, io::Error),
    /// What came is not HTTP.
    Malformed(VecDeque<C>, Malformed),
}

/// One connection, with the calls that wait for answers.
pub(crate) struct Line<C> {
    io: Stream,
    /// What is still to be written.
    out: BytesMut,
    /// Something was written that the layers below may still keep.
    unflushed: bool,
    /// Some of the present calls was written.
    begun: bool,
    /// There was an answer on this connection.
    answered: bool,
    calls: VecDeque<C>,
    reader: AnswerReader,
    since: Instant,
}

enum Stream {
    Closed,
    Opening(Opening),
    Open(Box<dyn ByteStream>),
}

impl<C> Line<C> {
    /// Without a connection.
    pub fn new() -> Self {
        Self {
            io: Stream::Closed,
            out: BytesMut::new(),
            unflushed: false,
            begun: false,
            answered: false,
            calls: VecDeque::new(),
            reader: AnswerReader::default(),
            since: Instant::now(),
        }
    }

    /// Whether no call waits for an answer.
    pub fn is_free(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether there is a connection.
    pub fn is_open(&self) -> bool {
        matches!(self.io, Stream::Open(_))
    }

    /// Whether there is neither a connection nor one in the making.
    pub fn is_closed(&self) -> bool {
        matches!(self.io, Stream::Closed)
    }

    /// When something last happened: calls were given to it, or one was answered.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Ends the connection.
    pub fn close(&mut self) -> VecDeque<C> {
        let calls = std::mem::take(&mut self.calls);
        *self = Self { since: self.since, ..Self::new() };
        calls
    }

    /// Has a connection made.
    pub fn open(&mut self, opening: Opening) {
        self.io = Stream::Opening(opening);
    }

    /// Adds a call: `head` is all of the request up to the value of Content-Length.
    pub fn push(&mut self, call: C, head: &Bytes, body: &Bytes) {
        if self.calls.is_empty() {
            self.begun = false;
        }
        self.since = Instant::now();
        self.calls.push_back(call);
        self.out.reserve(head.len() + body.len() + 32);
        self.out.extend_from_slice(head);
        let mut digits = [0; 32];
        let mut rest = &mut digits[..];
        // Any length fits.
        let _ = write!(rest, "{}\r\n\r\n", body.len());
        let unused = rest.len();
        self.out.extend_from_slice(&digits[..digits.len() - unused]);
        self.out.extend_from_slice(body);
    }

    /// Connects, writes and reads as far as it goes. An event that ends the connection is the last one.
    pub fn poll(&mut self, cx: &mut Context<'_>, events: &mut Vec<LineEvent<C>>) {
        if let Stream::Opening(opening) = &mut self.io {
            match opening.as_mut().poll(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(io)) => self.io = Stream::Open(io),
                Poll::Ready(Err(error)) => {
                    events.push(LineEvent::NotOpened(self.close().into(), error));
                    return;
                }
            }
        }
        if self.is_closed() {
            return;
        }
        // A connection that the peer has closed in the meantime shows it before anything is written.
        let first = if self.begun { Ok(Poll::Pending) } else { self.read(cx, events) };
        let read = match first {
            Ok(Poll::Pending) if self.calls.is_empty() => return,
            Ok(Poll::Pending) => {
                let written = self.write(cx);
                // What the peer said last is the better reason.
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
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        if self.unflushed && Pin::new(&mut *io).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// Ready when the peer takes no more calls.
    fn read(&mut self, cx: &mut Context<'_>, events: &mut Vec<LineEvent<C>>) -> io::Result<Poll<()>> {
        // Not cleared: most reads find nothing.
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let Stream::Open(io) = &mut self.io else { return Ok(Poll::Ready(())) };
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(()) if buffer.filled().is_empty() => return Ok(Poll::Ready(())),
                Poll::Ready(()) => self.reader.push(buffer.filled()),
            }
            if self.take_answers(events) {
                return Ok(Poll::Ready(()));
            }
        }
    }

    /// Whether the connection is of no more use.
    fn take_answers(&mut self, events: &mut Vec<LineEvent<C>>) -> bool {
        loop {
            match self.reader.next() {
                Ok(Some(received)) => {
                    let closes = received.closes;
                    // What nobody has asked for is the peer's goodbye.
                    let Some(call) = self.calls.pop_front() else { return true };
                    (self.answered, self.since) = (true, Instant::now());
                    events.push(LineEvent::Answered(call, received));
                    if closes {
                        // It does not look at what was sent after this call (RFC 9112, section 9.6).
                        self.begun = false;
                        return true;
                    }
                }
                Ok(None) => return false,
                Err(why) => {
                    let calls = self.close();
                    if !calls.is_empty() {
                        events.push(LineEvent::Malformed(calls, why));
                    }
                    return true;
                }
            }
        }
    }

    /// The peer takes no more calls.
    fn ended(&mut self, events: &mut Vec<LineEvent<C>>) {
        if let Some(received) = self.reader.finish()
            && let Some(call) = self.calls.pop_front()
        {
            events.push(LineEvent::Answered(call, received));
            self.begun = false;
            self.answered = true;
        }
        self.broken(io::ErrorKind::UnexpectedEof.into(), events);
    }

    fn broken(&mut self, error: io::Error, events: &mut Vec<LineEvent<C>>) {
        // A peer that closes each connection at once must not be tried for ever.
        let not_sent = !self.begun && self.answered;
        let calls = self.close();
        if calls.is_empty() {
            return;
        }
        events.push(match not_sent {
            true => LineEvent::NotSent(calls.into()),
            false => LineEvent::Broken(calls, error),
        });
    }
}
