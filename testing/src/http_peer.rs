//! An HTTP server that sends prepared bytes. The server shares no code with the clients under test, and can misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The number of the request's connection, counted from 0.
    pub connection: usize,
    /// Request line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The reaction to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Sends these bytes, and waits for the next request on the same connection.
    Bytes(Vec<u8>),
    /// Sends these bytes in pieces of this size, and closes the connection.
    Pieces(Vec<u8>, usize),
    /// Sends these bytes, and then nothing more. The connection stays open.
    Silence(Vec<u8>),
    /// Sends each piece when it is received from the channel. Closes the connection when the channel's sender is dropped.
    Stream(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<u8>>>>),
    /// Closes the connection.
    Close,
}

/// A server on a port of its own. Dropping this value stops listening, but does not close open connections.
#[derive(Debug)]
pub struct HttpPeer {
    /// The address that the server listens on.
    pub address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Drop for HttpPeer {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

impl HttpPeer {
    /// Starts a server on 127.0.0.1. `reply` returns the reaction to each request.
    pub async fn start(reply: impl FnMut(Request) -> Reply + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::on(listener, reply)
    }

    /// Starts a server on this listener.
    pub fn on(listener: TcpListener, reply: impl FnMut(Request) -> Reply + Clone + Send + 'static) -> Self {
        let address = listener.local_addr().expect("a bound socket");
        let listening = tokio::spawn(async move {
            let mut connections = 0..;
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a connection");
                tokio::spawn(serve(stream, connections.next().unwrap_or_default(), reply.clone()));
            }
        });
        Self { address, listening }
    }

    /// Accepts no more connections.
    pub fn stop_listening(&self) {
        self.listening.abort();
    }
}

/// Serves one connection.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    mut reply: impl FnMut(Request) -> Reply,
) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let reply = reply(Request { connection, head, body });
        if !send(&mut stream, reply).await {
            return;
        }
    }
}

/// Returns whether the connection is to be kept open for another request.
async fn send(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reply: Reply) -> bool {
    match reply {
        Reply::Bytes(bytes) => return stream.write_all(&bytes).await.is_ok(),
        Reply::Pieces(bytes, size) => {
            for piece in bytes.chunks(size) {
                // The client may close the connection before it has read everything.
                if stream.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Reply::Silence(bytes) => {
            if stream.write_all(&bytes).await.is_ok() {
                let _ = stream.read(&mut [0]).await;
            }
        }
        Reply::Stream(pieces) => {
            let mut pieces = pieces.lock().await;
            while let Some(piece) = pieces.recv().await {
                if stream.write_all(&piece).await.is_err() {
                    break;
                }
            }
        }
        Reply::Close => {}
    }
    false
}

/// Head and body of the next request; `None` when the client has closed the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a head in ASCII").to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    // GET has no body.
    let length = length.or(head.starts_with("get ").then_some("0"));
    let mut body = vec![0; length.expect("a Content-Length").parse().expect("a number")];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

/// Prepared replies. Each request gets the next reply, no matter on which connection it arrives. Records the requests. Clones
/// share the replies and the requests.
#[derive(Debug, Clone)]
pub struct Script {
    replies: Arc<Mutex<std::vec::IntoIter<Reply>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Script {
    /// A script with these replies.
    pub fn new(replies: Vec<Reply>) -> Self {
        Self { replies: Arc::new(Mutex::new(replies.into_iter())), requests: Arc::default() }
    }

    /// Records a request and takes the next reply.
    pub fn reply(&self, request: Request) -> Reply {
        self.requests.lock().expect("no panic").push(request);
        self.replies.lock().expect("no panic").next().expect("a reply for each request")
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}
