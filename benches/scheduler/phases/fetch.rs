//! The launch on agents that fetch the executor from the scheduler. The network link is too slow for all agents to fetch at the
//! same time.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::report::{Row, seconds};
use crate::run::{Meter, Run};
use crate::scheduler::{Executor, SERVED};

const FIGURE: &str = "all running, the executor fetched";

/// Time limit until all workers run. It is long enough for the scheduler to repeat failed launches.
const LIMIT: Duration = Duration::from_secs(300);

pub fn measure(mut run: Run<'_>) -> Vec<Row> {
    if !run.binary.has(SERVED) {
        let why = format!("not measured: this build has no {SERVED}, which keeps what is served small");
        return vec![Row::missed(FIGURE, run.agents, why)];
    }
    run.executor = Executor::Served(artifact(&run));
    run.master.cluster().server_comes_up(Instant::now());
    run.start_scheduler();
    let meter = Meter::from_its_start(&run);
    let wanted = run.options.workers(run.agents) as u64;
    let done = run.wait(LIMIT, |cluster| {
        let counters = cluster.counters();
        (counters.running >= wanted).then_some(counters.last_acknowledgement)
    });
    let counters = run.master.cluster().counters().clone();
    let fetches_last = counters.last_fetched.map(|last| last.saturating_duration_since(meter.since));
    let per_second = fetches_last.map_or(0.0, |time| counters.fetched as f64 / time.as_secs_f64());
    let text = format!(
        "{} launches failed by timeout; {} agents fetched, {per_second:.1}/s, {:.1} MB in all",
        counters.not_fetched,
        counters.fetched,
        counters.fetched_bytes as f64 / 1e6,
    );
    let value = match done.flatten() {
        // No fetch may fail: the link is fast enough if the scheduler lets only a few agents fetch at the same time.
        Some(last) if counters.not_fetched > 0 => {
            return vec![Row::missed(
                FIGURE,
                run.agents,
                format!("{}; {text}", seconds(last.saturating_duration_since(meter.since))),
            )];
        }
        Some(last) => Ok(format!("{}; {text}", seconds(last.saturating_duration_since(meter.since)))),
        None => Err(format!("{} of {wanted}; {text}", counters.running)),
    };
    vec![Row::within(FIGURE, run.agents, LIMIT, value)]
}

/// Creates the file that agents fetch. It contains the first bytes of the measured binary, so that it is as compressible as a
/// real program.
fn artifact(run: &Run<'_>) -> PathBuf {
    let size = (run.options.fetch_size * 1e6) as u64;
    let mut content = Vec::new();
    let program = File::open(&run.binary.path).expect("the program is there");
    program.take(size).read_to_end(&mut content).expect("it can be read");
    let path = run.folder().join("mesos-miner");
    std::fs::write(&path, content).expect("room on the disk");
    path
}
