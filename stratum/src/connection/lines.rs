//! Bytes in, lines out; no stream.

use std::borrow::Cow;

use super::ReadError;

/// Room for one read, in bytes: most lines from a miner are shorter.
const ROOM: usize = 1 << 10;
/// A buffer that has grown beyond this is given back when it is empty: most connections wait most of the time.
const KEPT: usize = 4 << 10;

/// Collects bytes and cuts them into lines.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the first line that was not yet taken starts.
    start: usize,
    /// Where to go on looking for its end.
    scanned: usize,
    limit: usize,
}

impl Lines {
    pub fn new(limit: usize) -> Lines {
        Lines { buffer: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Takes the next whole line, without its line end. Bytes that are no UTF-8 come as replacement characters: in
    /// the text of a message they do no harm, elsewhere they fail to parse.
    pub fn next(&mut self) -> Result<Option<Cow<'_, str>>, ReadError> {
        let end = self.buffer.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        let end = end.map(|offset| self.scanned + offset);
        self.scanned = end.map_or(self.buffer.len(), |end| end + 1);
        if end.unwrap_or(self.buffer.len()) - self.start > self.limit {
            return Err(ReadError::TooLong { limit: self.limit });
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let line = self.buffer.get(self.start..end).unwrap_or_default();
        self.start = end + 1;
        Ok(Some(String::from_utf8_lossy(line)))
    }

    /// The buffer to read more bytes into, with room for some.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(ROOM);
        }
        &mut self.buffer
    }

    /// Bytes of a line without end.
    pub fn rest(&self) -> usize {
        self.buffer.len() - self.start
    }
}
