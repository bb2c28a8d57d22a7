//! The steady state: live messages and reports at the intervals that the tasks were given.

use std::thread;
use std::time::{Duration, Instant};

use super::updates::latency;
use crate::report::{Row, share};
use crate::run::{Meter, Run};
use crate::suite::figure::quantile;

/// Until what the launch left behind has passed.
const WARM_UP: Duration = Duration::from_secs(5);
/// How often each page is asked for.
const TRIES: usize = 5;

pub fn measure(run: &mut Run<'_>) -> Vec<Row> {
    run.master.cluster().be_lively(true, Instant::now());
    thread::sleep(WARM_UP.min(run.options.seconds));
    let before = run.master.cluster().counters().clone();
    let meter = Meter::start(run);
    run.master.cluster().take_latencies();
    thread::sleep(run.options.seconds);
    let cost = meter.stop(run);
    let after = run.master.cluster().counters().clone();
    let latencies = run.master.cluster().take_latencies();
    let per_second = |count: u64| count as f64 / cost.time.as_secs_f64();
    let text = format!(
        "{}; {:.0} messages/s, {:.0} of {:.0} updates/s acknowledged; {}",
        share(&cost),
        per_second(after.messages - before.messages),
        per_second(after.acknowledged - before.acknowledged),
        per_second(after.updates - before.updates),
        latency(&latencies)
    );
    vec![Row::new("steady state", run.agents, text), shown(run), pages(run)]
}

/// The hashrate that the scheduler shows, and the one that there is.
fn shown(run: &Run<'_>) -> Row {
    let shown = run.scheduler().summary().and_then(|summary| summary["hashrate"].as_f64()).unwrap_or(0.0);
    let (shown, there_is) = (shown / 1e9, run.master.cluster().hashrate() / 1e9);
    let text = format!("{shown:.1} GH/s shown of {there_is:.1} GH/s");
    Row::new("hashrate in the steady state", run.agents, text)
}

fn pages(run: &Run<'_>) -> Row {
    let page = |path: &str| {
        let got: Vec<_> = (0..TRIES).filter_map(|_| run.scheduler().get(path)).collect();
        let times: Vec<f64> = got.iter().map(|(_, time)| time.as_secs_f64() * 1e3).collect();
        match got.last() {
            None => format!("{path} –"),
            Some((body, _)) => {
                let size = body.len() as f64 / 1e3;
                format!("{path} {:.1} ms ({size:.1} kB)", quantile(&times, 0.5))
            }
        }
    };
    let pages = ["/healthz", "/metrics", "/api/v1/summary"].map(page);
    Row::new("pages, median of 5", run.agents, pages.join(", "))
}
