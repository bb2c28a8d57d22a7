//! Reads and writes messages as lines over any byte stream.
//!
//! All data is buffered in [`Reader`] and [`Writer`], not in their futures, so a future may be dropped half-way (as
//! `select!` does) without losing anything.

mod line_buffer;

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::message::{Message, MessageError};
use line_buffer::LineBuffer;

/// Longest line of a pool, in bytes. p2pool sends long ones: its coinbases pay hundreds of miners.
pub const POOL_LINE_LIMIT: usize = 1 << 20;
/// Longest line of a miner, in bytes.
pub const MINER_LINE_LIMIT: usize = 16 << 10;
/// How much a peer may leave unread before writing to it fails, in bytes.
const BACKLOG_LIMIT: usize = 1 << 20;

/// Splits a stream into its two directions. The peer's lines may be `line_limit` bytes long.
pub fn split<S: AsyncRead + AsyncWrite>(
    stream: S,
    line_limit: usize,
) -> (Reader<ReadHalf<S>>, Writer<WriteHalf<S>>) {
    let (read, write) = tokio::io::split(stream);
    (Reader::new(read, line_limit), Writer::new(write))
}

/// Why no message could be read.
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
    /// The line is not a message. The lines after it can be read.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl ReadError {
    /// Whether nothing more can be read from this stream.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, ReadError::Message(_))
    }
}

/// The reading half.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    lines: LineBuffer,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads lines of at most `line_limit` bytes.
    pub fn new(stream: R, line_limit: usize) -> Self {
        Reader { stream, lines: LineBuffer::new(line_limit) }
    }

    /// Reads the next message and skips empty lines. Returns `None` when the peer has closed the stream. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the stream fails or ends within a line, or if a line is too long or not a message. Reading can go on only after
    /// the last of these, see [`ReadError::is_fatal`].
    pub async fn read(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            while let Some(line) = self.lines.next()? {
                if !line.trim().is_empty() {
                    return Ok(Some(Message::from_line(&line)?));
                }
            }
            if self.stream.read_buf(self.lines.spare()).await? == 0 {
                return match self.lines.incomplete() {
                    0 => Ok(None),
                    bytes => Err(ReadError::Truncated { bytes }),
                };
            }
        }
    }
}

/// Why nothing could be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The stream failed.
    #[error("writing failed")]
    Io(#[from] io::Error),
    /// The peer does not read: too much data waits to be sent.
    #[error("the peer has left {bytes} bytes unread")]
    Backlog {
        /// Bytes that wait to be sent.
        bytes: usize,
    },
}

/// The writing half.
#[derive(Debug)]
pub struct Writer<W> {
    stream: W,
    waiting: Vec<u8>,
    /// How much of `waiting` was written to the stream.
    sent: usize,
    /// Whether the stream was written to since it was last flushed. A TLS stream has a buffer of its own.
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes to `stream`.
    pub fn new(stream: W) -> Self {
        Writer { stream, waiting: Vec::new(), sent: 0, unflushed: false }
    }

    /// Sends a message after everything that was queued before. Cancel-safe: the next flush finishes a message that was
    /// sent half-way.
    ///
    /// # Errors
    ///
    /// See [`Writer::queue`] and [`Writer::flush`].
    pub async fn send(&mut self, message: &Message) -> Result<(), WriteError> {
        self.queue(&message.to_line())?;
        self.flush().await
    }

    /// Queues one line, given without its line end. A pool that sends a line to many miners serializes it only once.
    ///
    /// # Errors
    ///
    /// If the peer has left too much unread. Then nothing is queued.
    pub fn queue(&mut self, line: &str) -> Result<(), WriteError> {
        let bytes = self.waiting();
        if bytes > BACKLOG_LIMIT {
            return Err(WriteError::Backlog { bytes });
        }
        // Sent bytes are removed here, not after each write: that would move the rest of the buffer each time.
        self.waiting.drain(..self.sent);
        self.sent = 0;
        self.waiting.reserve(line.len() + 1);
        self.waiting.extend_from_slice(line.as_bytes());
        self.waiting.push(b'\n');
        Ok(())
    }

    /// The number of bytes that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// Whether [`Writer::flush`] has something to do, for example because an earlier one was dropped half-way.
    pub fn needs_flush(&self) -> bool {
        self.unflushed || self.waiting() > 0
    }

    /// Sends everything that was queued. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the stream fails.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.unflushed = true;
            match self.stream.write(rest).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => self.sent += written,
            }
        }
        // Frees the buffer: a pool has thousands of idle connections.
        self.waiting = Vec::new();
        self.sent = 0;
        self.stream.flush().await?;
        self.unflushed = false;
        Ok(())
    }

    /// Sends everything that was queued and closes the stream.
    ///
    /// # Errors
    ///
    /// If the stream fails.
    pub async fn shutdown(&mut self) -> Result<(), WriteError> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }
}
