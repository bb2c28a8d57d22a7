//! The steady state: all tasks run and send their periodic messages and reports.

use std::thread;
use std::time::{Duration, Instant};

use super::pages::Asked;
use super::traffic;
use crate::report::Row;
use crate::run::Run;

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
    rows
}

/// The hashrate that the scheduler shows, and the simulated one.
fn shown(run: &Run<'_>) -> Row {
    let shown = run.scheduler().summary().and_then(|summary| summary["hashrate"].as_f64()).unwrap_or(0.0);
    let (shown, there_is) = (shown / 1e9, run.master.cluster().hashrate() / 1e9);
    let text = format!("{shown:.1} GH/s shown of {there_is:.1} GH/s");
    Row::new("hashrate in the steady state", run.agents, text)
}
