//! A subscriber of one topic at a ZeroMQ publisher (ZMTP 3.0, RFC 23, mechanism NULL).
//!
//! Nodes publish few and small messages, so the little that is needed of the protocol is here, rather than a library for all
//! of it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame that is read, in bytes. Messages of the topics that nodes publish for miners are shorter than 50.
const LONGEST: u64 = 4096;
/// The most frames of one message that are read. Nodes send three: topic, body and a sequence number.
const MOST_FRAMES: usize = 8;

/// Flags of a frame.
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A connection to a publisher, which has taken the subscription.
#[derive(Debug)]
pub struct Subscriber<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscriber<S> {
    /// Greets the publisher, and subscribes to a topic, which must be shorter than 255 bytes.
    ///
    /// # Errors
    /// If the connection breaks, or the peer is not such a publisher.
    pub async fn subscribe(stream: S, topic: &[u8]) -> io::Result<Self> {
        let mut subscriber = Subscriber { stream };
        subscriber.greet().await?;
        subscriber.write(COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x03SUB").await?;
        let (flags, body) = subscriber.read_frame().await?;
        if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
            return Err(wrong("the peer does not accept a subscriber"));
        }
        subscriber.write(0, &[b"\x01", topic].concat()).await?;
        Ok(subscriber)
    }

    /// Sends our greeting, and checks the peer's: a signature, the version, the mechanism, and filler.
    async fn greet(&mut self) -> io::Result<()> {
        let mut greeting = [0; 64];
        (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        self.stream.write_all(&greeting).await?;
        let mut peer = [0; 64];
        self.stream.read_exact(&mut peer).await?;
        match (peer[0], peer[9] & 1, peer[10], &peer[12..17]) {
            (0xff, 1, 3.., b"NULL\0") => Ok(()),
            (0xff, 1, 3.., _) => Err(wrong("the publisher asks for credentials")),
            _ => Err(wrong("the peer does not speak ZMTP 3")),
        }
    }

    /// Waits for the next message, and returns its frames. Not safe to cancel.
    ///
    /// # Errors
    /// If the connection breaks, or the peer does not keep to the protocol.
    pub async fn message(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        loop {
            let (flags, body) = self.read_frame().await?;
            if flags & COMMAND != 0 {
                // A ping has a time to live of two bytes, and a context that belongs into the answer (ZMTP 3.1).
                if let Some(ping) = body.strip_prefix(b"\x04PING") {
                    let pong = [b"\x04PONG", ping.get(2..18.min(ping.len())).unwrap_or_default()].concat();
                    self.write(COMMAND, &pong).await?;
                }
                continue;
            }
            frames.push(body);
            if flags & MORE == 0 {
                return Ok(frames);
            }
            if frames.len() >= MOST_FRAMES {
                return Err(wrong("a message has too many parts"));
            }
        }
    }

    async fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let flags = self.stream.read_u8().await?;
        let size = match flags & LONG {
            0 => self.stream.read_u8().await?.into(),
            _ => self.stream.read_u64().await?,
        };
        let size = usize::try_from(size).ok().filter(|_| size <= LONGEST);
        let mut body = vec![0; size.ok_or_else(|| wrong("a frame is too long"))?];
        self.stream.read_exact(&mut body).await?;
        Ok((flags, body))
    }

    async fn write(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        let size = u8::try_from(body.len()).map_err(io::Error::other)?;
        self.stream.write_all(&[&[flags, size], body].concat()).await
    }
}

fn wrong(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// What libzmq 4.3 sends as a publisher: its greeting of version 3.1, and its READY.
    const GREETING: [u8; 64] = {
        let mut greeting = [0; 64];
        (greeting[0], greeting[8], greeting[9], greeting[10], greeting[11]) = (0xff, 1, 0x7f, 3, 1);
        (greeting[12], greeting[13], greeting[14], greeting[15]) = (b'N', b'U', b'L', b'L');
        greeting
    };
    const READY: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB";

    async fn publisher(bytes: &[u8]) -> (io::Result<Subscriber<DuplexStream>>, DuplexStream) {
        let (ours, mut peers) = duplex(4096);
        peers.write_all(bytes).await.unwrap();
        (Subscriber::subscribe(ours, b"hashblock").await, peers)
    }

    #[tokio::test]
    async fn messages_come_after_greeting_and_subscription() {
        let (subscriber, mut peer) = publisher(&[&GREETING[..], READY].concat()).await;
        let mut subscriber = subscriber.unwrap();
        let mut sent = [0; 64 + 27 + 12];
        peer.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent[64..], b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB\0\x0a\x01hashblock");

        peer.write_all(b"\x01\x09hashblock\x01\x02ab\0\x04\x07\0\0\0").await.unwrap();
        let frames = subscriber.message().await.unwrap();
        assert_eq!(frames, [&b"hashblock"[..], b"ab", b"\x07\0\0\0"]);
        // A ping is answered, and a frame may have a long size.
        peer.write_all(b"\x04\x09\x04PING\0\x0aab\x02\0\0\0\0\0\0\0\x01x").await.unwrap();
        assert_eq!(subscriber.message().await.unwrap(), [b"x"]);
        let mut pong = [0; 9];
        peer.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x04\x07\x04PONGab");
        drop(peer);
        assert_eq!(subscriber.message().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn other_peers_are_refused() {
        let curve = [&GREETING[..12], b"CURVE", &GREETING[17..], READY].concat();
        let no_zmtp = [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[b' '; 80]].concat();
        let error = [&GREETING[..], b"\x04\x09\x05ERROR\x02no"].concat();
        for bytes in [curve, no_zmtp, error] {
            assert_eq!(publisher(&bytes).await.0.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let long = [&GREETING[..], READY, b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"].concat();
        let parts = [&GREETING[..], READY, &b"\x01\0".repeat(9)].concat();
        for bytes in [long, parts] {
            let (subscriber, _peer) = publisher(&bytes).await;
            assert_eq!(subscriber.unwrap().message().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
