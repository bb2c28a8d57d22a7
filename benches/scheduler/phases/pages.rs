//! The scheduler's HTTP pages under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::report::Row;
use crate::run::Run;
use crate::suite::figure::quantile;
use crate::support::http;

/// The pages that are requested, one after the other. By default, a page of `/api/v1/tasks` has 100 tasks.
const PATHS: [&str; 8] = [
    "/healthz",
    "/metrics",
    "/api/v1/tasks?limit=100",
    "/api/v1/tasks?limit=100&sort=-hashrate",
    "/api/v1/summary",
    "/api/v1/workers?sort=-hashrate",
    "/api/v1/workers?sort=host&search=7",
    "/api/v1/agents?sort=hashrate_per_cpu",
];
/// The time from one request to the next.
const INTERVAL: Duration = Duration::from_millis(50);

/// A thread that requests the pages in [`PATHS`] one after the other.
pub struct Asked {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

/// Milliseconds from each request to the last byte of its response, for each page, and the number of unanswered requests.
#[derive(Default)]
pub struct Answers {
    times: [Vec<f64>; PATHS.len()],
    unanswered: usize,
}

impl Asked {
    pub fn start(http: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || ask(http, &stopped));
        Self { stop, thread }
    }

    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it never panics")
    }
}

/// Requests the pages in [`PATHS`] one after the other until `stop` is set, and each page at least once.
fn ask(http: SocketAddr, stop: &AtomicBool) -> Answers {
    let mut answers = Answers::default();
    let begun = Instant::now();
    for number in 0.. {
        if number >= PATHS.len() && stop.load(Ordering::Relaxed) {
            break;
        }
        let page = number % PATHS.len();
        let asked = Instant::now();
        match http::get(http, PATHS[page]) {
            Ok(body) if is_answer(PATHS[page], &body) => {
                answers.times[page].push(asked.elapsed().as_secs_f64() * 1e3);
            }
            _ => answers.unanswered += 1,
        }
        // Skip missed requests instead of sending them later.
        let next = begun + INTERVAL * (number as u32 + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    answers
}

/// Whether a body is the requested page, and not an error message.
fn is_answer(path: &str, body: &[u8]) -> bool {
    match path {
        "/healthz" => true,
        "/metrics" => body.starts_with(b"#"),
        _ => body.starts_with(b"{"),
    }
}

impl Answers {
    /// The page whose 99th percentile is the highest, and that time in milliseconds. A request without an answer counts as one
    /// that took for ever.
    pub fn slowest(&self) -> (&'static str, f64) {
        if self.unanswered > 0 {
            return ("without an answer", f64::INFINITY);
        }
        let p99 = |(path, times): (&'static str, &Vec<f64>)| (path, quantile(times, 0.99));
        let all = PATHS.into_iter().zip(&self.times).map(p99);
        all.max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are pages")
    }

    /// Returns the response times as a row of the report. The row counts as missed if some requests got no response.
    pub fn row(&self, run: &Run<'_>, figure: &str) -> [Row; 1] {
        let page = |(path, times): (&str, &Vec<f64>)| match &times[..] {
            [] => format!("{path} –"),
            times => {
                let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(times, share));
                format!("{path} p50 {p50:.1}, p99 {p99:.1}, max {max:.1} ms")
            }
        };
        let pages: Vec<String> = PATHS.into_iter().zip(&self.times).map(page).collect();
        let requests: usize = self.times.iter().map(Vec::len).sum();
        let text = format!("{}; {requests} requests", pages.join("; "));
        [match self.unanswered {
            0 => Row::new(figure, run.agents, text),
            some => Row::missed(figure, run.agents, format!("{text}, {some} more WITHOUT AN ANSWER")),
        }]
    }
}
