//! Reads and writes messages as lines over any byte stream.
//!
//! All data is buffered in [`Reader`] and [`Writer`], not in their futures, so a future may be dropped before it completes (as
//! `select!` does) without losing data.

mod line_buffer;

use std::collections::VecDeque;
use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::message::{Id, Message, MessageError, is_blank, salvage};
use line_buffer::LineBuffer;

/// Maximum length of a line from a pool, in bytes. p2pool sends long lines, because its coinbases pay hundreds of miners.
pub const POOL_LINE_LIMIT: usize = 1 << 20;
/// Maximum length of a line from a miner, in bytes.
pub const MINER_LINE_LIMIT: usize = 16 << 10;
/// How much data a peer may leave unread before writing to it fails, in bytes.
const BACKLOG_LIMIT: usize = 1 << 20;

/// Splits a stream into its two directions. Lines from the peer may be at most `line_limit` bytes long.
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
        /// The id of the request, if it stands within the limit.
        id: Id,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended in the middle of a line.
    #[error("the connection ended in the middle of a line, after {bytes} bytes")]
    Truncated {
        /// The number of bytes of the incomplete line.
        bytes: usize,
    },
    /// The line is not a message. The following lines can still be read.
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
    /// The rest of a line that is not one message.
    salvaged: VecDeque<Result<Message, MessageError>>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads lines of at most `line_limit` bytes.
    pub fn new(stream: R, line_limit: usize) -> Self {
        Reader { stream, lines: LineBuffer::new(line_limit), salvaged: VecDeque::new() }
    }

    /// Reads the next message and skips empty lines. If a line has several messages, each is returned. Returns `None` when the peer
    /// has closed the stream. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the stream fails or ends in the middle of a line, or if a line is too long or not a message. If a line is not a
    /// message, reading can continue with the next line. After any other error, it cannot (see [`ReadError::is_fatal`]).
    pub async fn read(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            if let Some(read) = self.salvaged.pop_front() {
                return Ok(Some(read?));
            }
            if let Some(line) = self.lines.next()? {
                if !is_blank(&line) {
                    match Message::from_line(&line) {
                        Ok(message) => return Ok(Some(message)),
                        Err(error) => self.salvaged = salvage(&line, error),
                    }
                }
                continue;
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
    /// The peer does not read, and too much data waits to be sent.
    #[error("the peer has left {bytes} bytes unread")]
    Backlog {
        /// The number of bytes that wait to be sent.
        bytes: usize,
    },
}

/// The writing half.
#[derive(Debug)]
pub struct Writer<W> {
    stream: W,
    waiting: Vec<u8>,
    /// How many bytes of `waiting` were already written to the stream.
    sent: usize,
    /// Whether data was written to the stream since its last flush. A TLS stream has a buffer of its own, so it must be flushed
    /// even if all data was written to it.
    unflushed: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes to `stream`.
    pub fn new(stream: W) -> Self {
        Writer { stream, waiting: Vec::new(), sent: 0, unflushed: false }
    }

    /// Sends a message after everything that was queued before. Cancel-safe: the next flush finishes a message that was sent
    /// only in part.
    ///
    /// # Errors
    ///
    /// The errors of [`Writer::queue`] and [`Writer::flush`].
    pub async fn send(&mut self, message: &Message) -> Result<(), WriteError> {
        self.queue(&message.to_line())?;
        self.flush().await
    }

    /// Queues one line, given as text without its line end, so that a pool can serialize a line once and queue it for many
    /// miners.
    ///
    /// # Errors
    ///
    /// If the peer has left too much data unread. The line is then not queued.
    pub fn queue(&mut self, line: &str) -> Result<(), WriteError> {
        let bytes = self.waiting();
        if bytes > BACKLOG_LIMIT {
            return Err(WriteError::Backlog { bytes });
        }
        // Sent bytes are removed here. Removing them after each write would move the rest of the buffer each time.
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

    /// Whether [`Writer::flush`] has something to do, for example because an earlier flush was dropped before it completed.
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
        // Frees the buffer, because a pool has thousands of idle connections.
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
