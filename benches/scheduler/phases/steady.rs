//! The steady state: live messages and reports at the intervals that the tasks were given.

use std::thread;
use std::time::{Duration, Instant};

use super::traffic;
use crate::report::Row;
use crate::run::Run;
use crate::suite::figure::quantile;

/// Until what the launch left behind has passed.
const WARM_UP: Duration = Duration::from_secs(5);
/// How often each page is asked for.
const TRIES: usize = 5;

pub fn measure(run: &mut Run<'_>) -> Vec<Row> {
    run.master.cluster().be_lively(true, Instant::now());
    thread::sleep(WARM_UP.min(run.options.seconds));
    let traffic = traffic::measure(run, || thread::sleep(run.options.seconds));
    let text = traffic.text(&run.master.cluster().take_latencies());
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
