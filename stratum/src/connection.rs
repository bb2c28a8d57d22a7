//! Messages as lines over any byte stream.
//!
//! Everything that has come or is still to go is kept in buffers here, not in the futures: reading and flushing may
//! be dropped half-way (as `select!` does) and lose nothing.

mod lines;

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::message::{Message, MessageError};
use lines::Lines;

/// Enough for anything a pool sends: p2pool's coinbases pay hundreds of miners.
pub const POOL_LINE_LIMIT: usize = 1 << 20;
/// Enough for anything a miner sends.
pub const MINER_LINE_LIMIT: usize = 16 << 10;
/// What a peer may leave unread before it counts as gone, in bytes.
const BACKLOG_LIMIT: usize = 1 << 20;

/// Both directions of one stream.
#[derive(Debug)]
pub struct Connection<S> {
    reader: Reader<ReadHalf<S>>,
    writer: Writer<WriteHalf<S>>,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    /// Speaks over `stream` to a peer whose lines may be `line_limit` bytes long.
    pub fn new(stream: S, line_limit: usize) -> Connection<S> {
        let (read, write) = tokio::io::split(stream);
        Connection { reader: Reader::new(read, line_limit), writer: Writer::new(write) }
    }

    /// See [`Reader::read`]. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Reader::read`].
    pub async fn read(&mut self) -> Result<Option<Message>, ReadError> {
        self.reader.read().await
    }

    /// See [`Writer::send`]. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`Writer::send`].
    pub async fn send(&mut self, message: &Message) -> Result<(), WriteError> {
        self.writer.send(message).await
    }

    /// Both directions, to be used by different tasks.
    pub fn into_parts(self) -> (Reader<ReadHalf<S>>, Writer<WriteHalf<S>>) {
        (self.reader, self.writer)
    }
}

/// The end of a reading attempt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The stream failed.
    #[error("reading failed")]
    Io(#[from] io::Error),
    /// A line is longer than allowed.
    #[error("a line of more than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended within a line.
    #[error("the connection ended within a line, after {bytes} bytes of it")]
    Truncated {
        /// Bytes of the cut line.
        bytes: usize,
    },
    /// The line was no message. The lines after it can be read.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl ReadError {
    /// Whether nothing more can be read.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, ReadError::Message(_))
    }
}

/// The reading half.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    lines: Lines,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads lines of at most `line_limit` bytes.
    pub fn new(stream: R, line_limit: usize) -> Reader<R> {
        Reader { stream, lines: Lines::new(line_limit) }
    }

    /// Reads the next message; empty lines are skipped. `None` when the peer has closed. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Fails when the stream does, when it ends within a line, and for lines that are too long or no message. Only
    /// after the last can more be read, see [`ReadError::is_fatal`].
    pub async fn read(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            while let Some(line) = self.lines.next()? {
                if !line.trim().is_empty() {
                    return Ok(Some(Message::from_line(&line)?));
                }
            }
            if self.stream.read_buf(self.lines.room()).await? == 0 {
                return match self.lines.rest() {
                    0 => Ok(None),
                    bytes => Err(ReadError::Truncated { bytes }),
                };
            }
        }
    }
}

/// The end of a writing attempt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The stream failed.
    #[error("writing failed")]
    Io(#[from] io::Error),
    /// The peer does not read: too much waits to be sent.
    #[error("the peer has left {bytes} bytes unread")]
    Backlog {
        /// Bytes that wait.
        bytes: usize,
    },
}

/// The writing half.
#[derive(Debug)]
pub struct Writer<W> {
    stream: W,
    waiting: Vec<u8>,
    /// How much of `waiting` has gone.
    sent: usize,
    /// Whether the stream may still hold some of it: one over TLS has a buffer of its own.
    held: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes to `stream`.
    pub fn new(stream: W) -> Writer<W> {
        Writer { stream, waiting: Vec::new(), sent: 0, held: false }
    }

    /// Sends a message and whatever was queued before. Cancel-safe: a message that was begun is finished by the next
    /// flush.
    ///
    /// # Errors
    ///
    /// As [`Writer::queue`] and [`Writer::flush`].
    pub async fn send(&mut self, message: &Message) -> Result<(), WriteError> {
        self.queue(&message.to_line())?;
        self.flush().await
    }

    /// Queues one line, given without line end. A pool that sends the same to many writes it out only once.
    ///
    /// # Errors
    ///
    /// Fails if the peer has left too much unread; nothing is queued then.
    pub fn queue(&mut self, line: &str) -> Result<(), WriteError> {
        let bytes = self.waiting();
        if bytes > BACKLOG_LIMIT {
            return Err(WriteError::Backlog { bytes });
        }
        // Room is made here and not after each write, where it would move the rest every time.
        self.waiting.drain(..self.sent);
        self.sent = 0;
        self.waiting.reserve(line.len() + 1);
        self.waiting.extend_from_slice(line.as_bytes());
        self.waiting.push(b'\n');
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// Whether [`Writer::flush`] has something to do: also after one that was dropped half-way.
    pub fn needs_flush(&self) -> bool {
        self.held || self.waiting() > 0
    }

    /// Sends all that was queued. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Fails when the stream does.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.held = true;
            match self.stream.write(rest).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => self.sent += written,
            }
        }
        // Thousands of idle connections keep no buffers.
        self.waiting = Vec::new();
        self.sent = 0;
        self.stream.flush().await?;
        self.held = false;
        Ok(())
    }

    /// Sends all that was queued and ends the stream.
    ///
    /// # Errors
    ///
    /// Fails when the stream does.
    pub async fn shutdown(&mut self) -> Result<(), WriteError> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }
}
