//! Executors that die or freeze.

use std::collections::BTreeMap;
use std::time::Instant;

use rustix::process::Signal;

use super::mining::{MiningHarness, WORKERS, signal};
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;

faults! { both: killed_server killed_worker frozen_server frozen_worker }

/// Workers are useless without their server, so all tasks are replaced.
fn killed_server(mut mining: MiningHarness) {
    let old = mining.tasks();
    let server = mining.server();
    mining.kill(&server);
    mining.recovers(Instant::now(), |mining| mining.tasks().is_disjoint(&old));
    let (summary, _) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 5)]));
}

/// A dead worker is replaced, and the other tasks continue.
fn killed_worker(mut mining: MiningHarness) {
    let old = mining.tasks();
    let worker = mining.workers()[0].clone();
    mining.kill(&worker);
    mining.recovers(Instant::now(), |mining| mining.tasks().intersection(&old).count() == 2);
    let (summary, _) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 3)]));
}

/// Mesos does not notice a frozen executor. The scheduler notices that the executor sends no messages, and makes the agent kill
/// the executor.
fn frozen_server(mut mining: MiningHarness) {
    let old = mining.tasks();
    let server = mining.server();
    mining.give_up(&server);
    signal(&server, Signal::STOP);
    mining.recovers(Instant::now(), |mining| mining.tasks().is_disjoint(&old));
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 5)]));
    let why = |line: &String| line.contains(&server.id) && line.contains("it has stopped sending messages");
    assert!(ended.stderr.iter().any(why), "{ended:#?}");
}

/// Revoked CPU is not a failure, so the next workers are launched without a pause.
#[test]
fn revoked_workers_on_the_embedded_cluster() {
    let cluster = EmbeddedCluster::start(WORKERS, 0.3, |config| {
        config.agents.iter_mut().for_each(|agent| agent.revocable_cpus = 0.7);
    });
    let (handle, address) = (cluster.handle(), cluster.master.to_string());
    let mut mining = MiningHarness::at(Cluster::Embedded(cluster), &address, &["--revocable"]);
    let old = mining.tasks();
    mining.workers().iter().for_each(|worker| mining.give_up(worker));
    let hit = Instant::now();
    (0..WORKERS).for_each(|agent| handle.revoke(agent));
    mining.recovers(hit, |mining| mining.tasks().intersection(&old).count() == 1);
    let (summary, ended) = mining.end();
    let gone = ("TASK_GONE".into(), WORKERS as u64);
    assert_eq!(summary.tasks, BTreeMap::from([gone, ("TASK_KILLED".into(), 3)]), "{ended:#?}");
    assert!(!ended.errors().contains("failures in a row"), "{ended:#?}");
}

/// A frozen worker does not disturb the other tasks.
fn frozen_worker(mut mining: MiningHarness) {
    let old = mining.tasks();
    let worker = mining.workers()[0].clone();
    mining.give_up(&worker);
    signal(&worker, Signal::STOP);
    mining.recovers(Instant::now(), |mining| mining.tasks().intersection(&old).count() == 2);
    let (summary, _) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 3)]));
}
