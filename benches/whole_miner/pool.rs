//! A pool for measurements. It sends jobs on command at a fixed difficulty, checks every share against its job, and counts
//! the shares.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hasher::{CompactTarget, Target};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use stratum::job::{SessionParams, rolled_version};
use stratum::{Job, Message, Notify};

const MASK: u32 = 0x1fff_e000;
const EXTRANONCE1: [u8; 4] = [1, 2, 3, 4];
const EXTRANONCE2_LEN: usize = 8;

/// Numbers of shares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Valid shares.
    pub good: u64,
    /// Duplicate shares.
    pub twice: u64,
    /// Shares for unknown jobs, or with a hash above the target.
    pub wrong: u64,
}

/// A pool for one miner. It serves until the program ends.
#[derive(Clone)]
pub struct BenchPool {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    difficulty: f64,
    /// Whether each job makes the previous jobs invalid.
    clean: bool,
    jobs: HashMap<String, Job>,
    client: Option<TcpStream>,
    seen: HashSet<Vec<Value>>,
    counts: Counts,
    first_share: Option<Instant>,
}

/// CLOCK_MONOTONIC in nanoseconds. All processes share this clock.
pub fn monotonic() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::Monotonic)).expect("the clock began at zero");
    u64::try_from(time.as_nanos()).expect("machines do not run for centuries")
}

impl BenchPool {
    /// Starts a pool. Each miner gets a job once it is authorized.
    pub fn start(difficulty: f64, clean: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            difficulty,
            clean,
            jobs: HashMap::new(),
            client: None,
            seen: HashSet::new(),
            counts: Counts::default(),
            first_share: None,
        }));
        let pool = BenchPool { address, state };
        let served = pool.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                // The miner may close the connection.
                std::thread::spawn(move || drop(served.serve(&stream)));
            }
        });
        pool
    }

    /// Sends a new job. Returns the [`monotonic`] time just before the job was written; `None` if no miner is connected.
    pub fn notify(&self) -> Option<u64> {
        let mut state = self.lock();
        let line = state.next_job();
        let client = state.client.as_mut()?;
        let time = monotonic();
        client.write_all(line.as_bytes()).ok()?;
        Some(time)
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub fn first_share(&self) -> Option<Instant> {
        self.lock().first_share
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        for line in BufReader::new(stream).lines() {
            let request: Value = serde_json::from_str(&line?)?;
            let method = request["method"].as_str().unwrap_or_default();
            let result = match method {
                "mining.configure" => {
                    json!({"version-rolling": true, "version-rolling.mask": format!("{MASK:08x}")})
                }
                "mining.subscribe" => json!([[], hex::encode(EXTRANONCE1), EXTRANONCE2_LEN]),
                "mining.submit" => json!(self.on_share(&request["params"])),
                _ => json!(true),
            };
            let answer = json!({"id": request["id"], "result": result, "error": null});
            let mut lines = format!("{answer}\n");
            let mut state = self.lock();
            if method == "mining.authorize" {
                let difficulty = state.difficulty;
                let set = json!({"id": null, "method": "mining.set_difficulty", "params": [difficulty]});
                lines += &format!("{set}\n{}", state.next_job());
                state.client = Some(stream.try_clone()?);
            }
            let mut writer = stream;
            writer.write_all(lines.as_bytes())?;
        }
        Ok(())
    }

    fn on_share(&self, params: &Value) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.first_share.get_or_insert(now);
        let share = params.as_array().cloned().unwrap_or_default();
        let good = state.meets_target(&share).unwrap_or(false);
        if !good {
            state.counts.wrong += 1;
        } else if state.seen.insert(share) {
            state.counts.good += 1;
        } else {
            state.counts.twice += 1;
        }
        good
    }
}

impl State {
    /// Creates a job with a new header, as large as the job of a full block. Returns the `mining.notify` line.
    fn next_job(&mut self) -> String {
        let number = u32::try_from(self.jobs.len()).expect("a measurement has few jobs") + 1;
        let notify = Notify {
            job: format!("{number:x}"),
            prev_hash: [7; 32],
            coinb1: [&[1; 60][..], &number.to_le_bytes()].concat(),
            coinb2: vec![2; 160],
            branch: (0..12).map(|level| [level; 32]).collect(),
            version: 0x2000_0000,
            nbits: CompactTarget(0x1703_4219),
            ntime: 1_700_000_000,
            clean: Some(self.clean),
        };
        let line = Message::from(notify.to_call()).to_line();
        let params = SessionParams {
            target: Target::from_difficulty(self.difficulty),
            version_mask: MASK,
            extranonce1: EXTRANONCE1.to_vec(),
            extranonce2_len: EXTRANONCE2_LEN,
        };
        self.jobs.insert(notify.job.clone(), Job::new(notify, params, self.clean));
        line + "\n"
    }

    /// Whether the share's hash meets the target; `None` if a field is missing or not hexadecimal.
    fn meets_target(&self, share: &[Value]) -> Option<bool> {
        let text = |index: usize| share.get(index)?.as_str();
        let number = |index: usize| u32::from_str_radix(text(index)?, 16).ok();
        let job = self.jobs.get(text(1)?)?;
        let version = rolled_version(job.version, job.version_mask, number(5)?);
        let mut header = job.header(&hex::decode(text(2)?).ok()?, number(3)?, version);
        header.nonce = number(4)?;
        Some(job.target.is_met_by(&header.digest()))
    }
}
