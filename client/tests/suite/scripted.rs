//! A scripted pool: the server end of one connection, line by line.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A generous limit, exceeded only if something hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// Listens on a port that the test has reserved.
pub async fn listen_on(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.expect("a reserved port")
}

pub fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("an address").port()
}

/// The server end of one connection.
pub struct Pool {
    lines: Lines<BufReader<OwnedReadHalf>>,
    out: OwnedWriteHalf,
}

impl Pool {
    pub async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("a connection");
        Pool::over(stream)
    }

    /// Accepts a connection, authorizes the client and sends it a clean job.
    pub async fn at_work(listener: &TcpListener, extranonce1: &str, job: &str) -> Self {
        let mut pool = Pool::accept(listener).await;
        pool.welcome(extranonce1).await;
        pool.notify(job, true).await;
        pool
    }

    fn over(stream: TcpStream) -> Self {
        let (read, out) = stream.into_split();
        Pool { lines: BufReader::new(read).lines(), out }
    }

    pub async fn send_line(&mut self, line: &str) {
        self.out.write_all(format!("{line}\n").as_bytes()).await.expect("the client reads");
    }

    /// Sends this line repeatedly, without pauses, until the client disconnects.
    pub fn flood(self, line: &str) -> std::thread::JoinHandle<()> {
        let whole = self.lines.into_inner().into_inner().reunite(self.out).expect("one connection");
        let mut stream = whole.into_std().expect("a socket");
        stream.set_nonblocking(false).expect("a socket that can wait");
        let lines = format!("{line}\n").repeat(1_000);
        // Writes on a thread of its own, so that the client always has something to read.
        std::thread::spawn(move || while stream.write_all(lines.as_bytes()).is_ok() {})
    }

    /// The next request.
    pub async fn next(&mut self) -> Value {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("in time").expect("a line");
        serde_json::from_str(&line.expect("an open connection")).expect("JSON")
    }

    /// The next request; `None` if the client has closed the connection.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.ok().flatten()?;
        serde_json::from_str(&line).ok()
    }

    /// Waits for a request of this method. Other requests stay unanswered.
    pub async fn expect_call(&mut self, method: &str) -> Value {
        loop {
            let call = self.next().await;
            if call["method"] == method {
                return call;
            }
        }
    }

    /// Whether the client closes the connection before it submits another share.
    pub async fn is_over(&mut self) -> bool {
        loop {
            match timeout(DEADLINE, self.lines.next_line()).await.expect("in time") {
                Ok(None) | Err(_) => return true,
                Ok(Some(line)) if line.contains("mining.submit") => return false,
                Ok(Some(_)) => {}
            }
        }
    }

    pub async fn answer(&mut self, call: &Value, result: Value, error: Value) {
        self.send_line(&json!({"id": call["id"], "result": result, "error": error}).to_string()).await;
    }

    /// Subscribes and authorizes the client, with session id "s" and this extranonce1. Returns the parameters of its
    /// `mining.subscribe`.
    pub async fn welcome(&mut self, extranonce1: &str) -> Value {
        let subscribe = self.expect_call("mining.subscribe").await;
        self.answer(&subscribe, json!([[["mining.notify", "s"]], extranonce1, 4]), Value::Null).await;
        let authorize = self.expect_call("mining.authorize").await;
        assert_eq!(authorize["params"], json!(["me.rig", "secret"]));
        self.answer(&authorize, json!(true), Value::Null).await;
        subscribe["params"].clone()
    }

    pub async fn notify(&mut self, id: &str, clean: bool) {
        let prev = "00".repeat(32);
        let params = json!([id, prev, "01", "02", [], "20000000", "1d00ffff", "65000000", clean]);
        self.send_line(&json!({"id": null, "method": "mining.notify", "params": params}).to_string()).await;
    }
}
