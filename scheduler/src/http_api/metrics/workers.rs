//! The workers' figures by host and by CPU model, and their delays. The number of samples has a bound, unless every worker is asked
//! for.

use std::collections::HashMap;

use api::Metrics;
use task::DelayQuantiles;

use crate::core::{WorkerSum, WorkerSums};

/// How many hosts are shown at each end: the slowest and the fastest.
const HOSTS: usize = 20;
/// How many hosts with rejected shares are shown: those with the greatest part of them.
const REJECTING_HOSTS: usize = 20;
/// A host with fewer answered shares than this says nothing about its CPU.
const LEAST_SHARES: u64 = 20;
/// How many CPU models are shown: those with the most CPU. The others are summed up.
const MODELS: usize = 40;
/// The label of all other CPU models.
const OTHER_MODELS: &str = "other";
/// Hosts are ordered by steps of their hashrate per CPU, this many for each factor of two. So small changes do not choose other hosts.
const STEPS: f64 = 16.0;

/// A name with its sum.
type Named<'a> = (&'a str, WorkerSum);

pub(super) fn add(sums: &WorkerSums, per_worker: bool, metrics: &mut Metrics) {
    let hosts = if per_worker { by_speed(&sums.hosts, usize::MAX) } else { by_speed(&sums.hosts, HOSTS) };
    let help =
        "Hashrate of the workers on a host: of the 20 slowest and the 20 fastest hosts by hashrate per CPU.";
    by_label("host_hashrate_hashes_per_second", help, "host", &hosts, |sum| sum.hashrate, metrics);
    let help = "CPUs of the workers on these hosts.";
    by_label("host_cpus", help, "host", &hosts, cpus, metrics);
    let help = "Rejected shares among those answered for the present workers of a host: of the 20 hosts with the most.";
    let rejecting = rejecting(&sums.hosts);
    by_label("host_rejected_shares_ratio", help, "host", &rejecting, rejected_part, metrics);
    let models = by_size(&sums.cpu_models);
    let help = "Hashrate of the workers on CPUs of a model.";
    by_label("cpu_model_hashrate_hashes_per_second", help, "model", &models, |sum| sum.hashrate, metrics);
    let help = "CPUs of the workers on CPUs of a model.";
    by_label("cpu_model_cpus", help, "model", &models, cpus, metrics);
    if per_worker {
        let workers = sums.workers.iter();
        let samples =
            workers.map(|it| (vec![("task", it.task.clone()), ("host", it.host.clone())], it.hashrate));
        metrics.add_samples("worker_hashrate_hashes_per_second", "Hashrate of a worker.", samples);
    }
    let help =
        "From the line with a job to the first hash of the job, at the slowest worker in the last minute.";
    delays("worker_notify_to_first_hash_seconds", help, sums.delays.notify_to_first_hash, metrics);
    let help = "From the submission of a share to the answer, at the slowest worker in the last minute.";
    delays("worker_share_round_trip_seconds", help, sums.delays.share_round_trip, metrics);
}

fn by_label(
    name: &str,
    help: &str,
    label: &'static str,
    sums: &[Named<'_>],
    figure: fn(&WorkerSum) -> f64,
    metrics: &mut Metrics,
) {
    metrics.add_labelled(name, help, label, sums.iter().map(|(name, sum)| (*name, figure(sum))));
}

fn cpus(sum: &WorkerSum) -> f64 {
    sum.cpus_milli as f64 / 1000.0
}

/// The part of the shares that were rejected.
fn rejected_part(sum: &WorkerSum) -> f64 {
    let answered = sum.accepted.saturating_add(sum.rejected);
    sum.rejected as f64 / answered.max(1) as f64
}

/// The slowest and the fastest hosts, at most `most` of each; all of them if there are no more.
fn by_speed(hosts: &HashMap<String, WorkerSum>, most: usize) -> Vec<Named<'_>> {
    let mut found = ranked(hosts, |sum| Some((sum.hashrate_per_cpu().max(1.0).log2() * STEPS) as u64));
    if found.len() > most.saturating_mul(2) {
        found.drain(most..found.len() - most);
    }
    found
}

/// The hosts with the greatest part of rejected shares.
fn rejecting(hosts: &HashMap<String, WorkerSum>) -> Vec<Named<'_>> {
    let mut found = ranked(hosts, |sum| {
        let tells = sum.rejected > 0 && sum.accepted.saturating_add(sum.rejected) >= LEAST_SHARES;
        tells.then(|| u64::MAX - (rejected_part(sum) * 1e9) as u64)
    });
    found.truncate(REJECTING_HOSTS);
    found
}

/// The models with the most CPU, and the sum of all others.
fn by_size(models: &HashMap<String, WorkerSum>) -> Vec<Named<'_>> {
    let mut found = ranked(models, |sum| Some(u64::MAX - sum.cpus_milli));
    let others = found.split_off(found.len().min(MODELS));
    if !others.is_empty() {
        let mut sum = WorkerSum::default();
        // A CPU may call itself like that.
        let same = found.iter().position(|(name, _)| *name == OTHER_MODELS).map(|index| found.remove(index));
        others.iter().chain(&same).for_each(|(_, other)| sum.add(*other));
        found.push((OTHER_MODELS, sum));
    }
    found
}

