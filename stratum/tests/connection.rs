//! Reading and writing lines over streams that deliver their bytes in pieces of any size.

use std::time::Duration;

use serde_json::json;
use stratum::connection::split;
use stratum::{Call, Id, Message, ReadError, Reader, WriteError, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};
use tokio::time::timeout;

const LIMIT: usize = 1000;

fn ping(id: u64) -> Message {
    Message::Call(Call { id: Id::Number(id), method: "mining.ping".to_owned(), params: vec![json!("ü")] })
}

/// Reads all messages from these bytes, which arrive in pieces of `at_once` bytes.
async fn read_all(bytes: &[u8], at_once: usize) -> Vec<Result<Message, String>> {
    let (near, mut far) = duplex(at_once);
    let mut reader = Reader::new(near, LIMIT);
    let write = async move {
        // Writing fails if the reader has stopped at an error.
        let _ = far.write_all(bytes).await;
    };
    let read = async move {
        let mut messages = Vec::new();
        loop {
            match reader.read().await {
                Ok(None) => return messages,
                Ok(Some(message)) => messages.push(Ok(message)),
                Err(error) => {
                    messages.push(Err(error.to_string()));
                    if error.is_fatal() {
                        return messages;
                    }
                }
            }
        }
    };
    tokio::join!(write, read).1
}

#[tokio::test]
async fn lines_are_read_whole_however_they_arrive() {
    let text =
        format!("{}\r\n\n  \n{}\nnonsense\n{}\n", ping(1).to_line(), ping(2).to_line(), ping(3).to_line());
    let expected = read_all(text.as_bytes(), 10_000).await;
    assert_eq!(expected.len(), 4, "{expected:?}");
    assert_eq!([&expected[0], &expected[1], &expected[3]], [&Ok(ping(1)), &Ok(ping(2)), &Ok(ping(3))]);
    assert!(expected[2].as_ref().unwrap_err().contains("nonsense"));
    for at_once in 1..=text.len() {
        assert_eq!(read_all(text.as_bytes(), at_once).await, expected, "{at_once}");
    }
}

#[tokio::test]
async fn a_line_cut_by_the_end_is_an_error() {
    let line = ping(1).to_line();
    let read = read_all(format!("{line}\n{line}").as_bytes(), 7).await;
    assert_eq!(read.len(), 2);
    assert!(read[1].as_ref().unwrap_err().contains(&format!("after {} bytes", line.len())), "{read:?}");
}

#[tokio::test]
async fn long_lines_are_refused_with_and_without_end() {
    let line = |length: usize| format!("{{\"id\":1,\"method\":\"{}\"}}\n", "x".repeat(length - 20));
    let longest = line(LIMIT);
    assert_eq!(longest.len(), LIMIT + 1);
    assert!(read_all(longest.as_bytes(), 100).await[0].is_ok());
    for too_long in [line(LIMIT + 1), "x".repeat(LIMIT + 1), "x".repeat(100 * LIMIT)] {
        for at_once in [1, 100, 1_000_000] {
            let read = read_all(too_long.as_bytes(), at_once).await;
            assert_eq!(read, [Err(format!("a line of more than {LIMIT} bytes"))]);
        }
    }
}

#[tokio::test]
async fn the_id_of_a_long_line_is_read_where_it_stands_in_front() {
    let filler = "x".repeat(LIMIT);
    for (begin, wanted) in [("\"id\":17,\"method\":", Id::Number(17)), ("\"method\":", Id::Null)] {
        let line = format!("{{{begin}\"{filler}\",\"id\":18}}\n");
        let (near, mut far) = duplex(2 * LIMIT);
        far.write_all(line.as_bytes()).await.unwrap();
        let Err(ReadError::TooLong { id, .. }) = Reader::new(near, LIMIT).read().await else { panic!() };
        assert_eq!(id, wanted);
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_affect_only_their_own_line() {
    let mut bytes = b"\xff\xfe\x00\n{\"id\":1,\"method\":\"mining.ping\",\"params\":[\"\xff\"]}\n".to_vec();
    bytes.extend(format!("{}\n", ping(2).to_line()).bytes());
    let read = read_all(&bytes, 5).await;
    assert!(read[0].is_err() && read[1].is_ok(), "{read:?}");
    assert_eq!(read[2], Ok(ping(2)));
}

#[tokio::test]
async fn a_dropped_read_loses_nothing() {
    let (near, mut far) = duplex(1000);
    let mut reader = Reader::new(near, LIMIT);
    for byte in format!("{}\n", ping(7).to_line()).bytes() {
        // The future is polled once, then dropped.
        assert!(timeout(Duration::ZERO, reader.read()).await.is_err());
        far.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(reader.read().await.unwrap(), Some(ping(7)));
}

#[tokio::test]
async fn the_next_send_finishes_a_dropped_one() {
    let (near, far) = duplex(5);
    let (_, mut writer) = split(near, LIMIT);
    assert!(timeout(Duration::ZERO, writer.send(&ping(1))).await.is_err());
    assert!(writer.waiting() > 0);
    let write = async move {
        writer.send(&ping(2)).await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(writer.waiting(), 0);
    };
    let mut reader = Reader::new(far, LIMIT);
    let read = async move {
        [reader.read().await.unwrap(), reader.read().await.unwrap(), reader.read().await.unwrap()]
    };
    assert_eq!(tokio::join!(write, read).1, [Some(ping(1)), Some(ping(2)), None]);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_noticed() {
    let (near, _far) = duplex(1);
    let mut writer = Writer::new(near);
    let line = "x".repeat(100_000);
    let refused = (0..1000).find_map(|_| writer.queue(&line).err());
    assert!(matches!(refused, Some(WriteError::Backlog { bytes }) if bytes > 100_000));
}

#[tokio::test]
async fn a_broken_stream_is_an_error() {
    let (near, far) = duplex(10);
    let (mut reader, mut writer) = split(near, LIMIT);
    drop(far);
    assert!(matches!(writer.send(&ping(1)).await, Err(WriteError::Io(_))));
    assert!(matches!(reader.read().await, Ok(None) | Err(ReadError::Io(_))));
}

#[tokio::test]
async fn one_line_is_one_write_ended_by_a_newline() {
    let (near, mut far) = duplex(1000);
    Writer::new(near).send(&ping(1)).await.unwrap();
    let mut text = String::new();
    far.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, format!("{}\n", ping(1).to_line()));
}

#[tokio::test]
async fn data_buffered_by_the_stream_needs_a_flush() {
    let (near, mut far) = duplex(4);
    // Like a TLS stream, a `BufWriter` accepts all data and passes it on only when it is flushed.
    let mut writer = Writer::new(BufWriter::new(near));
    assert!(!writer.needs_flush());
    writer.queue(&ping(1).to_line()).unwrap();
    assert!(writer.needs_flush());
    assert!(timeout(Duration::ZERO, writer.flush()).await.is_err(), "nobody reads yet");
    assert_eq!(writer.waiting(), 0);
    assert!(writer.needs_flush());
    let mut line = vec![0; ping(1).to_line().len() + 1];
    let (flushed, read) = tokio::join!(writer.flush(), far.read_exact(&mut line));
    flushed.unwrap();
    read.unwrap();
    assert!(!writer.needs_flush() && line.ends_with(b"\n"));
}
