//! RecordIO, the framing of Mesos' event streams. A record consists of its length in decimal, a newline, and as many bytes as
//! the length says.
//!
//! The reader does no I/O: the caller passes in bytes and gets records. Mesos puts one record into each HTTP chunk, but does
//! not guarantee this, so the reader accepts pieces of any size. See "RecordIO response format" in Mesos' documentation of the
//! scheduler's HTTP API.

use bytes::{Buf, Bytes, BytesMut};

/// The default limit of a record: 1 GiB. The largest records of a real master are OFFERS events: with 50,000 agents and 1.9 kB
/// of attributes each, such a record has 110 MB.
pub const DEFAULT_LIMIT: usize = 1 << 30;

/// If a record is longer than this, in bytes, the caller gets the whole buffer with the record, and the next record gets a new
/// buffer. So the memory of a large record is freed with the record.
const MAX_KEPT_BUFFER: usize = 256 << 10;

/// Number of decimal digits of the largest 64-bit length.
const MAX_DIGITS: usize = 20;

/// Why bytes are not RecordIO.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes where a length is expected are not a number.
    #[error("{found:?} is not the length of a record")]
    Length {
        /// The bytes, shortened.
        found: String,
    },
    /// A record exceeds the limit.
    #[error("a record of {length} bytes; at most {limit} are accepted")]
    TooLong {
        /// The announced length in bytes.
        length: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream has ended inside a record.
    #[error("the stream ended inside a record")]
    Truncated,
}

/// Splits a stream into records.
///
/// ```
/// let mut reader = mesos::recordio::RecordReader::default();
/// reader.push(b"5\nhel");
/// assert_eq!(reader.next(), Ok(None));
/// reader.push(b"lo0\n");
/// assert_eq!(reader.next().unwrap().unwrap(), "hello");
/// assert_eq!(reader.next().unwrap().unwrap(), "");
/// assert_eq!(reader.finish(), Ok(()));
/// ```
#[derive(Debug)]
pub struct RecordReader {
    buffer: BytesMut,
    /// Length of the next record in bytes; `None` until the length has been read.
    length: Option<usize>,
    limit: usize,
    /// The error in the stream, if any. No further record can be read, because the start of the next one is unknown.
    failed: Option<RecordError>,
}

impl Default for RecordReader {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl RecordReader {
    /// A reader that refuses records of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), length: None, limit, failed: None }
    }

    /// Adds bytes that have arrived. Allocates memory for these bytes only, not for the announced length of the record.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let (here, coming) = (self.buffer.len(), self.buffer.len() + bytes.len());
        if let Some(length) = self.length.filter(|_| coming > self.buffer.capacity()) {
            // Doubles the buffer, but not beyond the end of the record.
            let mut larger = BytesMut::with_capacity((2 * here).min(length).max(coming));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete record, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not RecordIO, or a record is too long. After an error, every later call returns the same error.
    #[allow(clippy::should_implement_trait)] // an iterator's `None` is the end; here it means "not yet"
    pub fn next(&mut self) -> Result<Option<Bytes>, RecordError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance().inspect_err(|error| {
            self.buffer = BytesMut::new();
            self.failed = Some(error.clone());
        })
    }

    /// Checks that the stream has ended between two records.
    ///
    /// # Errors
    /// When the stream ended inside a record, or had failed before.
    pub fn finish(&self) -> Result<(), RecordError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.buffer.is_empty() && self.length.is_none() => Ok(()),
            None => Err(RecordError::Truncated),
        }
    }

    fn advance(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.take_length()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.length = None;
        let record = if length > MAX_KEPT_BUFFER && length >= self.buffer.len() / 2 {
            // The bytes after a large record must not keep the record's memory alive.
            let rest = BytesMut::from(&self.buffer[length..]);
            let mut record = std::mem::replace(&mut self.buffer, rest);
            record.truncate(length);
            record
        } else {
            self.buffer.split_to(length)
        };
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(record.freeze()))
    }

    fn take_length(&mut self) -> Result<Option<usize>, RecordError> {
        let start = &self.buffer[..self.buffer.len().min(MAX_DIGITS + 1)];
        let Some(end) = start.iter().position(|&byte| byte == b'\n') else {
            let possible = start.len() <= MAX_DIGITS && start.iter().all(u8::is_ascii_digit);
            return if possible { Ok(None) } else { Err(not_a_length(start)) };
        };
        let line = &start[..end];
        let length = parse_length(line).ok_or_else(|| not_a_length(line))?;
        match usize::try_from(length) {
            Ok(fits) if fits <= self.limit => {
                self.buffer.advance(end + 1);
                Ok(Some(fits))
            }
            _ => Err(RecordError::TooLong { length, limit: self.limit }),
        }
    }
}

