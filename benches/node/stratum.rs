//! A miner that only listens: it notes when each job has come.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A `mining.notify`.
#[derive(Clone, Debug)]
pub struct Notify {
    /// The time of day (UTC) at which its last byte had been read.
    pub time: Duration,
    /// The block that the job builds on, as Bitcoin Core prints its hash.
    pub previous: String,
    /// Whether the job's block has transactions.
    pub full: bool,
}

pub struct Listener(Arc<Mutex<Vec<Notify>>>);

impl Listener {
    /// Subscribes to a pool, and listens until the pool ends.
    pub fn start(pool: &str) -> Self {
        let mut stream = TcpStream::connect(pool).expect("the pool listens");
        stream.set_nodelay(true).expect("a socket");
        for (id, method, params) in
            [(1, "mining.subscribe", json!(["bench"])), (2, "mining.authorize", json!(["bench", "x"]))]
        {
            let line = json!({"id": id, "method": method, "params": params});
            stream.write_all(format!("{line}\n").as_bytes()).expect("the pool reads");
        }
        let heard: Arc<Mutex<Vec<Notify>>> = Arc::default();
        let into = heard.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
                let time = time_of_day();
                let message: Value = serde_json::from_str(&line).expect("JSON");
                if message["method"] == "mining.notify" {
                    into.lock().expect("no holder panics").push(notify(time, &message["params"]));
                }
                line.clear();
            }
        });
        Listener(heard)
    }

    /// The first job on top of a block.
    pub fn first(&self, previous: &str) -> Option<Notify> {
        self.find(|job| job.previous == previous)
    }

    /// The first job on top of a block that has transactions.
    pub fn first_full(&self, previous: &str) -> Option<Notify> {
        self.find(|job| job.previous == previous && job.full)
    }

    fn find(&self, wanted: impl Fn(&Notify) -> bool) -> Option<Notify> {
        self.0.lock().expect("no holder panics").iter().find(|job| wanted(job)).cloned()
    }
}

fn notify(time: Duration, params: &Value) -> Notify {
    let hex = params[1].as_str().expect("a hash");
    // Stratum sends the hash's eight words in reversed order.
    let words = (0..8).rev().map(|word| &hex[8 * word..8 * word + 8]);
    let full = params[4].as_array().is_some_and(|branch| !branch.is_empty());
    Notify { time, previous: words.collect(), full }
}

/// The time since midnight UTC.
fn time_of_day() -> Duration {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since_epoch - Duration::from_secs(since_epoch.as_secs() / 86_400 * 86_400)
}
