//! Splits the bytes from a peer into the responses to pipelined calls (RFC 9112).
//!
//! The reader does no I/O: the caller passes in bytes and gets responses. hyper's client waits for each response before it
//! sends the next request, so it cannot be used for pipelined calls.

use bytes::{Buf, BytesMut};
use hyper::StatusCode;

use super::response::{CallResponse, MAX_MESSAGE, not_http};

/// Maximum number of headers of a response. A master sends three or four, a proxy a few more.
const MAX_HEADERS: usize = 64;
/// Maximum length of a response's head, and of a line between chunks, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// The peer's bytes are not HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", not_http(.0))]
pub(crate) struct Malformed(String);

impl Malformed {
    fn new(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// Splits a stream of bytes into responses.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    buffer: BytesMut,
    /// The response whose head has been read, and the part of it that is expected next.
    begun: Option<(CallResponse, Rest)>,
}

/// The part of a response that is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// This many more bytes of the body.
    Length(u64),
    /// The line with the size of the next chunk.
    Size,
    /// This many more bytes of a chunk, and then its line end.
    Chunk(u64),
    /// The line end of a chunk.
    ChunkEnd,
    /// Trailer lines, up to an empty line.
    Trailers,
    /// All bytes until the peer closes the connection.
    UntilClose,
}

impl ResponseReader {
    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete response, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not HTTP.
    pub fn next(&mut self) -> Result<Option<CallResponse>, Malformed> {
        loop {
            let Some((response, rest)) = &mut self.begun else {
                match self.head()? {
                    Some(begun) => self.begun = Some(begun),
                    None => return Ok(None),
                }
                continue;
            };
            let next = match *rest {
                Rest::Length(0) => {
                    return Ok(self.begun.take().map(|(response, _)| response));
                }
                Rest::Length(length) => Rest::Length(take(&mut self.buffer, response, length)),
                Rest::Chunk(0) => Rest::ChunkEnd,
                Rest::Chunk(length) => Rest::Chunk(take(&mut self.buffer, response, length)),
                Rest::UntilClose => {
                    take(&mut self.buffer, response, u64::MAX);
                    Rest::UntilClose
                }
                Rest::Size | Rest::ChunkEnd | Rest::Trailers => match line(&mut self.buffer, *rest)? {
                    Some(next) => next,
                    None => return Ok(None),
                },
            };
            let goes_on = next != *rest || next == Rest::Trailers;
            *rest = next;
            if !goes_on {
                return Ok(None);
            }
        }
    }

    /// Call this when the peer has closed the connection. Returns the response whose body lasted until then, if there is one.
    pub fn finish(&mut self) -> Option<CallResponse> {
        let (mut response, rest) = self.begun.take()?;
        response.closes = true;
        (rest == Rest::UntilClose).then_some(response)
    }

    /// Reads the head of the next response. Skips informational (1xx) responses.
    fn head(&mut self) -> Result<Option<(CallResponse, Rest)>, Malformed> {
        while !self.buffer.is_empty() {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Response::new(&mut headers);
            let length = match head.parse(&self.buffer).map_err(Malformed::new)? {
                httparse::Status::Complete(length) => length,
                httparse::Status::Partial if self.buffer.len() > MAX_HEAD => {
                    return Err(Malformed::new("its head has no end"));
                }
                httparse::Status::Partial => return Ok(None),
            };
            let begun = read_head(&head)?;
            self.buffer.advance(length);
            if !begun.0.status.is_informational() {
                return Ok(Some(begun));
            }
        }
        Ok(None)
    }
}

/// Takes at most `length` bytes of a body from the buffer. Returns how many are missing.
fn take(buffer: &mut BytesMut, response: &mut CallResponse, length: u64) -> u64 {
    let here = buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
    let kept = here.min(MAX_MESSAGE.saturating_sub(response.body.len()));
    response.body.extend_from_slice(&buffer[..kept]);
    buffer.advance(here);
    length - here as u64
}

/// Takes a line between chunks. Returns what to read next, or `None` if the line is not complete yet.
fn line(buffer: &mut BytesMut, rest: Rest) -> Result<Option<Rest>, Malformed> {
    if rest == Rest::Size {
        return match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((length, size))) => {
                buffer.advance(length);
                Ok(Some(if size == 0 { Rest::Trailers } else { Rest::Chunk(size) }))
            }
            Ok(httparse::Status::Partial) if buffer.len() <= MAX_HEAD => Ok(None),
            _ => Err(Malformed::new("a chunk without a size")),
        };
    }
    let Some(end) = buffer.iter().position(|&byte| byte == b'\n') else {
        let possible = buffer.len() <= MAX_HEAD;
        return if possible { Ok(None) } else { Err(Malformed::new("a line without an end")) };
    };
    let empty = buffer[..end].iter().all(|&byte| byte == b'\r');
    buffer.advance(end + 1);
    match rest {
        Rest::ChunkEnd if empty => Ok(Some(Rest::Size)),
        Rest::Trailers if empty => Ok(Some(Rest::Length(0))),
        Rest::Trailers => Ok(Some(Rest::Trailers)),
        _ => Err(Malformed::new("a chunk is longer than its size")),
    }
}

