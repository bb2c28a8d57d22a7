//! Splits received bytes into lines. Does no I/O.

use std::borrow::Cow;

use super::ReadError;
use crate::message::{Id, find_id};

/// Number of bytes reserved in the buffer for one read. Most lines from a miner are shorter.
const READ_SIZE: usize = 1 << 10;
/// When the buffer is empty and has a larger capacity than this, in bytes, it is freed, because most connections are idle most of
/// the time.
const MAX_IDLE_CAPACITY: usize = 4 << 10;

/// Collects bytes and returns the lines among them.
#[derive(Debug)]
pub(super) struct LineBuffer {
    buffer: Vec<u8>,
    /// The index in `buffer` of the first line that has not been returned yet.
    start: usize,
    /// The index in `buffer` from which to search for the next line end: the bytes before this index were already searched.
    scanned: usize,
    limit: usize,
}

impl LineBuffer {
    pub fn new(limit: usize) -> Self {
        LineBuffer { buffer: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Returns the next complete line, without its line end. Bytes that are not UTF-8 become replacement characters, which are
    /// harmless in strings and fail to parse elsewhere.
    pub fn next(&mut self) -> Result<Option<Cow<'_, str>>, ReadError> {
        let end = self.buffer.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        let end = end.map(|offset| self.scanned + offset);
        self.scanned = end.map_or(self.buffer.len(), |end| end + 1);
        if end.unwrap_or(self.buffer.len()) - self.start > self.limit {
            return Err(ReadError::TooLong { id: self.id_of_long_line(), limit: self.limit });
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let line = self.buffer.get(self.start..end).unwrap_or_default();
        self.start = end + 1;
        Ok(Some(String::from_utf8_lossy(line)))
    }

    /// The id in the part of a line that is within the limit, up to a comma, so that it is whole.
    fn id_of_long_line(&self) -> Id {
        let line = self.buffer.get(self.start..).unwrap_or_default();
        let line = String::from_utf8_lossy(line.get(..self.limit).unwrap_or(line));
        line.rsplit_once(',').map_or(Id::Null, |(whole, _)| find_id(whole))
    }

    /// The buffer to append received bytes to, with spare capacity.
    pub fn spare(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > MAX_IDLE_CAPACITY {
            self.buffer = Vec::new();
        }
        if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(READ_SIZE);
        }
        &mut self.buffer
    }

    /// The number of bytes after the last complete line.
    pub fn incomplete(&self) -> usize {
        self.buffer.len() - self.start
    }
}
