//! Checks that no placement rule, kind of offer or latency makes a launch much more expensive.

use crate::options::Options;
use crate::phases::variants::{Cost, VARIANTS, Variant, launch};
use crate::report::thousands;
use crate::scheduler::Binary;
use crate::suite::figure::{Bound, Figure, quantile};

/// The number of rounds. Each round measures every launch once, and the figures use the medians.
const ROUNDS: usize = 3;
/// The check runs on one of the given cluster sizes: the largest that does not exceed this number of agents.
const AGENTS: usize = 1000;
/// The check fails if the scheduler's CPU time per worker is more than this many times that of the plain launch.
const MOST: f64 = 2.0;
/// If the round trip to the master takes 2 ms, calls that are sent one by one make a launch longer by 2 ms each. The check fails
/// if the launch becomes longer by more than this fraction of 2 ms for each call.
const MOST_OF_SEQUENTIAL: f64 = 0.25;

/// The names of the figures, one for each of [`VARIANTS`]: the scheduler's CPU time for each worker, divided by that of the plain
/// launch.
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
    /// The launches of the variants, in the order of [`VARIANTS`].
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
