//! Checks that pages are answered soon while all workers report, and that an open stream of events costs next to nothing.

use crate::options::Options;
use crate::phases::{launch, pages::Asked, steady};
use crate::report::thousands;
use crate::run::Run;
use crate::scheduler::{ALONE, Binary};
use crate::suite::figure::{Bound, Figure, quantile};
use crate::suite::machine::Watch;

/// 99 % of the answers must come within this time, in milliseconds.
const LONGEST: f64 = 100.0;
/// What an open stream of events may cost the scheduler, in percent of a core.
const STREAM: f64 = 1.0;
/// The cost of a stream is the median of this many comparisons.
const ROUNDS: usize = 5;

/// Measures on the largest cluster, whose workers send their messages and reports at the scheduler's own intervals.
pub fn check(options: &Options, binary: &Binary, sizes: &[usize]) -> [Figure; 2] {
    let mut run = Run::new(options, binary, sizes[sizes.len() - 1], vec![ALONE.to_owned()]);
    launch::measure(&mut run, "");
    steady::begin(&mut run);
    let watch = Watch::start(&[run.scheduler().id(), std::process::id()]);
    let asked = Asked::start(run.scheduler().http);
    std::thread::sleep(options.seconds);
    let answers = asked.stop();
    let load = watch.load();
    let (path, slowest) = answers.slowest();
    let agents = thousands(run.agents);
    let pages = Figure::new("slowest page, p99", slowest, "ms", Bound::AtMost(LONGEST), load)
        .with(format!("{path}, {agents} agents"));
    let costs: Vec<f64> = (0..ROUNDS).map(|_| steady::stream_cost(&run)).collect();
    let stream =
        Figure::steady("open stream of events", quantile(&costs, 0.5), "% of a core", Bound::AtMost(STREAM))
            .with(format!("{agents} agents"));
    [pages, stream]
}
