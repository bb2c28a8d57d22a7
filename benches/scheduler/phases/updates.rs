//! Many updates a second, each as soon as it is due, beside what the tasks say by themselves.

use std::thread;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::report::{Row, share};
use crate::run::{Meter, Run};
use crate::suite::figure::quantile;

const WARM_UP: Duration = Duration::from_secs(2);
/// Between two looks at what is due.
const STEP: Duration = Duration::from_millis(5);
/// For the acknowledgements of the last updates.
const REST: Duration = Duration::from_secs(10);

pub fn figure(options: &Options) -> String {
    format!("{} updates/s", options.updates_per_second)
}

pub fn measure(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    run.master.cluster().be_lively(true, Instant::now());
    let from = send_for(run, WARM_UP.min(run.options.seconds), 0);
    let before = run.master.cluster().counters().clone();
    run.master.cluster().take_latencies();
    let meter = Meter::start(run);
    send_for(run, run.options.seconds, from);
    let cost = meter.stop(run);
    let after = run.master.cluster().counters().clone();
    run.master.cluster().be_lively(false, Instant::now());
    // Those that wait for long are not to be left out.
    run.wait(REST, |cluster| (cluster.unacknowledged() == 0).then_some(()));
    let latencies = run.master.cluster().take_latencies();
    let per_second = |count: u64| count as f64 / cost.time.as_secs_f64();
    let text = format!(
        "{}; {:.0} of {:.0}/s acknowledged; {}",
        share(&cost),
        per_second(after.acknowledged - before.acknowledged),
        per_second(after.updates - before.updates),
        latency(&latencies)
    );
    vec![Row::new(format!("{}{suffix}", figure(run.options)), run.agents, text)]
}

/// Sends updates at the wanted rate for so long, beginning with the task `from`; where to go on.
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

/// From updates to their acknowledgements.
pub fn latency(milliseconds: &[f64]) -> String {
    if milliseconds.is_empty() {
        return "none acknowledged".to_owned();
    }
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(milliseconds, share));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.0} ms")
}
