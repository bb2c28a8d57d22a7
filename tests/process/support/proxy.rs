//! A proxy between a scheduler and its master, which can delay, swallow or refuse calls.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::Type;
use prost::Message;

/// What the proxy does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAction {
    /// Forwards the call to the master.
    Forward,
    /// Accepts the call without forwarding it.
    Swallow,
    /// Responds with 503, like an overloaded server.
    Refuse,
    /// Forwards the call to the master, and never responds.
    LoseAnswer,
    /// Neither forwards the call nor responds.
    Withhold,
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts a proxy. `decide` is called for each call before it is forwarded, and may delay it by blocking.
    pub fn start(master: SocketAddr, decide: impl Fn(&Call) -> CallAction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, decide) = (stop.clone(), Arc::new(decide));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let decide = decide.clone();
                // Ignore errors, because either side may close the connection.
                std::thread::spawn(move || drop(serve(client, master, &*decide)));
            }
        });
        Proxy { address, stop }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves one connection: forwards requests and their responses in turn, and the event stream after SUBSCRIBE.
fn serve(
    mut client: TcpStream,
    master: SocketAddr,
    decide: &dyn Fn(&Call) -> CallAction,
) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(master)?;
    let mut responses = BufReader::new(upstream.try_clone()?);
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some((head, body)) = message(&mut requests)? {
        let call = Call::decode(&*body).unwrap_or_default();
        let action = decide(&call);
        match action {
            CallAction::Forward | CallAction::LoseAnswer => upstream.write_all(&[head, body].concat())?,
            CallAction::Swallow => {
                client.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            CallAction::Refuse => {
                client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")?;
                continue;
            }
            CallAction::Withhold => {
                // The scheduler closes the connection when it gives the call up.
                std::io::copy(&mut requests, &mut std::io::sink())?;
                break;
            }
        }
        if call.r#type() == Type::Subscribe {
            return stream(client, &upstream, responses);
        }
        let Some((head, body)) = message(&mut responses)? else { break };
        if action == CallAction::LoseAnswer {
            std::io::copy(&mut requests, &mut std::io::sink())?;
            break;
        }
        client.write_all(&[head, body].concat())?;
    }
    upstream.shutdown(Shutdown::Both)
}

/// Forwards an event stream until either side closes its connection.
fn stream(
    client: TcpStream,
    upstream: &TcpStream,
    mut responses: BufReader<TcpStream>,
) -> std::io::Result<()> {
    let mut back = client.try_clone()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut responses, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    // The scheduler sends nothing more on this connection. This call returns when the scheduler closes the connection.
    let _ = std::io::copy(&mut &client, &mut std::io::sink());
    upstream.shutdown(Shutdown::Both)
}

/// Reads the head and the body of the next request or response; `None` at the end of the stream.
fn message(reader: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head.extend_from_slice(line.as_bytes());
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}
