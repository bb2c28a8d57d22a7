//! A minimal HTTP client, and a server that is not Mesos.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The body of the response to a GET.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    // Use HTTP/1.0, so that the body is not chunked and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.ok_or_else(|| std::io::Error::other("no end of the header"))?;
    Ok(answer.split_off(end + 4))
}

/// The body of a response as text.
pub fn get_text(address: SocketAddr, path: &str) -> Option<String> {
    String::from_utf8(get(address, path).ok()?).ok()
}

/// The body of a response as JSON.
pub fn get_json(address: SocketAddr, path: &str) -> Option<serde_json::Value> {
    serde_json::from_slice(&get(address, path).ok()?).ok()
}

/// Sends a POST request with JSON. Returns the status of the response.
pub fn post_json(address: SocketAddr, path: &str, body: &serde_json::Value) -> std::io::Result<u16> {
    post(address, path, "application/json", &body.to_string())
}

/// Sends a POST request with the fields of an HTML form, such as `a=1&b=2`. Returns the status of the response.
pub fn post_form(address: SocketAddr, path: &str, fields: &str) -> std::io::Result<u16> {
    post(address, path, "application/x-www-form-urlencoded", fields)
}

fn post(address: SocketAddr, path: &str, kind: &str, body: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: {kind}\r\nAccept: */*");
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::other(format!("no status in {line:?}")))
}

/// A server that sends the same status and text to every request, until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn answering(status: &'static str, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || answer(stream, status, body));
            }
        });
        Server { address, stop }
    }
}

fn answer(stream: TcpStream, status: &str, body: &str) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    let mut length = 0;
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let _ = reader.read_exact(&mut vec![0; length]);
    let _ = write!(
        &stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}
