//! Many updates per second, in addition to the tasks' own messages.

use std::thread;
use std::time::{Duration, Instant};

use super::pages::Asked;
use super::{steady, traffic};
use crate::options::Options;
use crate::report::Row;
use crate::run::Run;

const WARM_UP: Duration = Duration::from_secs(2);
/// The interval at which the bench sends all updates that have become due.
const STEP: Duration = Duration::from_millis(5);
/// The time limit for the acknowledgements of the last updates.
const REST: Duration = Duration::from_secs(10);

pub fn figure(options: &Options) -> String {
    format!("{} updates/s", options.updates_per_second)
}

pub fn measure(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    steady::begin(run);
    let mut from = send_for(run, WARM_UP.min(run.options.seconds), 0);
    let traffic = traffic::measure(run, || from = send_for(run, run.options.seconds, from));
    // Request pages only after the measurement, because responses cost CPU time, too.
    let asked = suffix.is_empty().then(|| Asked::start(run.scheduler().http));
    if asked.is_some() {
        send_for(run, run.options.seconds, from);
    }
    let pages = asked.map(Asked::stop);
    run.master.cluster().be_lively(false, Instant::now());
    // Wait for late acknowledgements, because their latencies must be included.
    run.wait(REST, |cluster| (cluster.unacknowledged() == 0).then_some(()));
    let text = traffic.text(&run.master.cluster().take_latencies());
    let mut rows = vec![Row::new(format!("{}{suffix}", figure(run.options)), run.agents, text)];
    let name = format!("pages at {}", figure(run.options));
    rows.extend(pages.into_iter().flat_map(|pages| pages.row(run, &name)));
    rows
}

/// Sends updates for `time`, beginning with the task `from`. Returns the task to continue from.
fn send_for(run: &Run<'_>, time: Duration, mut from: usize) -> usize {
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < time {
        let due = (begun.elapsed().as_secs_f64() * f64::from(run.options.updates_per_second)) as usize;
        from = run.master.cluster().report_next(from, due - sent, Instant::now());
        sent = due;
        thread::sleep(STEP);
    }
    from
}
