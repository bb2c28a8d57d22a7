//! The sums over workers count each worker once, however many there are.

use ::task::{DelayQuantiles, Live, Totals, WorkerDelays, WorkerLive};

use super::*;
use crate::core::WorkerSums;

/// A server, and a running worker on each of these hosts.
fn fleet(hosts: &[&str]) -> Script {
    let mut script = Script::with_server();
    for (index, host) in hosts.iter().enumerate() {
        let n = index as u64 + 2;
        script.event(Event::Offers(vec![offer(&format!("o{n}"), host, 2.0, 700)]));
        script.write();
        script.update(status(&worker(n), TaskState::TaskRunning, 1));
        script.write();
    }
    script
}

fn worker(n: u64) -> String {
    format!("miner-worker-{n}")
}

fn tell(script: &mut Script, n: u64, live: WorkerLive) {
    script.event(Event::Message { executor: worker(n), data: Live::Worker(live).encode() });
}

fn sums(script: &Script, each: bool) -> WorkerSums {
    let (mut sums, mut after) = (WorkerSums::default(), None);
    loop {
        after = script.state.add_worker_sums(after.as_deref(), each, &mut sums);
        if after.is_none() {
            return sums;
        }
    }
}

fn quantiles(median: u32, p99: u32) -> Option<DelayQuantiles> {
    Some(DelayQuantiles { median, p99 })
}

#[test]
fn workers_that_mine_are_summed_by_host_and_by_cpu_model() {
    let mut script = fleet(&["w1", "w2", "w3", "w4"]);
    let totals = Some(Totals { accepted: 9, rejected: 1, ..Totals::default() });
    let delays = |notify, share| {
        Some(WorkerDelays { notify_to_first_hash: quantiles(notify, 10), share_round_trip: share })
    };
    let live = |hashrate, cpu_model: &str| WorkerLive {
        hashrate,
        cpu_model: cpu_model.to_owned(),
        totals,
        ..WorkerLive::default()
    };
    tell(&mut script, 2, WorkerLive { delays: delays(5, None), ..live(1e6, "EPYC") });
    tell(&mut script, 3, WorkerLive { delays: delays(3, quantiles(70, 80)), ..live(2e6, "EPYC") });
    tell(&mut script, 4, live(4e6, ""));
    tell(&mut script, 5, WorkerLive { paused: Some(true), ..live(8e6, "EPYC") });
    let found = sums(&script, true);
    assert_eq!(found.hosts.values().map(|sum| sum.hashrate).sum::<f64>(), 7e6);
    assert_eq!(script.state.overview(script.now).hashrate, 7e6, "the same as of all");
    assert_eq!(found.hosts.len(), 3);
    let epyc = found.cpu_models["EPYC"];
    assert_eq!((epyc.hashrate, epyc.accepted, epyc.rejected), (3e6, 18, 2));
    assert_eq!(found.cpu_models["unknown"].hashrate, 4e6);
    let cpus: u64 = found.hosts.values().map(|sum| sum.cpus_milli).sum();
    assert_eq!(found.cpu_models.values().map(|sum| sum.cpus_milli).sum::<u64>(), cpus);
    assert_eq!(found.delays.notify_to_first_hash, quantiles(5, 10));
    assert_eq!(found.delays.share_round_trip, quantiles(70, 80));
    let workers: Vec<_> = found.workers.iter().map(|it| (it.task.as_str(), it.hashrate)).collect();
    assert_eq!(workers, [("miner-worker-2", 1e6), ("miner-worker-3", 2e6), ("miner-worker-4", 4e6)]);
    assert!(sums(&script, false).workers.is_empty());
}
