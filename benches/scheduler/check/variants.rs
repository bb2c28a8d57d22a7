//! Checks that no placement rule, kind of offer or latency makes a launch much more expensive.

use crate::options::Options;
use crate::phases::variants::{Cost, VARIANTS, Variant, launch};
use crate::report::thousands;
use crate::scheduler::Binary;
use crate::suite::figure::{Bound, Figure, quantile};

/// The number of rounds. Each round measures one launch with unchanged options, and one launch of each of the [`VARIANTS`]. Each
/// figure is a median over the rounds.
const ROUNDS: usize = 3;
/// The check runs on one of the given cluster sizes: the largest that does not exceed this number of agents.
const AGENTS: usize = 1000;
/// A variant is a launch with changed options. It may cost the scheduler at most this many times the CPU time per worker of a
/// launch with unchanged options.
const MOST: f64 = 2.0;
/// In one variant, the round trip to the master takes 2 ms. If the scheduler waited for each response before its next call, a
/// launch of N calls would take N × 2 ms longer. The variant may take longer by at most this fraction of N × 2 ms.
const MOST_OF_SEQUENTIAL: f64 = 0.25;

/// The names of the figures, one for each of [`VARIANTS`]. Each figure is the ratio that [`MOST`] limits.
const NAMES: [&str; VARIANTS.len()] = [
    "launch with leftover offers, CPU a worker ÷ plain",
    "launch with rack:GROUP_BY, CPU a worker ÷ plain",
    "launch with hostname:UNIQUE, CPU a worker ÷ plain",
    "launch with --max-workers, CPU a worker ÷ plain",
    "launch of two workers an agent, CPU a worker ÷ plain",
    "launch at a master 2 ms away, CPU a worker ÷ plain",
];
const SEQUENTIAL: &str = "launch at a master 2 ms away, time added ÷ that of calls one by one";

/// One launch of each kind.
struct Round {
    plain: Cost,
    /// The cost of each of the [`VARIANTS`], in the same order.
    others: Vec<Cost>,
}

/// Measures the figures of all variants, on the largest suitable cluster of `sizes`.
pub fn check(options: &Options, binary: &Binary, sizes: &[usize]) -> Vec<Figure> {
    let agents = sizes.iter().copied().filter(|size| *size <= AGENTS).max().unwrap_or(sizes[0]);
    let take = |variant: Option<&Variant>| {
        let name = variant.map_or("plain launch", |variant| variant.name);
        launch(options, binary, agents, variant).unwrap_or_else(|so_far| panic!("{name}: {so_far}"))
    };
    let round =
        |_| Round { plain: take(None), others: VARIANTS.iter().map(|other| take(Some(other))).collect() };
    let rounds: Vec<Round> = (0..ROUNDS).map(round).collect();
    let median = |value: &dyn Fn(&Round) -> f64| quantile(&rounds.iter().map(value).collect::<Vec<_>>(), 0.5);
    let micros = |cost: &Cost| cost.each.as_secs_f64() * 1e6;
    let plain = median(&|round| micros(&round.plain));
    let mut figures: Vec<Figure> = NAMES
        .into_iter()
        .enumerate()
        .map(|(place, name)| {
            let ratio = median(&|round| micros(&round.others[place]) / micros(&round.plain));
            let cost = median(&|round| micros(&round.others[place]));
            let text = format!("{cost:.0} µs, plain {plain:.0} µs, {} agents", thousands(agents));
            Figure::steady(name, ratio, "×", Bound::AtMost(MOST)).with(text)
        })
        .collect();
    let sequential = median(&|round| round.others[VARIANTS.len() - 1].added_by_sequential(&round.plain));
    figures.push(Figure::steady(SEQUENTIAL, sequential, "×", Bound::AtMost(MOST_OF_SEQUENTIAL)));
    figures
}
