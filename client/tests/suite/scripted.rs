//! A pool's end of one connection, line by line.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Generous: only a hang should meet it.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// Listens where nobody listens any more.
pub async fn listen_again(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.expect("the port of before")
}

pub fn port(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("an address").port()
}

/// One connection of the client's.
pub struct Pool {
    lines: Lines<BufReader<OwnedReadHalf>>,
    out: OwnedWriteHalf,
}

impl Pool {
    pub async fn accept(listener: &TcpListener) -> Pool {
        let (stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("a connection");
        Pool::over(stream)
    }

    /// Takes the next client in and gives it a job, which voids all others.
    pub async fn at_work(listener: &TcpListener, extranonce1: &str, job: &str) -> Pool {
        let mut pool = Pool::accept(listener).await;
        pool.welcome(extranonce1).await;
        pool.notify(job, true).await;
        pool
    }

    fn over(stream: TcpStream) -> Pool {
        let (read, out) = stream.into_split();
        Pool { lines: BufReader::new(read).lines(), out }
    }

    pub async fn say(&mut self, line: &str) {
        self.out.write_all(format!("{line}\n").as_bytes()).await.expect("the client listens");
    }

    /// Says nothing but this line from now on, without a pause, until the client has gone.
    pub fn flood(self, line: &str) -> std::thread::JoinHandle<()> {
        let whole = self.lines.into_inner().into_inner().reunite(self.out).expect("one connection");
        let mut stream = whole.into_std().expect("a socket");
        stream.set_nonblocking(false).expect("a socket that can wait");
        let lines = format!("{line}\n").repeat(1_000);
        // A thread of its own, so that there is always something to be read.
        std::thread::spawn(move || while stream.write_all(lines.as_bytes()).is_ok() {})
    }

    /// The next request.
    pub async fn next(&mut self) -> Value {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("in time").expect("a line");
        serde_json::from_str(&line.expect("an open connection")).expect("JSON")
    }

    /// The next request of that method; others are left unanswered.
    pub async fn hear(&mut self, method: &str) -> Value {
        loop {
            let call = self.next().await;
            if call["method"] == method {
                return call;
            }
        }
    }

    /// Whether the client has closed, rather than said something.
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
        self.say(&json!({"id": call["id"], "result": result, "error": error}).to_string()).await;
    }

    /// Takes the client in, as session "s" with this extranonce1; returns the parameters of its subscribe.
    pub async fn welcome(&mut self, extranonce1: &str) -> Value {
        let subscribe = self.hear("mining.subscribe").await;
        self.answer(&subscribe, json!([[["mining.notify", "s"]], extranonce1, 4]), Value::Null).await;
        let authorize = self.hear("mining.authorize").await;
        assert_eq!(authorize["params"], json!(["me.rig", "secret"]));
        self.answer(&authorize, json!(true), Value::Null).await;
        subscribe["params"].clone()
    }

    pub async fn notify(&mut self, id: &str, clean: bool) {
        let prev = "00".repeat(32);
        let params = json!([id, prev, "01", "02", [], "20000000", "1d00ffff", "65000000", clean]);
        self.say(&json!({"id": null, "method": "mining.notify", "params": params}).to_string()).await;
    }
}
