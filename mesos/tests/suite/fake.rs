//! A peer that answers what it is told, byte for byte, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use mesos::address::{Endpoint, HostPort, Scheme};
use mesos::v1::FrameworkInfo;
use mesos::{CallError, scheduler, v1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// What to do with one request.
#[derive(Clone)]
pub enum Answer {
    /// Send these bytes, and await the next request on the same connection.
    Bytes(Vec<u8>),
    /// Send them in pieces of that many bytes, and close.
    Pieces(Vec<u8>, usize),
    /// Send them, say nothing more, and keep the connection.
    Silence(Vec<u8>),
    /// Close.
    Hang,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Connections are counted from 0.
    pub connection: usize,
    /// Request line and headers, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// Listens on a port of its own. Takes the answers in order, whichever connection asks.
pub struct Fake {
    pub address: HostPort,
    asked: Arc<Mutex<Vec<Asked>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Fake {
    pub async fn start(answers: Vec<Answer>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers)
    }

    /// Listens there.
    pub fn on(listener: TcpListener, answers: Vec<Answer>) -> Self {
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let (keep, mut connections) = (asked.clone(), 0..);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, connections.next().unwrap(), keep.clone(), answers.clone()));
            }
        });
        Self { address, asked, listening }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn client(&self, config: mesos::Config) -> scheduler::SchedulerClient {
        scheduler::SchedulerClient::with_config(self.address.clone().into(), config)
    }

    pub fn agent(&self) -> Endpoint {
        Endpoint {
            scheme: Scheme::Http,
            address: self.address.clone(),
            path: "/slave(1)/api/v1/executor".into(),
        }
    }
}

/// Answers the requests of one connection.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<std::vec::IntoIter<Answer>>>,
) {
    while let Some((head, body)) = request(&mut stream).await {
        asked.lock().unwrap().push(Asked { connection, head, body });
        let answer = answers.lock().unwrap().next().expect("an answer for each request");
        match answer {
            Answer::Bytes(bytes) => stream.write_all(&bytes).await.unwrap(),
            Answer::Pieces(bytes, size) => {
                for piece in bytes.chunks(size) {
                    if stream.write_all(piece).await.is_err() {
                        return; // the client has seen enough
                    }
                    tokio::task::yield_now().await;
                }
                return;
            }
            Answer::Silence(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                let _ = stream.read(&mut [0]).await;
                return;
            }
            Answer::Hang => return,
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

/// The head of a stream that a real master would begin.
pub fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: s-1\r\n\
      Content-Type: application/x-protobuf\r\n\r\n"
        .to_vec()
}

/// Events as one chunk of a stream.
pub fn chunk(events: impl IntoIterator<Item = scheduler::Event>) -> Vec<u8> {
    let records = events.into_iter().flat_map(|event| {
        mesos::recordio::encode(&prost::Message::encode_to_vec(&v1::scheduler::Event::from(event)))
    });
    let records: Vec<u8> = records.collect();
    [format!("{:x}\r\n", records.len()).as_bytes(), &records, b"\r\n"].concat()
}

/// An address where nobody listens, as long as the socket is kept.
pub fn nobody() -> (TcpSocket, HostPort) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string().parse().unwrap();
    (socket, address)
}

/// How a real master answers every other call.
pub fn accepted() -> Answer {
    Answer::Bytes(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec())
}

pub fn subscribe() -> v1::scheduler::Call {
    let info = FrameworkInfo { user: "u".into(), name: "n".into(), ..FrameworkInfo::default() };
    scheduler::subscribe(info)
}

/// The error of a subscription that gets this answer.
pub async fn refused(answer: Answer, config: mesos::Config) -> CallError {
    let fake = Fake::start(vec![answer]).await;
    fake.client(config).subscribe(&subscribe()).await.expect_err("a refusal")
}
