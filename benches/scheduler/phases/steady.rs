//! The steady state: all tasks run and send their periodic messages and reports.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::pages::Asked;
use super::traffic;
use crate::report::Row;
use crate::run::{Meter, Run};

/// The state counts as steady once the scheduler has sent no instruction, such as new intervals, to any task for this time.
const WARM_UP: Duration = Duration::from_secs(5);

/// Starts the tasks' messages, and waits until the intervals are steady.
pub fn begin(run: &mut Run<'_>) {
    run.master.cluster().be_lively(true, Instant::now());
    let (quiet, until) = (WARM_UP.min(run.options.seconds), Instant::now() + run.options.limit);
    let (mut told, mut since) = (instructions(run), Instant::now());
    while since.elapsed() < quiet && Instant::now() < until {
        thread::sleep(quiet / 20);
        if instructions(run) != told {
            (told, since) = (instructions(run), Instant::now());
        }
    }
}

fn instructions(run: &Run<'_>) -> u64 {
    run.master.cluster().counters().instructions
}

pub fn measure(run: &Run<'_>) -> Vec<Row> {
    let traffic = traffic::measure(run, || thread::sleep(run.options.seconds));
    let text = traffic.text(&run.master.cluster().take_latencies());
    let intervals = run.master.cluster().intervals();
    let mut rows = vec![Row::new("steady state", run.agents, format!("{text}; {intervals}")), shown(run)];
    let asked = Asked::start(run.scheduler().http);
    thread::sleep(run.options.seconds);
    rows.extend(asked.stop().row(run, "pages in the steady state"));
    rows.push(event_stream(run));
    rows
}

/// What an open stream of events costs.
fn event_stream(run: &Run<'_>) -> Row {
    Row::new("an open stream of events", run.agents, format!("{:.2} % of a core", stream_cost(run)))
}

/// The CPU time that the scheduler uses with an open stream of events more than without, in percent of a core. The time of the main
/// loop is left out, since it has nothing to do with streams.
pub fn stream_cost(run: &Run<'_>) -> f64 {
    let used = || {
        let meter = Meter::start(run);
        thread::sleep(run.options.seconds);
        let cost = meter.stop(run);
        let beside_main_loop = cost.scheduler.all.saturating_sub(cost.scheduler.first);
        beside_main_loop.as_secs_f64() / cost.time.as_secs_f64() * 100.0
    };
    let without = used();
    let _stream = open_stream(run).expect("the scheduler has less than 32 streams");
    used() - without
}

/// A stream of events that is read by a thread until it is dropped.
fn open_stream(run: &Run<'_>) -> std::io::Result<impl Drop> {
    struct Open(TcpStream);
    impl Drop for Open {
        fn drop(&mut self) {
            // The reader ends with the connection.
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
    let mut stream = TcpStream::connect(run.scheduler().http)?;
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: scheduler\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    if &status != b"HTTP/1.1 200" {
        return Err(std::io::Error::other("it is refused"));
    }
    let mut reader = stream.try_clone()?;
    thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    Ok(Open(stream))
}

/// The hashrate that the scheduler shows, and the simulated one.
fn shown(run: &Run<'_>) -> Row {
    let shown = run.scheduler().summary().and_then(|summary| summary["hashrate"].as_f64()).unwrap_or(0.0);
    let (shown, there_is) = (shown / 1e9, run.master.cluster().hashrate() / 1e9);
    let text = format!("{shown:.1} GH/s shown of {there_is:.1} GH/s");
    Row::new("hashrate in the steady state", run.agents, text)
}
