//! Between a scheduler and its master: hands everything on, but may hold calls back, swallow or refuse them.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::Type;
use prost::Message;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The master gets it.
    Passes,
    /// The scheduler believes so.
    IsSwallowed,
    /// It is answered 503, as by a proxy that has too much to do.
    IsRefused,
}

/// Runs until dropped.
pub struct Proxy {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    /// `judge` sees every call before the master does, and may take its time.
    pub fn start(master: SocketAddr, judge: impl Fn(&Call) -> Fate + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, judge) = (stop.clone(), Arc::new(judge));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let judge = judge.clone();
                // That either side goes away is no failure of the proxy's.
                std::thread::spawn(move || drop(serve(client, master, &*judge)));
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

/// One connection: requests one after the other, each with a body of known length, and its answer; in the end, perhaps,
/// the stream of events.
fn serve(mut client: TcpStream, master: SocketAddr, judge: &dyn Fn(&Call) -> Fate) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(master)?;
    let mut answers = BufReader::new(upstream.try_clone()?);
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some((head, body)) = message(&mut requests)? {
        let call = Call::decode(&*body).unwrap_or_default();
        match judge(&call) {
            Fate::Passes => upstream.write_all(&[head, body].concat())?,
            Fate::IsSwallowed => {
                client.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            Fate::IsRefused => {
                client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")?;
                continue;
            }
        }
        if call.r#type() == Type::Subscribe {
            return stream(client, &upstream, answers);
        }
        let Some((head, body)) = message(&mut answers)? else { break };
        client.write_all(&[head, body].concat())?;
    }
    upstream.shutdown(Shutdown::Both)
}

/// Hands a stream of events on, until either side has had enough.
fn stream(client: TcpStream, upstream: &TcpStream, mut answers: BufReader<TcpStream>) -> std::io::Result<()> {
    let mut back = client.try_clone()?;
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    // The scheduler says nothing more on this connection.
    let _ = std::io::copy(&mut &client, &mut std::io::sink());
    upstream.shutdown(Shutdown::Both)
}

/// Head and body of the next request or answer; `None` at the end.
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
