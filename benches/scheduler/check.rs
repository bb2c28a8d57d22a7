//! Checks that costs do not grow with the cluster. Apart from those of [`pages`], each figure is a ratio of CPU times that are
//! measured alternately in one run, so that neither the machine nor its other load matters.

mod pages;
mod variants;

use std::time::{Duration, Instant};

use super::options::Options;
use super::phases::{launch, restart};
use super::run::{Meter, Run};
use super::scheduler::{ALONE, Binary};
use super::{bare_loop, report};
use crate::suite::figure::{Bound, Figure, quantile};

/// Each figure is the median of this many rounds.
const ROUNDS: usize = 5;
/// The number of events of one kind that a round sends. It sends fewer if the scheduler has used [`ENOUGH`] CPU time for them.
const EVENTS: usize = 4000;
/// The number of events in a batch. Each event of a batch concerns a different agent or task, so the smallest cluster must have
/// at least this number of agents.
const AT_ONCE: usize = 100;
/// After this many batches of live messages, a task sends one update. The scheduler does not acknowledge live messages. When it
/// acknowledges the update, it has handled all earlier messages. Updates must be few, because they cost more CPU time than live
/// messages.
const LIVE_BATCHES: usize = 10;
/// A round sends no further events of a kind once the scheduler has used this much CPU time for them.
const ENOUGH: Duration = Duration::from_secs(2);
/// Time limit for the scheduler to handle a batch of events. The check fails if the scheduler takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// `LONG` is the interval of the tasks' live messages and reports. It is so long that no task sends a message or report by itself
/// during the check.
/// `SILENCE` is the shortest --silence-timeout that this interval allows.
const LONG: &str = "1h";
const SILENCE: &str = "3h";
/// The check measures this many launches of each cluster except the largest, and takes their median cost.
const LAUNCHES: usize = 3;
/// The check measures this many restarts of the scheduler on each cluster, and takes their median cost.
const RESTARTS: usize = 3;

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Live,
    Update,
    Offer,
}

/// For each kind of event, the names of two ratios and their upper bounds. The first ratio is the cost on the largest cluster
/// divided by the cost on the smallest. The second is the cost on the smallest cluster divided by the cost of [`bare_loop`],
/// which only stores and acknowledges updates.
struct Limits {
    kind: Kind,
    growth: (&'static str, f64),
    bare: (&'static str, f64),
}

const LIMITS: [Limits; 3] = [
    Limits {
        kind: Kind::Live,
        growth: ("live message, most agents ÷ fewest", 1.5),
        bare: ("live message ÷ bare loop", 2.0),
    },
    Limits {
        kind: Kind::Update,
        growth: ("status update, most agents ÷ fewest", 1.5),
        bare: ("status update ÷ bare loop", 8.0),
    },
    Limits {
        kind: Kind::Offer,
        growth: ("leftover offer, most agents ÷ fewest", 1.5),
        bare: ("leftover offer ÷ bare loop", 3.0),
    },
];
/// The check fails if the CPU time of a launch, or of a restart, grows faster than the number of agents to this power. An
/// exponent of 1 means linear growth.
const LAUNCH_EXPONENT: f64 = 1.1;
const RESTART_EXPONENT: f64 = 1.1;

/// Checks that there are at least two clusters to compare. Returns an error message if not.
pub fn refuse(options: &Options) -> Option<String> {
    let fits = options.agents.len() >= 2 && options.agents.iter().all(|agents| *agents >= AT_ONCE);
    (!fits).then(|| format!("--check needs two numbers of --agents, {AT_ONCE} or more each"))
}

/// Measures everything that `--check` compares with a bound. Each result has its bound.
pub fn check(options: &Options, binary: &Binary) -> Vec<Figure> {
    let mut sizes = options.agents.clone();
    sizes.sort_unstable();
    // With long intervals, tasks send only the messages that are measured.
    let long = Some(LONG.to_owned());
    let quiet = Options { live_interval: long.clone(), report_interval: long, ..options.clone() };
    let more = [ALONE, "--silence-timeout", SILENCE].map(str::to_owned).to_vec();
    let new = |agents: usize| Run::new(&quiet, binary, agents, more.clone());
    let mut runs: Vec<Run<'_>> = sizes.iter().map(|agents| new(*agents)).collect();
    let largest = sizes[sizes.len() - 1];
    let launches = runs.iter_mut().map(|run| {
        let mut costs = vec![launch_cost(run)];
        // The largest cluster is launched only once, because its launch takes long.
        let more = if run.agents < largest { 1..LAUNCHES } else { 1..1 };
        costs.extend(more.map(|_| launch_cost(&mut new(run.agents))));
        quantile(&costs, 0.5)
    });
    let launches: Vec<f64> = launches.collect();
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| Round::take(&mut runs)).collect();
    let restarts: Vec<f64> = runs.iter_mut().map(restart_cost).collect();
    let mut figures: Vec<Figure> =
        LIMITS.iter().flat_map(|limits| per_event(limits, &rounds, &sizes)).collect();
    figures.push(exponent("launch, CPU: exponent", LAUNCH_EXPONENT, &launches, &sizes));
    figures.push(exponent("restart, CPU: exponent", RESTART_EXPONENT, &restarts, &sizes));
    drop(runs);
    figures.extend(pages::check(options, binary, &sizes));
    figures.extend(variants::check(options, binary, &sizes));
    figures
}

/// CPU seconds from the scheduler's start until all workers run.
fn launch_cost(run: &mut Run<'_>) -> f64 {
    launch::measure(run, "");
    let meter = Meter::from_its_start(run);
    let cost = meter.stop(run).scheduler.all.as_secs_f64();
    assert!(run.settle(run.options.limit), "a scheduler that has launched all comes to rest");
    // Let each worker send a message. The scheduler treats a worker that has sent nothing as a special case, which is not to be
    // measured.
    run.master.cluster().live_next(0, run.agents);
    run.catch_up(run.options.limit).expect("a scheduler at rest handles live messages");
    cost
}

/// CPU seconds of a restart: the median of several restarts.
fn restart_cost(run: &mut Run<'_>) -> f64 {
    let once = |run: &mut Run<'_>| {
        run.end_scheduler(rustix::process::Signal::KILL);
        let limit = run.options.limit;
        let (_, cost) = restart::restart(run, limit).unwrap_or_else(|| panic!("no restart within {limit:?}"));
        cost.scheduler.all.as_secs_f64()
    };
    let costs: Vec<f64> = (0..RESTARTS).map(|_| once(run)).collect();
    quantile(&costs, 0.5)
}

