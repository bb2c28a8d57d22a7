//! A small agent: HTTP by hand, one subscription at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use mesos::executor::Event;
use mesos::recordio;
use mesos::v1::executor::{Call, Event as Wire, call};
use prost::Message as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What arrives: a call, and for a subscription the stream to answer on.
pub(super) type Arrived = (Call, Option<Stream>);

pub(super) struct Agent {
    pub address: String,
    /// Calls are answered 503, as by an agent that recovers; subscriptions are not.
    pub recovers: Arc<AtomicBool>,
    pub calls: mpsc::UnboundedReceiver<Arrived>,
    accept: tokio::task::JoinHandle<()>,
}

impl Agent {
    pub async fn start() -> Agent {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, calls) = mpsc::unbounded_channel();
        let recovers = Arc::new(AtomicBool::new(false));
        let refuses = recovers.clone();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, sender.clone(), refuses.clone()));
            }
        });
        Agent { address, recovers, calls, accept }
    }

    /// The stream of the next subscription.
    pub async fn subscribed(&mut self) -> Stream {
        loop {
            if let (_, Some(stream)) = self.call().await {
                return stream;
            }
        }
    }

    pub async fn call(&mut self) -> Arrived {
        let call = tokio::time::timeout(super::process::DEADLINE, self.calls.recv()).await;
        call.expect("a call in time").expect("the agent runs")
    }

    /// No more connections, as if the process had died. Streams end when they are dropped.
    pub fn die(&mut self) {
        self.accept.abort();
    }
}

/// The event stream to the executor.
pub(super) struct Stream(TcpStream);

impl Stream {
    pub async fn send(&mut self, event: Event) {
        let record = recordio::encode(&Wire::from(event).encode_to_vec());
        let mut chunk = format!("{:x}\r\n", record.len()).into_bytes();
        chunk.extend(record);
        chunk.extend(b"\r\n");
        self.0.write_all(&chunk).await.expect("the executor listens");
    }
}

/// Reads requests; the connection of a subscription becomes its stream.
async fn serve(stream: TcpStream, calls: mpsc::UnboundedSender<Arrived>, refuses: Arc<AtomicBool>) {
    let mut reader = BufReader::new(stream);
    while let Some(body) = request(&mut reader).await {
        let call = Call::decode(&body[..]).expect("a call");
        if call.r#type() == call::Type::Subscribe {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut stream = reader.into_inner();
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = calls.send((call, Some(Stream(stream))));
            return;
        }
        let answer = if refuses.load(Relaxed) { "503 Service Unavailable" } else { "202 Accepted" };
        let _ = calls.send((call, None));
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        let _ = reader.get_mut().write_all(answer.as_bytes()).await;
    }
}

async fn request(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line.is_empty() {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).await.ok()?;
            return Some(body);
        }
    }
}
