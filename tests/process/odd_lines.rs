//! `mesos-miner pool` with miners whose lines are not one well-formed message each, and with a broken miner behind the same address as a
//! healthy one.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::process::{Process, mesos_miner};

/// A pool of the built-in chain, and its address.
fn pool(options: &[&str]) -> (Process, String) {
    let arguments = ["pool", "--listen", "127.0.0.1:0", "--block-interval", "600s"];
    let mut pool = mesos_miner(arguments.iter().chain(options));
    let address =
        pool.wait_for_output(DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned));
    (pool, address)
}

/// A miner that sends any bytes.
struct Miner {
    stream: TcpStream,
    lines: std::io::Lines<BufReader<TcpStream>>,
}

impl Miner {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        Miner { stream, lines }
    }

    /// Subscribes and authorizes a worker.
    fn ready(address: &str) -> Self {
        let mut miner = Miner::connect(address);
        for (method, params) in [("mining.subscribe", json!([])), ("mining.authorize", json!(["w", "x"]))] {
            miner.send(json!({"id": 1, "method": method, "params": params}).to_string().as_bytes());
            assert_eq!(miner.answer().expect("an answer")["error"], Value::Null);
        }
        miner
    }

    fn send(&mut self, line: &[u8]) {
        // The pool may have closed the connection, which the next read shows.
        let _ = self.stream.write_all(&[line, b"\n"].concat());
    }

    /// Submits shares until one is accepted. Any hash is a share of this pool's difficulty, and often a block, after which the job is
    /// stale.
    fn mine_share(&mut self) {
        for nonce in 0..1_000 {
            let job = self.current_job();
            let nonce = format!("{nonce:08x}");
            let params = json!(["w", job[0], "0000000000000000", job[7], nonce]);
            self.send(json!({"id": 5, "method": "mining.submit", "params": params}).to_string().as_bytes());
            let answer = self.answer().expect("an answer");
            if answer["result"] == true {
                return;
            }
            assert_eq!(answer["error"][0], 21, "only stale shares are rejected: {answer}");
        }
        panic!("no share is accepted");
    }

    /// The parameters of the job that comes after a further subscription.
    fn current_job(&mut self) -> Value {
        self.send(br#"{"id":9,"method":"mining.subscribe","params":[]}"#);
        let mut subscribed = false;
        loop {
            let line = self.lines.next().expect("a line").expect("no error");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            subscribed |= message["id"] == 9;
            if subscribed && message["method"] == "mining.notify" {
                return message["params"].clone();
            }
        }
    }

    /// The next answer; `None` at the end of the connection.
    fn answer(&mut self) -> Option<Value> {
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            };
            let message: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if message.get("method").is_none() {
                return Some(message);
            }
        }
    }
}

#[test]
fn lines_that_are_no_message_are_answered_and_the_connection_goes_on() {
    let (_pool, address) = pool(&[]);
    let mut miner = Miner::ready(&address);
    let faults: [(&[u8], Value, &str); 6] = [
        (br#"{"id":1,"id":2,"method":"mining.ping"}"#, json!(2), "occurs twice"),
        (br#"{"id":3,"method":"mining.ping",}"#, json!(3), "trailing comma"),
        (b"{\"id\":4,\"method\":\"mining.\0ping\"}", json!(4), "control character"),
        (br#"{"id":5}"#, json!(5), "without a method"),
        (br#"[1]"#, Value::Null, "neither a call nor an answer"),
        (b"\xff\xfe", Value::Null, "neither a call nor an answer"),
    ];
    for (line, id, fault) in faults {
        miner.send(line);
        let answer = miner.answer().expect("an answer");
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer["error"][1].as_str().is_some_and(|text| text.contains(fault)), "{answer}");
    }
    miner
        .send(b"\xef\xbb\xbf{\"id\":6,\"method\":\"mining.ping\"}\0{\"id\":7,\"method\":\"mining.ping\"},\r");
    for id in [6, 7] {
        assert_eq!(miner.answer().expect("an answer"), json!({"id": id, "result": "pong", "error": null}));
    }
    miner.send(br#"{"id":8,"method":"mining.configure","params":[["version-rolling","subscribe-extranonce"],{"version-rolling.mask":"0x1fffe000"}]}"#);
    let configured = miner.answer().expect("an answer");
    assert_eq!(configured["result"], json!({"version-rolling": false, "subscribe-extranonce": true}));
    for _ in 0..20 {
        miner.send(b"noise");
    }
    while miner.answer().is_some() {}
}

#[test]
fn a_broken_miner_does_not_get_the_address_of_a_healthy_one_refused() {
    let options = [
        "--ban-loopback",
        "--ban-shares",
        "60",
        "--ban-time",
        "1h",
        "--start-difficulty",
        "1e-12",
        "--minimum-difficulty",
        "1e-12",
        "--share-interval",
        "600s",
    ];
    let (_pool, address) = pool(&options);
    let mut healthy = Miner::ready(&address);
    healthy.mine_share();
    let mut broken = Miner::ready(&address);
    let mut rejected = 0;
    loop {
        broken.send(br#"{"id":4,"method":"mining.submit","params":["w","1","zz","0","0"]}"#);
        match broken.answer() {
            Some(_) => rejected += 1,
            None => break,
        }
        assert!(rejected <= 60, "the broken miner goes on");
    }
    assert!(rejected >= 30, "it ended after {rejected} shares");
    // The healthy miner goes on, and may come back.
    healthy.mine_share();
    drop(healthy);
    Miner::ready(&address).mine_share();
}
