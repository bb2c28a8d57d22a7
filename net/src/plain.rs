//! Connections in plain text to peers that may expect TLS. Such a peer sends an alert of TLS, or ends the connection without a word;
//! the errors then say what may be wrong.

mod http;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use self::http::PlainConnector;

/// A connection in plain text, on which we speak first. The first read fails with advice if the peer seems to expect TLS.
#[derive(Debug)]
pub struct Plain<S> {
    stream: S,
    /// The advice to the user if the peer expects TLS, such as `use https://`.
    advice: &'static str,
    has_sent: bool,
    has_received: bool,
}

impl<S> Plain<S> {
    /// A connection on which nothing was sent yet. `advice` says what to do if the peer expects TLS, such as `use https://`.
    pub fn new(stream: S, advice: &'static str) -> Self {
        Self { stream, advice, has_sent: false, has_received: false }
    }

    fn ended(&self, kind: io::ErrorKind) -> io::Error {
        let advice = self.advice;
        io::Error::new(
            kind,
            format!("it ended the connection without a word; if it expects TLS on that port, {advice}"),
        )
    }
}

/// Whether the beginning of what a peer sends is a record of TLS (RFC 8446, section 5.1): its type, and the major version.
fn is_tls(received: &[u8]) -> bool {
    matches!(received, [20..=23, 3, 0..=4, ..])
}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_received {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        Poll::Ready(match read {
            Ok(()) if buffer.filled().len() == before => match self.has_sent {
                true => Err(self.ended(io::ErrorKind::UnexpectedEof)),
                false => Ok(()),
            },
            Ok(()) if is_tls(&buffer.filled()[before..]) => {
                buffer.set_filled(before);
                let text = format!("it speaks TLS on that port: {}", self.advice);
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
            Ok(()) => {
                self.has_received = true;
                Ok(())
            }
            Err(error) if self.has_sent && error.kind() == io::ErrorKind::ConnectionReset => {
                Err(self.ended(error.kind()))
            }
            Err(error) => Err(error),
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.has_sent = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_sent = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What is read after the peer has sent these bytes and ended the connection.
    async fn read(says: bool, peer_sends: &[u8]) -> Result<Vec<u8>, String> {
        let (ours, mut theirs) = duplex(64);
        let mut plain = Plain::new(ours, "use https://");
        if says {
            plain.write_all(b"{}\n").await.unwrap();
        }
        theirs.write_all(peer_sends).await.unwrap();
        drop(theirs);
        let mut received = Vec::new();
        plain.read_to_end(&mut received).await.map(|_| received).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_first_read_tells_a_peer_that_expects_tls() {
        let speaks = "it speaks TLS on that port: use https://";
        let ended = "it ended the connection without a word; if it expects TLS on that port, use https://";
        for (says, peer_sends, expected) in [
            (true, [0x15, 3, 3, 0, 2, 2, 50].as_slice(), Err(speaks)),
            (true, &[0x15, 3, 1, 0, 2, 2, 70], Err(speaks)),
            (true, b"", Err(ended)),
            (true, b"HTTP/1.1", Ok(b"HTTP/1.1".as_slice())),
            (true, &[0x15], Ok(&[0x15])),
            (false, b"", Ok(b"")),
        ] {
            let expected = expected.map(<[u8]>::to_vec).map_err(str::to_owned);
            assert_eq!(read(says, peer_sends).await, expected);
        }
    }
}