/// Those that have a rank, in the order of their ranks. Those of the same rank are ordered by name.
fn ranked(sums: &HashMap<String, WorkerSum>, rank: fn(&WorkerSum) -> Option<u64>) -> Vec<Named<'_>> {
    let ranked = sums.iter().filter_map(|(name, sum)| Some((rank(sum)?, name.as_str(), *sum)));
    let mut found: Vec<_> = ranked.collect();
    found.sort_unstable_by_key(|(rank, name, _)| (*rank, *name));
    found.into_iter().map(|(_, name, sum)| (name, sum)).collect()
}

fn delays(name: &str, help: &str, delay: Option<DelayQuantiles>, metrics: &mut Metrics) {
    let seconds = |microseconds: u32| f64::from(microseconds) / 1e6;
    let samples = delay.map(|delay| [("50", seconds(delay.median)), ("99", seconds(delay.p99))]);
    metrics.add_labelled(name, help, "percentile", samples.into_iter().flatten());
}

#[cfg(test)]
mod tests {
    use task::WorkerDelays;

    use super::*;
    use crate::core::WorkerRate;

    fn sum(hashrate: f64, cpus_milli: u64) -> WorkerSum {
        WorkerSum { hashrate, cpus_milli, accepted: 0, rejected: 0 }
    }

    fn text(sums: &WorkerSums, per_worker: bool) -> String {
        let mut metrics = Metrics::default();
        add(sums, per_worker, &mut metrics);
        metrics.into_text().unwrap()
    }

    fn count(text: &str, name: &str) -> usize {
        text.lines().filter(|line| line.starts_with(&format!("mesos_miner_{name}{{"))).count()
    }

    /// A hundred hosts; those with higher numbers are faster.
    fn hundred() -> WorkerSums {
        let hosts = (0..100_u32).map(|n| (format!("h{n:02}"), sum(f64::from(n + 1) * 1e6, 2000)));
        WorkerSums { hosts: hosts.collect(), ..WorkerSums::default() }
    }

    #[test]
    fn the_slowest_and_the_fastest_hosts_are_shown_or_all() {
        let some = text(&hundred(), false);
        assert_eq!(count(&some, "host_hashrate_hashes_per_second"), 40);
        for (host, shown) in [("h00", true), ("h19", true), ("h20", false), ("h79", false), ("h99", true)] {
            let line = format!("mesos_miner_host_cpus{{host=\"{host}\"}} 2\n");
            assert_eq!(some.contains(&line), shown, "{host}");
        }
        assert!(some.contains("mesos_miner_host_hashrate_hashes_per_second{host=\"h99\"} 100000000\n"));
        assert_eq!(count(&text(&hundred(), true), "host_hashrate_hashes_per_second"), 100);
    }

    #[test]
    fn each_worker_is_shown_only_if_that_is_wanted() {
        let worker = WorkerRate { task: "t\"1".into(), host: "h".into(), hashrate: 2.5 };
        let sums = WorkerSums { workers: vec![worker], ..WorkerSums::default() };
        let line = "mesos_miner_worker_hashrate_hashes_per_second{task=\"t\\\"1\",host=\"h\"} 2.5\n";
        assert!(text(&sums, true).contains(line));
        assert!(!text(&sums, false).contains("worker_hashrate"));
    }

    #[test]
    fn small_models_are_summed_up() {
        let models = (0..100_u64).map(|n| (format!("m{n}"), sum(1e6, 1000 * (n + 1))));
        let mut sums = WorkerSums { cpu_models: models.collect(), ..WorkerSums::default() };
        if let Some(biggest) = sums.cpu_models.remove("m98") {
            sums.cpu_models.insert(OTHER_MODELS.to_owned(), biggest);
        }
        let text = text(&sums, false);
        assert_eq!(count(&text, "cpu_model_cpus"), MODELS, "a model of this name is not said twice");
        assert!(text.contains("mesos_miner_cpu_model_cpus{model=\"m99\"} 100\n"));
        assert!(text.contains("mesos_miner_cpu_model_cpus{model=\"other\"} 1929\n"), "{text}");
        assert!(
            text.contains("mesos_miner_cpu_model_hashrate_hashes_per_second{model=\"other\"} 61000000\n")
        );
    }

    #[test]
    fn hosts_with_rejected_shares_are_shown_once_they_had_some_answers() {
        let host = |accepted, rejected| WorkerSum { accepted, rejected, ..sum(1e6, 1000) };
        let hosts = [("few", host(0, 19)), ("good", host(100, 0)), ("bad", host(30, 10))];
        let hosts = hosts.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect();
        let text = text(&WorkerSums { hosts, ..WorkerSums::default() }, false);
        assert_eq!(count(&text, "host_rejected_shares_ratio"), 1);
        assert!(text.contains("mesos_miner_host_rejected_shares_ratio{host=\"bad\"} 0.25\n"));
    }

    #[test]
    fn delays_are_those_of_the_last_minute() {
        let share_round_trip = Some(DelayQuantiles { median: 1500, p99: 2_000_000 });
        let delays = WorkerDelays { notify_to_first_hash: None, share_round_trip };
        let text = text(&WorkerSums { delays, ..WorkerSums::default() }, false);
        assert!(text.contains("mesos_miner_worker_share_round_trip_seconds{percentile=\"50\"} 0.0015\n"));
        assert!(text.contains("mesos_miner_worker_share_round_trip_seconds{percentile=\"99\"} 2\n"));
        assert_eq!(count(&text, "worker_notify_to_first_hash_seconds"), 0);
    }
}
