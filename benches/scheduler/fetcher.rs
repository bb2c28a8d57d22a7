//! The agents' fetchers. They use real HTTP, and share a limited bandwidth like that of the scheduler's network link.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use super::cluster::{Cluster, Fetch, Fetched};

/// Maximum number of bytes that a fetch reads from its connection in one call.
const PIECE: usize = 16 * 1024;
/// The size of the receive buffer of a fetch's socket, in bytes. With a larger buffer, the server could write the whole file
/// before the client has read it.
const RECEIVED: u32 = 64 * 1024;
/// Maximum size of a response's head in bytes.
const HEAD: usize = 16 * 1024;

/// The network link that all fetches share.
struct Line {
    bytes_per_second: f64,
    /// When the link becomes free, because it has forwarded all bytes that were passed to it.
    free: Mutex<Instant>,
}

impl Line {
    /// Waits until the link has forwarded this many more bytes.
    async fn carry(&self, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let forwarded = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            *free = (*free).max(Instant::now()) + time;
            *free
        };
        tokio::time::sleep_until(forwarded.into()).await;
    }
}

/// Runs all fetches concurrently, until the cluster is dropped.
pub async fn run(
    cluster: Weak<Mutex<Cluster>>,
    mut fetches: mpsc::UnboundedReceiver<Fetch>,
    bytes_per_second: f64,
) {
    let line = Arc::new(Line { bytes_per_second, free: Mutex::new(Instant::now()) });
    while let Some(fetch) = fetches.recv().await {
        let (cluster, line) = (cluster.clone(), line.clone());
        tokio::spawn(async move {
            let mut bytes = 0;
            let got = tokio::time::timeout_at(fetch.by.into(), get(&fetch.uri, &line, &mut bytes)).await;
            let end = match got {
                Err(_) => Fetched::TooLate,
                Ok(Ok(())) => Fetched::All,
                Ok(Err(why)) => Fetched::Failed(format!("Failed to fetch {}: {why}", fetch.uri)),
            };
            if let Some(cluster) = cluster.upgrade() {
                let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
                cluster.fetched(fetch.agent, bytes, &end, Instant::now());
            }
        });
    }
}

/// Fetches a file and adds its bytes to `bytes`. Requests the length first, as Mesos' agents do to make room in their cache.
async fn get(uri: &str, line: &Line, bytes: &mut u64) -> Result<(), String> {
    let (mut answer, of_head) = (request("HEAD", uri).await?, &mut 0);
    let expected = read_to_body(&mut answer, line, of_head).await?;
    let mut answer = request("GET", uri).await?;
    let length = read_to_body(&mut answer, line, bytes).await?;
    if length != expected {
        return Err(format!("{length} bytes instead of {expected}"));
    }
    let mut piece = vec![0; PIECE];
    while *bytes < length {
        let read = answer.read(&mut piece).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err(format!("the connection ended after {bytes} bytes of {length}"));
        }
        line.carry(read).await;
        *bytes += read as u64;
    }
    Ok(())
}

async fn request(method: &str, uri: &str) -> Result<TcpStream, String> {
    let (authority, path) = uri
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(|| "no http://HOST:PORT/PATH".to_owned())?;
    let mut stream = connect(authority).await.map_err(|error| error.to_string())?;
    let request = format!("{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    Ok(stream)
}

async fn connect(authority: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = authority.parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVED)?;
    socket.connect(address).await
}

/// Reads the head, and returns the length of the body. Adds the bytes of the body that arrived with the head to `bytes`.
async fn read_to_body(answer: &mut TcpStream, line: &Line, bytes: &mut u64) -> Result<u64, String> {
    let (mut head, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let read = answer.read(&mut piece).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the connection ended before the body".to_owned());
        }
        line.carry(read).await;
        head.extend_from_slice(&piece[..read]);
        if let Some((length, begun)) = read_head(&head)? {
            *bytes += begun;
            return Ok(length);
        }
    }
}

/// The length of the body, and the part of it that arrived with the head; `None` while the head is incomplete.
fn read_head(head: &[u8]) -> Result<Option<(u64, u64)>, String> {
    let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if head.len() < HEAD {
            Ok(None)
        } else {
            Err("an answer without an end of its head".to_owned())
        };
    };
    let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
    let mut lines = text.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("HTTP response code: {status}"));
    }
    let length = lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length = length.ok_or_else(|| "an answer that does not say its length".to_owned())?;
    Ok(Some((length, (head.len() - end - 4) as u64)))
}
