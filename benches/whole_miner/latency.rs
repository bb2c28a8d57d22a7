//! How long a new job takes to reach the threads while all cores mine.
//!
//! The time begins just before the server writes the line of `mining.notify`, and ends when a thread has finished its first
//! chunk of the job. The chunk itself takes 15 to 40 µs.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use executor::engine::Counters;
use executor::engine::cpus::CpuRequest;
use executor::miner::{self, Config, Pool};
use executor::started_engine::StartedEngine;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::PLAY_POOL;
use crate::mining::backend;
use crate::pool::{BenchPool, monotonic};
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::{Watch, cpus};

const JOBS: u64 = 1000;
/// The difficulty of the pool's jobs, at which the miner finds a share every few seconds.
const DIFFICULTY: f64 = 0.05;
/// If other processes use more than this fraction of the CPU time, the 99th percentile of the latency is not judged. Other
/// processes that occupy a core for 1 % of the time delay about 1 % of the jobs, which would spoil this percentile.
const TAIL_NOISE: f64 = 0.005;
/// The pool pauses this long before and after it sends a job. The thread that measures waits for the pool's answer through both
/// pauses, so it takes no core from the miner while the job arrives.
const CALM: Duration = Duration::from_millis(5);
/// Time limit for a new job to reach all mining threads. The miner exceeds it only if it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs as the pool: sends a job for each line on standard input, and prints the time of sending.
pub fn play_pool() {
    let pool = BenchPool::start(DIFFICULTY, true);
    println!("{}", pool.address);
    for _ in std::io::stdin().lines().map_while(Result::ok) {
        thread::sleep(CALM);
        let time = pool.notify();
        thread::sleep(CALM);
        println!("{}", time.map_or("no miner".to_owned(), |time| time.to_string()));
    }
}

struct RemotePool {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl RemotePool {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a file");
        let mut child = Command::new(program)
            .arg(PLAY_POOL)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs, so it can be started");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        RemotePool { child, commands, answers }
    }

    fn answer(&mut self) -> String {
        self.answers.next().expect("the pool lives").expect("the pool writes text")
    }

    fn notify(&mut self) -> u64 {
        writeln!(self.commands, "notify").expect("the pool lives");
        let answer = self.answer();
        answer.parse().unwrap_or_else(|_| panic!("the pool says {answer:?}"))
    }
}

impl Drop for RemotePool {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn measure() -> Vec<Figure> {
    let mut pool = RemotePool::start();
    let address = pool.answer();
    let engine = StartedEngine::start(Some(backend().name()), &CpuRequest::default()).expect("threads");
    let (counters, stop) = (engine.engine.counters(), CancellationToken::new());
    let stopped = stop.clone();
    let mining = thread::spawn(move || mine(engine, &address, stopped));
    // Wait for the first job, which the pool sends without a command.
    wait_for(&counters, 1);
    let watch = Watch::start(&[std::process::id(), pool.child.id()]);
    let anchor = (Instant::now(), monotonic());
    let mut times = Vec::new();
    for job in 2..JOBS + 2 {
        let written = anchor.0 + Duration::from_nanos(pool.notify().saturating_sub(anchor.1));
        wait_for(&counters, job);
        times.extend(
            counters.switches().map(|(_, at)| at.saturating_duration_since(written).as_secs_f64() * 1e6),
        );
    }
    let load = watch.load();
    stop.cancel();
    mining.join().expect("the miner does not panic");
    let details = format!(
        "{JOBS} jobs × {} threads, 10 % below {:.0} µs, 90 % below {:.0} µs",
        cpus(),
        quantile(&times, 0.1),
        quantile(&times, 0.9)
    );
    vec![
        Figure::new("new job, median", quantile(&times, 0.5), "µs", Bound::AtMost(200.0), load).with(details),
        Figure::new("new job, 99 %", quantile(&times, 0.99), "µs", Bound::AtMost(2000.0), load)
            .refused_above(TAIL_NOISE)
            .with(format!("slowest {:.0} µs", quantile(&times, 1.0))),
    ]
}

fn wait_for(counters: &Counters, generation: u64) {
    let start = Instant::now();
    while counters.switches().any(|(seen, _)| seen != generation) {
        assert!(start.elapsed() < DEADLINE, "job {generation} does not come to all threads");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs the miner in a runtime like that of `mine`.
fn mine(engine: StartedEngine, address: &str, stop: CancellationToken) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let url = address.parse().expect("an address and a port");
    let pool = Pool { url, user: "bench".to_owned(), password: "x".to_owned() };
    let config = Config { suggest_difficulty: Some(DIFFICULTY), retries: Some(0), ..Config::new(vec![pool]) };
    runtime.expect("a runtime").block_on(async {
        let (sender, mut events) = mpsc::channel(256);
        let ((_, configs), (_, pauses)) = (watch::channel(config), watch::channel(false));
        let listen = async { while events.recv().await.is_some() {} };
        let (mined, ()) =
            tokio::join!(miner::run(configs, pauses, engine.engine, engine.found, sender, stop), listen);
        mined.expect("the pool stays");
    });
}