/// Accepts digits only, whereas `str::parse` would also accept a plus sign.
fn parse_length(line: &[u8]) -> Option<u64> {
    if line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn not_a_length(found: &[u8]) -> RecordError {
    RecordError::Length { found: String::from_utf8_lossy(found).into_owned() }
}

/// A record with its length in front.
pub fn encode(record: &[u8]) -> Vec<u8> {
    let mut framed = record.len().to_string().into_bytes();
    framed.reserve_exact(1 + record.len());
    framed.push(b'\n');
    framed.extend_from_slice(record);
    framed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader(bytes: &[u8]) -> RecordReader {
        let mut reader = RecordReader::with_limit(1000);
        reader.push(bytes);
        reader
    }

    #[test]
    fn names_the_bytes_in_place_of_a_length() {
        for (bytes, found) in [
            (&b"\n"[..], ""),
            (b"+5\nhello", "+5"),
            (b"-1\n", "-1"),
            (b" 5\nhello", " 5"),
            (b"5\r\nhello", "5\r"),
            (b"<html>", "<html>"),
            (b"99999999999999999999\n", "99999999999999999999"),
            (b"000000000000000000000000000001\n", "000000000000000000000"),
        ] {
            assert_eq!(reader(bytes).next(), Err(RecordError::Length { found: found.into() }));
        }
    }

    #[test]
    fn refuses_a_long_record_before_its_bytes_arrive() {
        assert_eq!(reader(b"1001\n").next(), Err(RecordError::TooLong { length: 1001, limit: 1000 }));
        assert_eq!(reader(b"1000\n").next(), Ok(None));
    }

    /// The pieces are as large as those that hyper delivers.
    #[test]
    fn memory_grows_with_the_bytes_and_is_freed_with_the_record() {
        const LENGTH: usize = 100 << 20;
        let mut reader = RecordReader::default();
        reader.push(format!("{LENGTH}\n").as_bytes());
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.buffer.capacity() < 1024, "an announcement costs nothing");
        let piece = vec![7; 400_000];
        let mut rest = LENGTH;
        while rest > 0 {
            let here = rest.min(piece.len());
            reader.push(&piece[..here]);
            rest -= here;
            if rest > 0 {
                assert_eq!(reader.next(), Ok(None));
                let arrived = LENGTH - rest;
                assert!(reader.buffer.capacity() <= 2 * arrived + 1024, "for {arrived} bytes");
            }
        }
        assert!(reader.buffer.capacity() <= LENGTH + 1024);
        reader.push(b"2\nok");
        let record = reader.next().unwrap().unwrap();
        assert!(record.len() == LENGTH && record.iter().all(|byte| *byte == 7));
        assert!(reader.buffer.capacity() <= MAX_KEPT_BUFFER, "what follows keeps no more");
        assert_eq!(reader.next().unwrap().unwrap(), "ok");
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn stays_failed() {
        let mut reader = reader(b"x");
        let error = reader.next().unwrap_err();
        reader.push(b"0\n");
        assert_eq!(reader.next(), Err(error.clone()));
        assert_eq!(reader.finish(), Err(error));
    }

    #[test]
    fn distinguishes_a_clean_end_from_a_truncated_record() {
        for (bytes, end) in [
            (&b""[..], Ok(())),
            (b"1\nx", Ok(())),
            (b"1\nx1", Err(RecordError::Truncated)),
            (b"1\n", Err(RecordError::Truncated)),
            (b"3\nab", Err(RecordError::Truncated)),
        ] {
            let mut reader = reader(bytes);
            while reader.next().unwrap().is_some() {}
            assert_eq!(reader.finish(), end);
        }
    }

    proptest! {
        #[test]
        fn gives_back_what_was_encoded_however_it_is_cut(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
            cuts in prop::collection::vec(1usize..100, 1..50),
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|record| encode(record)).collect();
            let mut reader = RecordReader::default();
            let mut read = Vec::new();
            let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                reader.push(piece);
                rest = after;
                while let Some(record) = reader.next().unwrap() {
                    read.push(record.to_vec());
                }
            }
            while let Some(record) = reader.next().unwrap() {
                read.push(record.to_vec());
            }
            prop_assert_eq!(read, records);
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn never_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10)) {
            let mut reader = RecordReader::with_limit(20);
            for piece in pieces {
                reader.push(&piece);
                while let Ok(Some(_)) = reader.next() {}
            }
            let _ = reader.finish();
        }
    }
}
