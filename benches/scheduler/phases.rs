//! The phases of a measurement, and the figures of each.

mod accounts;
mod agents;
mod fetch;
pub mod launch;
pub mod pages;
pub mod restart;
mod space;
pub mod steady;
mod traffic;
mod updates;
pub mod variants;

use std::time::{Duration, Instant};

use super::options::{Measurement, Options};
use super::report::{Row, seconds};
use super::run::Run;
use super::scheduler::{ALONE, Binary};
use super::zookeeper;

/// The longest pause between two measurements. The pause ends once the scheduler has acknowledged all updates. Meanwhile tasks
/// send no messages.
const SETTLE: Duration = Duration::from_secs(60);

/// Measures all phases with a binary on a cluster of this size.
pub fn all(options: &Options, binary: &Binary, agents: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let after = [
        Measurement::Steady,
        Measurement::Memory,
        Measurement::Updates,
        Measurement::Agents,
        Measurement::Restart,
    ];
    if after.into_iter().any(|measurement| options.wants(measurement)) {
        let mut run = Run::new(options, binary, agents, vec![ALONE.to_owned()]);
        rows.extend(launch::measure(&mut run, ""));
        rows.extend(after_launch(&mut run));
        rows.extend(accounts::check(&mut run, ""));
    }
    if options.wants(Measurement::Variants) {
        rows.extend(variants::measure(options, binary, agents));
    }
    // Measure the fetch only once: it runs on a cluster of `fetch_agents` agents, whatever `agents` is.
    if options.wants(Measurement::Fetch) && agents == options.agents[0] {
        let run = Run::new(options, binary, options.fetch_agents, vec![ALONE.to_owned()]);
        rows.extend(fetch::measure(run));
    }
    if options.wants(Measurement::Zookeeper) {
        rows.extend(with_zookeeper(options, binary, agents));
    }
    rows
}

fn after_launch(run: &mut Run<'_>) -> Vec<Row> {
    let (mut rows, burst) = (Vec::new(), Instant::now());
    let wants = |measurement| run.options.wants(measurement);
    let (wants_steady, wants_memory) = (wants(Measurement::Steady), wants(Measurement::Memory));
    if wants_steady || wants_memory {
        steady::begin(run);
    }
    if wants_steady {
        rows.extend(steady::measure(run));
    }
    if wants_memory {
        rows.extend(space::later(run, burst));
    }
    // If the scheduler never catches up, the later measurements are skipped.
    let mut keeps_up = true;
    for (measurement, figure) in [
        (Measurement::Updates, updates::figure(run.options)),
        (Measurement::Agents, agents::FIGURE.to_owned()),
    ] {
        if !run.options.wants(measurement) {
            continue;
        }
        keeps_up = keeps_up && run.settle(SETTLE);
        rows.extend(match measurement {
            _ if !keeps_up => vec![unsettled(run, &figure)],
            Measurement::Updates => updates::measure(run, ""),
            _ => agents::measure(run),
        });
    }
    rows.extend(space::rows(run, "before the restart"));
    if run.options.wants(Measurement::Restart) {
        if keeps_up {
            run.settle(SETTLE);
        }
        rows.push(restart::measure(run, Duration::ZERO, ""));
    }
    rows
}

/// Measures the figures that depend on ZooKeeper.
fn with_zookeeper(options: &Options, binary: &Binary, agents: usize) -> Vec<Row> {
    let Some(zookeeper) = zookeeper::start() else { return Vec::new() };
    let suffix = ", with --zk";
    let mut run = Run::new(options, binary, agents, zookeeper.options());
    let mut rows = launch::measure(&mut run, suffix);
    if run.settle(SETTLE) {
        rows.extend(updates::measure(&mut run, suffix));
        run.settle(SETTLE);
    } else {
        rows.push(unsettled(&run, &format!("{}{suffix}", updates::figure(options))));
    }
    rows.push(restart::measure(&mut run, zookeeper::SESSION_ENDS, suffix));
    rows.extend(accounts::check(&mut run, suffix));
    rows
}

fn unsettled(run: &Run<'_>, figure: &str) -> Row {
    let left = run.master.cluster().unacknowledged();
    let value = format!("not measured: {left} updates not acknowledged after {}", seconds(SETTLE));
    Row::missed(figure, run.agents, value)
}

/// The time between two moments; zero if one is missing.
fn between(from: Option<Instant>, to: Option<Instant>) -> Duration {
    from.zip(to).map_or(Duration::ZERO, |(from, to)| to.saturating_duration_since(from))
}
