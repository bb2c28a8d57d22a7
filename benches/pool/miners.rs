//! Simulates many miners that hardly do any work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

/// The number of simulated miners that connect to the pool concurrently.
const AT_ONCE: usize = 100;

/// Simulates the miners that the arguments describe, and prints the measured times.
pub fn play(arguments: &[String]) {
    let all = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: all, maximum: all }).expect("it is allowed");
    let number =
        |index: usize| arguments.get(index).and_then(|text| text.parse::<usize>().ok()).expect("a number");
    let address = arguments.get(1).expect("an address").clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match arguments.first().map(String::as_str) {
        Some("crowd") => runtime.block_on(crowd(&address, number(2), number(3))),
        Some("shares") => runtime.block_on(shares(&address, number(2), number(3), number(4))),
        other => panic!("unknown play {other:?}"),
    }
}

/// A connection with an authorized worker and a job.
struct Miner {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    worker: String,
    extranonce1: Vec<u8>,
    job: Value,
}

impl Miner {
    async fn connect(address: &str, number: usize, password: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the pool takes connections");
        stream.set_nodelay(true).expect("a socket");
        let (read, mut write) = stream.into_split();
        let worker = format!("rig.{number}");
        let hello = json!({"id": 1, "method": "mining.subscribe", "params": ["bench"]});
        let who = json!({"id": 2, "method": "mining.authorize", "params": [worker, password]});
        write.write_all(format!("{hello}\n{who}\n").as_bytes()).await.expect("the pool listens");
        let lines = BufReader::with_capacity(2048, read).lines();
        let mut miner = Miner { lines, write, worker, extranonce1: vec![], job: Value::Null };
        while miner.job.is_null() {
            let message = miner.next().await;
            if message["id"] == 1 {
                miner.extranonce1 = unhex(&message["result"][1]);
            }
        }
        miner
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("the pool speaks").expect("the pool stays")
    }

    async fn next(&mut self) -> Value {
        let message: Value = serde_json::from_str(&self.line().await).expect("JSON");
        if message["method"] == "mining.notify" {
            self.job = message["params"].clone();
        }
        message
    }

    fn submit(&self, id: usize, extranonce2: u64, nonce: u32) -> String {
        let params = json!([
            self.worker,
            self.job[0],
            format!("{extranonce2:016x}"),
            self.job[7],
            format!("{nonce:08x}")
        ]);
        format!("{}\n", json!({"id": id, "method": "mining.submit", "params": params}))
    }

    /// Finds a nonce that solves a block.
    fn solve(&self, extranonce2: u64) -> u32 {
        let coinbase = [
            unhex(&self.job[2]),
            self.extranonce1.clone(),
            extranonce2.to_be_bytes().to_vec(),
            unhex(&self.job[3]),
        ];
        let mut root = hasher::sha256d(&coinbase.concat()).to_vec();
        for node in self.job[4].as_array().expect("a branch") {
            root = hasher::sha256d(&[root, unhex(node)].concat()).to_vec();
        }
        let number =
            |index: usize| u32::from_str_radix(self.job[index].as_str().expect("hex"), 16).expect("hex");
        let mut header = Vec::new();
        header.extend(number(5).to_le_bytes());
        // Stratum reverses the bytes of each group of four.
        header.extend(unhex(&self.job[1]).chunks(4).flat_map(|word| word.iter().rev().copied()));
        header.extend(root);
        header.extend(number(7).to_le_bytes());
        header.extend(number(6).to_le_bytes());
        let target = hasher::Target::from_compact(hasher::CompactTarget(number(6))).expect("a target");
        let meets = |nonce: &u32| {
            let header = [&header[..], &nonce.to_le_bytes()].concat();
            target.is_met_by(&hasher::Digest::from_bytes(hasher::sha256d(&header)))
        };
        (0..u32::MAX).find(meets).expect("a nonce")
    }
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("text")).expect("hex")
}

async fn connect_all(address: &str, count: usize, password: &'static str) -> Vec<Miner> {
    let mut miners = Vec::new();
    while miners.len() < count {
        let from = miners.len();
        let batch = (from..count.min(from + AT_ONCE)).map(|number| {
            let address = address.to_owned();
            tokio::spawn(async move { Miner::connect(&address, number, password).await })
        });
        for miner in batch.collect::<Vec<_>>() {
            miners.push(miner.await.expect("it connects"));
        }
    }
    miners
}

/// Prints "ready", and waits for a line on standard input.
async fn ready() {
    println!("ready");
    // Read on a blocking thread, so that the connections are still served.
    let word = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    word.await.expect("a thread").expect("the word");
}

fn print(times: &[Duration]) {
    let text: Vec<String> = times.iter().map(|time| format!("{:.3}", time.as_secs_f64() * 1e3)).collect();
    println!("{}", text.join(" "));
}

/// One miner finds blocks. For each block, prints how long the other miners waited for the new job.
async fn crowd(address: &str, count: usize, blocks: usize) {
    let mut miners = connect_all(address, count, "x").await;
    let mut finder = miners.pop().expect("more than none");
    let (sender, mut heard) = mpsc::unbounded_channel();
    for mut miner in miners {
        let sender = sender.clone();
        tokio::spawn(async move {
            loop {
                let line = miner.line().await;
                let at = Instant::now();
                // Only the job on a new block is clean.
                if line.contains("mining.notify") && line.contains("true]") {
                    let _ = sender.send(at);
                }
            }
        });
    }
    ready().await;
    for block in 0..blocks {
        // The pool may have sent newer jobs on the same block. Use the last one.
        while tokio::time::timeout(Duration::from_millis(500), finder.next()).await.is_ok() {}
        while heard.try_recv().is_ok() {}
        let nonce = finder.solve(block as u64);
        let line = finder.submit(3, block as u64, nonce);
        let found = Instant::now();
        finder.write.write_all(line.as_bytes()).await.expect("the pool listens");
        let mut times = Vec::new();
        while times.len() + 1 < count {
            times.push(heard.recv().await.expect("all listen").saturating_duration_since(found));
        }
        print(&times);
    }
    std::future::pending().await
}

/// Each miner submits shares at its rate. Prints the time until each response.
async fn shares(address: &str, count: usize, per_second: usize, seconds: usize) {
    // The target is so easy that every hash is a share.
    let miners = connect_all(address, count, "d=0.000000000001").await;
    let (each, period) =
        (per_second * seconds / count, Duration::from_secs(1) * count as u32 / per_second as u32);
    let begin = Arc::new(Notify::new());
    let tasks = miners.into_iter().enumerate().map(|(index, miner)| {
        let begin = begin.clone();
        let lag = period * index as u32 / count as u32;
        tokio::spawn(async move {
            begin.notified().await;
            submit_at_pace(miner, each, period, Instant::now() + lag).await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::task::yield_now().await;
    ready().await;
    begin.notify_waiters();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("it submits"));
    }
    print(&times);
    std::future::pending().await
}

/// Submits one share in each period. Returns the time until each response.
async fn submit_at_pace(mut miner: Miner, count: usize, period: Duration, start: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..count {
        let due = start + period * number as u32;
        tokio::time::sleep_until(due.into()).await;
        let line = miner.submit(100 + number, number as u64, 0);
        let sent = Instant::now();
        miner.write.write_all(line.as_bytes()).await.expect("the pool listens");
        loop {
            let message = miner.next().await;
            if message["id"] == 100 + number {
                assert_eq!(message["result"], true, "{message}");
                break;
            }
        }
        times.push(sent.elapsed());
    }
    times
}
