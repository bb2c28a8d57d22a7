//! Launches that differ from the plain launch in the offers, the placement rules, or the distance to the master. Their costs are
//! compared with the cost of the plain launch.

use std::time::Duration;

use super::launch::{self, Launched};
use crate::options::Options;
use crate::report::{Row, seconds};
use crate::run::Run;
use crate::scheduler::{ALONE, Binary};

/// The round-trip time to the master in the variant with a remote master.
const DELAY: Duration = Duration::from_millis(2);
/// The name of the launch with which the variants are compared.
const PLAIN: &str = "plain";

/// A launch that differs from the plain one.
pub struct Variant {
    pub name: &'static str,
    /// Changes the options of the plain launch to those of the variant. The arguments are the options and the number of agents.
    change: fn(&mut Options, usize),
}

pub const VARIANTS: [Variant; 6] = [
    Variant { name: "leftover offers", change: |options, _| options.leftovers = true },
    Variant {
        name: "rack:GROUP_BY",
        change: |options, agents| {
            options.constraint.push("rack:GROUP_BY".to_owned());
            // Each rack must have the same number of agents; otherwise some agents would stay idle.
            options.racks = (1..=options.racks.max(1)).rev().find(|racks| agents % racks == 0).unwrap_or(1);
        },
    },
    Variant {
        name: "hostname:UNIQUE",
        change: |options, _| options.constraint.push("hostname:UNIQUE".to_owned()),
    },
    Variant {
        name: "--max-workers of half the agents",
        change: |options, agents| options.max_workers = Some(agents / 2),
    },
    Variant { name: "two workers an agent", change: |options, _| options.cpus_per_worker = Some(2.0) },
    Variant { name: "a master 2 ms away", change: |options, _| options.delay_ms = DELAY },
];

/// The cost of a launch.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    workers: usize,
    pub burst: Duration,
    pub running: Duration,
    /// The scheduler's CPU time for each worker.
    pub each: Duration,
    /// The number of calls that the scheduler sent until all workers ran.
    calls: u64,
}

impl Cost {
    /// The time by which this launch took longer than `plain`, divided by [`Self::sequential`].
    pub fn added_by_sequential(&self, plain: &Self) -> f64 {
        let added = self.running.saturating_sub(plain.running);
        added.as_secs_f64() / self.sequential().as_secs_f64()
    }

    /// How much longer a launch takes with a master 2 ms away, if the scheduler waits for each response before its next call.
    fn sequential(&self) -> Duration {
        DELAY.mul_f64(self.calls as f64)
    }

    fn text(&self, plain: Option<&Self>) -> String {
        let ratio = |own: Duration, plain: Option<Duration>| {
            plain
                .map_or(String::new(), |plain| format!(" ({:.2} ×)", own.as_secs_f64() / plain.as_secs_f64()))
        };
        format!(
            "burst {}{}, all running {}{}, CPU {:.0} µs a worker{}; {} workers, {} calls",
            seconds(self.burst),
            ratio(self.burst, plain.map(|plain| plain.burst)),
            seconds(self.running),
            ratio(self.running, plain.map(|plain| plain.running)),
            self.each.as_secs_f64() * 1e6,
            ratio(self.each, plain.map(|plain| plain.each)),
            self.workers,
            self.calls,
        )
    }
}

/// Measures a launch on a cluster of this many agents. A variant changes the options of the launch.
///
/// # Errors
/// If the launch exceeds the time limit. The error says how far the launch came, such as `90 of 100`.
pub fn launch(
    options: &Options,
    binary: &Binary,
    agents: usize,
    variant: Option<&Variant>,
) -> Result<Cost, String> {
    let mut options = options.clone();
    if let Some(variant) = variant {
        (variant.change)(&mut options, agents);
    }
    let mut run = Run::new(&options, binary, agents, vec![ALONE.to_owned()]);
    let Launched { burst, running } = launch::quietly(&mut run)?;
    let workers = options.workers(agents);
    Ok(Cost {
        workers,
        burst: burst.0,
        running: running.0,
        each: running.1.scheduler.all / workers as u32,
        calls: running.1.calls,
    })
}

/// Measures the plain launch and then all variants.
pub fn measure(options: &Options, binary: &Binary, agents: usize) -> Vec<Row> {
    let figure = |name: &str| format!("launch: {name}");
    let plain = launch(options, binary, agents, None);
    let text = plain.as_ref().map(|cost| cost.text(None)).map_err(Clone::clone);
    let mut rows = vec![Row::within(figure(PLAIN), agents, options.limit, text)];
    for variant in &VARIANTS {
        let value = launch(options, binary, agents, Some(variant)).map(|cost| {
            let text = cost.text(plain.as_ref().ok());
            match variant.name.starts_with("a master") {
                true => format!("{text}, one by one at least {}", seconds(cost.sequential())),
                false => text,
            }
        });
        rows.push(Row::within(figure(variant.name), agents, options.limit, value));
    }
    rows
}
