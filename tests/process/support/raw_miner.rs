//! A miner that the test plays, line by line. It uses none of this project's Stratum code.

use std::io::{BufRead, BufReader, ErrorKind, Lines, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::DEADLINE;

/// A connection to a pool.
pub struct RawMiner {
    stream: TcpStream,
    lines: Lines<BufReader<TcpStream>>,
}

impl RawMiner {
    /// Connects to a pool, which must send each line that is waited for within [`DEADLINE`].
    pub fn connect(pool: &str) -> Self {
        let stream = TcpStream::connect(pool).expect("the pool listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        RawMiner { stream, lines }
    }

    /// Connects, subscribes and authorizes a worker. Returns the result of the subscription, too.
    pub fn ready(pool: &str, user: &str) -> (Self, Value) {
        let mut miner = Self::connect(pool);
        miner.call(1, "mining.subscribe", &json!([]));
        let subscribed = miner.answer(1);
        miner.call(2, "mining.authorize", &json!([user, "x"]));
        let authorized = miner.answer(2);
        assert_eq!((&subscribed["error"], &authorized["result"]), (&Value::Null, &json!(true)));
        (miner, subscribed["result"].clone())
    }

    /// Sends a line of any bytes. The pool may have closed the connection, which the next read shows.
    pub fn send(&mut self, line: &[u8]) {
        let _ = self.stream.write_all(&[line, b"\n"].concat());
    }

    pub fn call(&mut self, id: u64, method: &str, params: &Value) {
        self.send(json!({"id": id, "method": method, "params": params}).to_string().as_bytes());
    }

    /// The next message; `None` at the end of the connection.
    pub fn message(&mut self) -> Option<Value> {
        match self.lines.next()? {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message that is wanted. Those before it are lost.
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        std::iter::from_fn(|| self.message()).find(wanted).expect("an open connection")
    }

    /// The answer to the call with this id.
    pub fn answer(&mut self, id: u64) -> Value {
        self.wait_for(|message| message["id"] == id && message.get("method").is_none())
    }

    /// The parameters of the next job.
    pub fn job(&mut self) -> Value {
        self.wait_for(|message| message["method"] == "mining.notify")["params"].take()
    }
}
