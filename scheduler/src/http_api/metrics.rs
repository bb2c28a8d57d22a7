//! The scheduler's figures for Prometheus: sums, and no series of single tasks unless they are asked for.

mod workers;

use api::Metrics;
use command_line::ShareCounts;
use problem::Problem;
use task::{Live, Totals};

use crate::control::Steering;
use crate::core::{Overview, WorkerSums};
use crate::driver::{CallDelays, DelayHistograms};
use crate::journal::ScaleLimits;

/// What the metrics have besides the framework's state.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricsInputs {
    /// How long the master has waited for the scheduler.
    pub delays: CallDelays,
    /// Whether every worker and every host is shown.
    pub per_worker: bool,
}

/// The figures of a scheduler that does not run the framework: because another one leads, or because it cannot go on yet.
pub(super) fn without_framework(leads: bool, problem: Option<&Problem>) -> Metrics {
    let mut metrics = Metrics::new("scheduler");
    problems(problem, &mut metrics);
    leader(leads, &mut metrics);
    if leads {
        connected(false, &mut metrics);
    }
    metrics
}

/// The figures of the scheduler that runs the framework.
pub(super) fn leading(overview: &Overview, sums: &WorkerSums, inputs: &MetricsInputs) -> Metrics {
    let mut metrics = Metrics::new("scheduler");
    problems(&overview.problems.first, &mut metrics);
    leader(true, &mut metrics);
    connected(overview.connected, &mut metrics);
    tasks(overview, &mut metrics);
    steering(&overview.steering, &mut metrics);
    workers::add(sums, inputs.per_worker, &mut metrics);
    network(overview, &mut metrics);
    ledger(overview, &mut metrics);
    waits(&inputs.delays, &mut metrics);
    metrics
}

fn flag(flag: bool) -> f64 {
    u8::from(flag).into()
}

fn problems<'a>(problems: impl IntoIterator<Item = &'a Problem>, metrics: &mut Metrics) {
    metrics.add_problems(problems.into_iter().map(|problem| problem.kind.code()));
}

fn leader(leads: bool, metrics: &mut Metrics) {
    metrics
        .add("leader", "Whether this scheduler runs the framework.", flag(leads))
        .formerly("scheduler_leads");
}

fn connected(connected: bool, metrics: &mut Metrics) {
    let help = "Whether there is a subscription to a master.";
    metrics.add("connected", help, flag(connected)).formerly("scheduler_connected");
}

/// Metrics of the live tasks, and of the states of those that have ended.
fn tasks(overview: &Overview, metrics: &mut Metrics) {
    let live = overview.live_states.iter().map(|(state, count)| (state.as_str(), *count as f64));
    metrics.add_labelled("tasks", "Tasks that have not ended.", "state", live).formerly("scheduler_tasks");
    let ended = overview.ended_states().map(|(state, count)| (state, count as f64));
    metrics
        .add_labelled("tasks_ended_total", "Tasks that have ended.", "state", ended)
        .formerly("scheduler_tasks_ended_total");
    let cpus = overview.cpus_milli as f64 / 1000.0;
    metrics.add("cpus", "CPUs of tasks that have not ended.", cpus).formerly("scheduler_cpus");
    let workers = overview.reporting_workers as f64;
    metrics.add("workers", "Workers that mine: they recently reported their hashrate.", workers);
    metrics.formerly("scheduler_workers");
    let help = "Hashrate of all workers, as they recently reported it.";
    metrics.add("hashrate_hashes_per_second", help, overview.hashrate);
    metrics.formerly("scheduler_hashrate_hashes_per_second");
}

/// What operators have said, and the limits that hold. Without a limit, there is no sample of it.
fn steering(steering: &Steering, metrics: &mut Metrics) {
    metrics.add("paused", "Whether an operator has paused mining.", flag(steering.pause.is_some()));
    let ScaleLimits { max_workers, max_cpus_milli } = steering.limits;
    if let Some(most) = max_workers {
        metrics.add("max_workers", "Most workers, by the options and operators together.", most as f64);
    }
    if let Some(most) = max_cpus_milli {
        let help = "Most CPUs of all tasks, by the options and operators together.";
        metrics.add("max_cpus", help, most as f64 / 1000.0);
    }
}

/// Metrics of the block that servers work on: of the newest, if they differ. At an external pool there are none.
fn network(overview: &Overview, metrics: &mut Metrics) {
    let servers = overview.servers.iter().filter_map(|server| match &server.live {
        Some(Live::Pool(live)) if live.height > 0 => Some(live),
        _ => None,
    });
    if let Some(newest) = servers.max_by_key(|live| live.height) {
        metrics.add("network_height", "Height of the block in work.", newest.height as f64);
        metrics.add("network_difficulty", "Difficulty of the block in work.", newest.difficulty);
    }
}

/// Metrics of the ledger.
fn ledger(overview: &Overview, metrics: &mut Metrics) {
    let (workers, pool) = (overview.totals.worker, overview.totals.pool);
    metrics.add("hashes_total", "Hashes searched.", workers.hashes as f64).formerly("scheduler_hashes_total");
    let help = "Shares by verdict, as workers count them.";
    metrics.add_labelled("shares_total", help, "verdict", verdicts(workers));
    metrics.formerly("scheduler_worker_shares_total");
    let help = "Shares by verdict, as pool servers count them.";
    metrics.add_labelled("pool_shares_total", help, "verdict", verdicts(pool));
    metrics.formerly("scheduler_pool_shares_total");
    let help = "Expected hashes of the accepted shares.";
    metrics.add("accepted_hashes_total", help, workers.accepted_work as f64);
    metrics.add("blocks_total", "Blocks that the chain has accepted.", overview.blocks as f64);
    metrics.formerly("scheduler_blocks_total");
    let help = "Accepted shares that met the network's target; not each becomes a block.";
    metrics.add("candidates_total", help, overview.totals.candidates() as f64);
    metrics.formerly("scheduler_candidates_total");
    let help = "Accepted blocks that have left the node's chain.";
    metrics.add("orphaned_blocks_total", help, pool.orphaned as f64);
    metrics.formerly("scheduler_orphaned_blocks_total");
}

/// How long the master has waited for the scheduler.
fn waits(delays: &CallDelays, metrics: &mut Metrics) {
    let DelayHistograms { update_to_acknowledgement, offer_to_launch } = delays.histograms();
    let help = "From the receipt of a status update until the master has taken its acknowledgement.";
    metrics.add_histogram("update_to_acknowledgement_seconds", help, &update_to_acknowledgement);
    let help = "From the receipt of an offer until the master has taken the launch of tasks on it.";
    metrics.add_histogram("offer_to_launch_seconds", help, &offer_to_launch);
}

fn verdicts(totals: Totals) -> [(&'static str, f64); 4] {
    let ShareCounts { accepted, rejected, stale, unanswered } = totals.into();
    [
        ("accepted", accepted as f64),
        ("rejected", rejected as f64),
        ("stale", stale as f64),
        ("unanswered", unanswered as f64),
    ]
}