fn read_head(head: &httparse::Response<'_, '_>) -> Result<(CallResponse, Rest), Malformed> {
    let status = StatusCode::from_u16(head.code.unwrap_or_default()).map_err(Malformed::new)?;
    let value = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value))
    };
    let is =
        |name: &str, what: &str| value(name).is_some_and(|value| value.to_ascii_lowercase().contains(what));
    let rest = if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        Rest::Length(0)
    } else if is("transfer-encoding", "chunked") {
        Rest::Size
    } else {
        let length = value("content-length").map(|value| value.trim().parse::<u64>());
        length
            .transpose()
            .map_err(|_| Malformed::new("a Content-Length that is no number"))?
            .map_or(Rest::UntilClose, Rest::Length)
    };
    let closes = is("connection", "close") || head.version == Some(0) && !is("connection", "keep-alive");
    let text = |name: &str| value(name).map(std::borrow::Cow::into_owned);
    // In a successful response, nobody reads these headers.
    let (content_type, server) =
        if status.is_success() { (None, None) } else { (text("content-type"), text("server")) };
    let informational = status.is_informational();
    let rest = if informational { Rest::Length(0) } else { rest };
    Ok((CallResponse { status, content_type, server, body: Vec::new(), closes }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Responses of every form. The last response ends when the connection is closed.
    const RESPONSES: &str = "HTTP/1.1 202 Accepted\r\nDate: x\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 503 Service Unavailable\r\nServer: p\r\nContent-Type: text/html\r\ncontent-length: 5\r\n\r\nbusy!\
        HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi\
        HTTP/1.0 502 Bad Gateway\r\n\r\nuntil the end";

    /// Status and body of each response, and whether the peer closes the connection after it.
    fn read(pieces: &[&[u8]]) -> Result<Vec<(u16, String, bool)>, Malformed> {
        let mut reader = ResponseReader::default();
        let mut all = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(response) = reader.next()? {
                all.push(response);
            }
        }
        all.extend(reader.finish());
        let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
        Ok(all.into_iter().map(|it| (it.status.as_u16(), text(it.body), it.closes)).collect())
    }

    fn expected() -> Vec<(u16, String, bool)> {
        [
            (202, "", false),
            (503, "busy!", false),
            (202, "abc0123456789", false),
            (204, "", false),
            (200, "hi", true),
            (502, "until the end", true),
        ]
        .map(|(status, body, closes)| (status, body.to_owned(), closes))
        .into()
    }

    #[test]
    fn reads_responses_in_all_forms() {
        assert_eq!(read(&[RESPONSES.as_bytes()]), Ok(expected()));
        let bytes: Vec<_> = RESPONSES.as_bytes().chunks(1).collect();
        assert_eq!(read(&bytes), Ok(expected()));
    }

    #[test]
    fn keeps_the_server_and_content_type_of_a_refusal() {
        let mut reader = ResponseReader::default();
        reader
            .push(b"HTTP/1.1 500 x\r\nSERVER: p/1\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
        let response = reader.next().unwrap().unwrap();
        assert_eq!(
            (response.server.as_deref(), response.content_type.as_deref()),
            (Some("p/1"), Some("text/plain"))
        );
    }

    #[test]
    fn a_long_body_is_not_kept() {
        let mut reader = ResponseReader::default();
        reader.push(b"HTTP/1.1 500 x\r\nContent-Length: 100000\r\n\r\n");
        reader.push(&[b'x'; 99_999]);
        assert_eq!(reader.next(), Ok(None));
        reader.push(b"y");
        assert_eq!(reader.next().unwrap().unwrap().body, vec![b'x'; MAX_MESSAGE]);
    }

    #[test]
    fn refuses_bytes_that_are_not_http() {
        for wrong in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 202 Accepted\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
        ] {
            assert!(read(&[wrong.as_bytes()]).is_err(), "{wrong}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_HEAD));
        assert!(read(&[endless.as_bytes()]).is_err());
    }

    #[test]
    fn a_truncated_response_is_dropped() {
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]), Ok(vec![]));
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\nContent-Le"]), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn responses_may_arrive_in_pieces_of_any_size(cuts in prop::collection::vec(1usize..60, 1..40)) {
            let (mut pieces, mut rest, mut cuts) = (Vec::new(), RESPONSES.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(read(&pieces), Ok(expected()));
        }

        #[test]
        fn never_panics(
            start in 0..RESPONSES.len(),
            noise in prop::collection::vec(any::<u8>(), 0..60),
            end in 0..RESPONSES.len(),
        ) {
            let _ = read(&[&RESPONSES.as_bytes()[start..], &noise, &RESPONSES.as_bytes()[end..]]);
        }
    }
}
