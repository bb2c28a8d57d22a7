//! Half of the agents are lost and return.

use std::time::Instant;

use crate::report::{Row, cpu, seconds};
use crate::run::{Meter, Run};

pub const FIGURE: &str = "half of the agents lost";
const BACK: &str = "and back";

pub fn measure(run: &mut Run<'_>) -> Vec<Row> {
    let meter = Meter::start(run);
    let lost = run.master.cluster().lose_half();
    let first = row(run, &meter, FIGURE, lost);
    let meter = Meter::start(run);
    run.master.cluster().return_lost(Instant::now());
    vec![first, row(run, &meter, BACK, lost)]
}

/// Measures the time until the scheduler has handled all events.
fn row(run: &mut Run<'_>, meter: &Meter, figure: &str, tasks: usize) -> Row {
    let limit = run.options.limit;
    let value = match run.catch_up(limit) {
        Some(done) => {
            let time = done.saturating_duration_since(meter.since);
            Ok(format!("{} for {tasks} tasks ({})", seconds(time), cpu(&meter.stop(run))))
        }
        None => Err(format!("{tasks} tasks")),
    };
    Row::within(figure, run.agents, limit, value)
}
