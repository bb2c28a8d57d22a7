//! Workers that outlive their server: `--on-server-loss=repoint`.

use std::collections::BTreeSet;
use std::time::Instant;

use rustix::process::Signal;

use super::mining::{MiningHarness, WORKERS};
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;
use crate::support::mesos_box::MesosBox;
use crate::support::process_tree::Executor;
use crate::support::{DEADLINE, peer};

fn on(cluster: Cluster) -> MiningHarness {
    let address = cluster.address();
    MiningHarness::at(cluster, &address, &["--on-server-loss=repoint"])
}

fn processes(workers: Vec<Executor>) -> BTreeSet<(String, i32)> {
    workers.into_iter().map(|worker| (worker.id, worker.process.pid)).collect()
}

/// The server is killed. The same worker processes continue with another server.
fn killed_server(mut mining: MiningHarness) {
    let workers = processes(mining.workers());
    for _ in 0..2 {
        let server = mining.server();
        mining.kill(&server);
        mining.recovers(Instant::now(), |mining| mining.server().id != server.id);
        assert_eq!(processes(mining.workers()), workers);
    }
    let said = mining.scheduler.stderr();
    let sent_on = said.iter().filter(|line| line.contains(" mines at miner-server-")).count();
    assert_eq!(sent_on, 2 * WORKERS, "{said:#?}");
    ended(mining, 2);
}

/// The server dies while no scheduler runs. The next scheduler redirects the workers.
fn killed_server_and_scheduler(mut mining: MiningHarness) {
    let workers = processes(mining.workers());
    mining.scheduler.signal(Signal::KILL);
    mining.scheduler.wait(DEADLINE);
    let server = mining.server();
    mining.kill(&server);
    mining.restart_scheduler_with(&["--on-server-loss=repoint"]);
    mining.recovers(Instant::now(), |mining| mining.server().id != server.id);
    assert_eq!(processes(mining.workers()), workers);
    ended(mining, 1);
}

/// Ends the framework. Checks that `servers` tasks failed, and that all others were killed.
fn ended(mining: MiningHarness, servers: u64) {
    let (summary, ended) = mining.end();
    let states: Vec<&str> = summary.tasks.keys().map(String::as_str).collect();
    assert_eq!(
        (states, summary.tasks["TASK_FAILED"]),
        (vec!["TASK_FAILED", "TASK_KILLED"], servers),
        "{ended:#?}"
    );
}

fn embedded() -> MiningHarness {
    on(Cluster::Embedded(EmbeddedCluster::start(WORKERS, 1.0, |_| ())))
}

fn real() -> Option<MiningHarness> {
    Some(on(Cluster::Real(MesosBox::with_options(&peer::mesos()?, WORKERS as u16, &["--cpus=1"]))))
}

mod on_the_embedded_cluster {
    #[test]
    fn killed_server() {
        super::killed_server(super::embedded());
    }

    #[test]
    fn killed_server_and_scheduler() {
        super::killed_server_and_scheduler(super::embedded());
    }
}

mod on_a_real_mesos {
    #[test]
    fn killed_server() {
        if let Some(mining) = super::real() {
            super::killed_server(mining);
        }
    }

    #[test]
    fn killed_server_and_scheduler() {
        if let Some(mining) = super::real() {
            super::killed_server_and_scheduler(mining);
        }
    }
}
