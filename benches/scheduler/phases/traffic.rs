//! The traffic during an action, and its cost.

use crate::report::share;
use crate::run::{Cost, Meter, Run};
use crate::suite::figure::quantile;

/// The cost of an action, and the rates of its traffic per second.
pub struct Traffic {
    pub cost: Cost,
    pub messages: f64,
    pub updates: f64,
    pub acknowledged: f64,
    /// The average size of an event with a live message, and that of an event with a status update, in bytes.
    pub bytes: [f64; 2],
}

/// Measures the traffic while `action` runs.
pub fn measure(run: &Run<'_>, action: impl FnOnce()) -> Traffic {
    let before = run.master.cluster().counters().clone();
    run.master.cluster().take_latencies();
    let meter = Meter::start(run);
    action();
    let cost = meter.stop(run);
    let after = run.master.cluster().counters().clone();
    let per_second = |before: u64, after: u64| (after - before) as f64 / cost.time.as_secs_f64();
    Traffic {
        cost,
        messages: per_second(before.messages, after.messages),
        updates: per_second(before.updates, after.updates),
        acknowledged: per_second(before.acknowledged, after.acknowledged),
        bytes: [
            each(after.message_bytes - before.message_bytes, after.messages - before.messages),
            each(after.update_bytes - before.update_bytes, after.updates - before.updates),
        ],
    }
}

fn each(bytes: u64, number: u64) -> f64 {
    bytes as f64 / number.max(1) as f64
}

impl Traffic {
    /// Describes the traffic. `latencies` are the milliseconds from updates to their acknowledgements.
    pub fn text(&self, latencies: &[f64]) -> String {
        let Self { cost, messages, updates, acknowledged, bytes: [message, update] } = self;
        let latency = match latencies {
            [] => "none acknowledged".to_owned(),
            _ => {
                let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(latencies, share));
                format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.0} ms")
            }
        };
        let counts =
            format!("{messages:.0} messages/s, {acknowledged:.0} of {updates:.0} updates/s acknowledged");
        let bytes = format!("{message:.0} B a message, {update:.0} B an update");
        format!("{}; {counts}; {latency}; {bytes}", share(cost))
    }
}