/// Microseconds of CPU time for each event.
struct Round {
    /// The scheduler's CPU time for one event, indexed by the kind of event (in the order of [`LIMITS`]) and then by the cluster.
    events: Vec<Vec<f64>>,
    bare: f64,
}

impl Round {
    fn take(runs: &mut [Run<'_>]) -> Self {
        let events = LIMITS.iter().map(|limits| {
            runs.iter_mut().map(|run| event_cost(run, limits.kind).as_secs_f64() * 1e6).collect()
        });
        let events = events.collect();
        let bare = bare_loop::measure(runs[0].master.address, runs[0].folder(), EVENTS);
        Self { events, bare: bare.as_secs_f64() * 1e6 }
    }
}

/// The scheduler's CPU time for one event of this kind, averaged over a round.
fn event_cost(run: &mut Run<'_>, kind: Kind) -> Duration {
    let meter = Meter::start(run);
    let (mut events, mut from) = (0, 0);
    while events < EVENTS && meter.stop(run).scheduler.all < ENOUGH {
        events += send_some(run, kind, &mut from);
    }
    meter.stop(run).scheduler.all / events as u32
}

/// Sends some events and waits until the scheduler has handled them. Returns their number. The first event concerns the agent or
/// task with the index `from`; `from` is then set to the index to continue from.
fn send_some(run: &mut Run<'_>, kind: Kind, from: &mut usize) -> usize {
    let now = Instant::now();
    let (sent, handled) = match kind {
        Kind::Live => {
            (0..LIVE_BATCHES).for_each(|_| *from = run.master.cluster().live_next(*from, AT_ONCE));
            (AT_ONCE * LIVE_BATCHES, run.catch_up(PATIENCE).map(|_| ()))
        }
        Kind::Update => {
            *from = run.master.cluster().report_next(*from, AT_ONCE, now);
            (AT_ONCE, run.wait(PATIENCE, |cluster| (cluster.unacknowledged() == 0).then_some(())))
        }
        Kind::Offer => {
            *from = run.master.cluster().offer_leftovers(*from, AT_ONCE, now);
            (AT_ONCE, run.wait(PATIENCE, |cluster| (cluster.open_offers() == 0).then_some(())))
        }
    };
    assert!(handled.is_some(), "{kind:?}: not handled within {PATIENCE:?} on {} agents", run.agents);
    sent
}

fn per_event(limits: &Limits, rounds: &[Round], sizes: &[usize]) -> [Figure; 2] {
    let place = LIMITS.iter().position(|other| other.kind == limits.kind).unwrap_or_default();
    let last = sizes.len() - 1;
    let median = |value: &dyn Fn(&Round) -> f64| quantile(&rounds.iter().map(value).collect::<Vec<_>>(), 0.5);
    let costs: Vec<String> = sizes
        .iter()
        .enumerate()
        .map(|(size, agents)| {
            let cost = median(&|round| round.events[place][size]);
            format!("{cost:.1} µs at {}", report::thousands(*agents))
        })
        .collect();
    let growth = median(&|round| round.events[place][last] / round.events[place][0]);
    let by_bare = median(&|round| round.events[place][0] / round.bare);
    let bare = median(&|round| round.bare);
    let exponent = growth.ln() / (sizes[last] as f64 / sizes[0] as f64).ln();
    [
        Figure::steady(limits.growth.0, growth, "×", Bound::AtMost(limits.growth.1))
            .with(format!("{}; exponent {exponent:.2}", costs.join(", "))),
        Figure::steady(limits.bare.0, by_bare, "×", Bound::AtMost(limits.bare.1))
            .with(format!("bare loop {bare:.1} µs")),
    ]
}

/// Creates a figure from the exponent x in cost ∝ agents^x. The exponent is computed from the costs on the two largest clusters.
fn exponent(what: &'static str, bound: f64, costs: &[f64], sizes: &[usize]) -> Figure {
    let last = sizes.len() - 1;
    let exponent = (costs[last] / costs[last - 1]).ln() / (sizes[last] as f64 / sizes[last - 1] as f64).ln();
    let costs = costs
        .iter()
        .zip(sizes)
        .map(|(cost, agents)| format!("{cost:.2} s at {}", report::thousands(*agents)));
    let details = costs.collect::<Vec<_>>().join(", ");
    Figure::steady(what, exponent, "", Bound::AtMost(bound)).with(details)
}
