//! Several schedulers that share a ZooKeeper. When the leader is gone, another scheduler continues with the same tasks and
//! correct totals, even on a machine without the leader's state folder.

use std::path::PathBuf;
use std::time::Instant;

use rustix::process::Signal;
use tempfile::TempDir;

use super::mining::{MiningHarness, WORKERS, scheduler};
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;
use crate::support::ledger::Ledger;
use crate::support::mesos_box::MesosBox;
use crate::support::process::Process;
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The schedulers' path in ZooKeeper.
const PLACE: &str = "mining/here";

/// A scheduler with a state folder of its own, like one on another machine.
struct Candidate {
    process: Process,
    state: TempDir,
}

impl Candidate {
    fn start(cluster: &Cluster, zookeeper: &ZooKeeper) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let zk = zookeeper.address(PLACE);
        let more = ["--zk", &zk, "--zk-session-timeout", "4s"];
        let process = scheduler(&cluster.address(), state.path(), &more);
        Candidate { process, state }
    }

    fn leads(&self) -> bool {
        said(&self.process, "this scheduler leads,") > said(&self.process, "not leading any more")
    }

    /// Waits until the scheduler is on standby.
    fn waits(&mut self) {
        self.process.wait_for_error(LONG_DEADLINE, |line| line.contains("waiting for").then_some(()));
    }

    /// Ends a standby scheduler, and checks its last message.
    fn ends_at_once(mut self) {
        self.process.signal(Signal::TERM);
        let ended = self.process.wait(DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
        let last = ended.stderr.last().map_or("", String::as_str);
        assert!(last.contains("this scheduler was waiting"), "{ended:#?}");
    }
}

fn said(process: &Process, what: &str) -> usize {
    process.stderr().iter().filter(|line| line.contains(what)).count()
}

/// Starts two schedulers, and waits until one leads. The leader runs in the returned harness. The returned [`Candidate`] is the
/// standby scheduler.
fn start(cluster: Cluster, zookeeper: ZooKeeper) -> (MiningHarness, ZooKeeper, Candidate) {
    // Both start concurrently, and either may lead.
    let mut both = [Candidate::start(&cluster, &zookeeper), Candidate::start(&cluster, &zookeeper)];
    let leader =
        until("one of them leads", LONG_DEADLINE, || both.iter().position(|candidate| candidate.leads()));
    both[1 - leader].waits();
    let [first, second] = both;
    let (leader, other) = if leader == 0 { (first, second) } else { (second, first) };
    let mut mining = MiningHarness::of(leader.process, cluster, leader.state);
    mining.until_it_mines(|_| true);
    (mining, zookeeper, other)
}

/// Makes `other` the harness's scheduler. Returns the former leader.
fn take_over(mining: &mut MiningHarness, other: Candidate) -> Process {
    mining.take_over(other.process, other.state)
}

/// Checks that the master knows a single framework with three tasks, of which none has ended. A second launch would have added a
/// fourth task.
fn nothing_was_launched_twice(mining: &MiningHarness) {
    let state = mining.cluster.state().expect("the master answers");
    let frameworks = state["frameworks"].as_array().expect("a list");
    assert_eq!((frameworks.len(), &state["completed_frameworks"]), (1, &serde_json::json!([])), "{state:#}");
    assert_eq!(frameworks[0]["tasks"].as_array().map(Vec::len), Some(3), "{state:#}");
    assert_eq!(frameworks[0]["completed_tasks"], serde_json::json!([]), "{state:#}");
}

/// Waits until both the leader's ledger and ZooKeeper contain all shares that the pool has accepted, and checks that no share is
/// counted twice.
fn the_sums_are_right(mining: &MiningHarness, zookeeper: &ZooKeeper) {
    let counted = mining.pool_count().expect("the pool answers");
    until("all ledgers have what the pool had counted", DEADLINE, || {
        let shared = Ledger::shared(&zookeeper.address(PLACE)).expect("there is a ledger");
        let ledgers = [mining.ledger(), shared];
        let whole = |ledger: &Ledger| ledger.pool() >= counted && ledger.total.worker.accepted >= counted;
        ledgers.iter().all(whole).then_some(())
    });
    let (ledger, counted) = (mining.ledger().pool(), mining.pool_count().expect("the pool answers"));
    assert!(ledger <= counted, "nothing is counted twice: {ledger} in the ledger, {counted} at the pool");
}

fn killed_and_frozen_leaders(cluster: Cluster, zookeeper: ZooKeeper) {
    let (mut mining, zookeeper, second) = start(cluster, zookeeper);
    nothing_was_launched_twice(&mining);
    let tasks = mining.tasks();

    let hit = Instant::now();
    mining.scheduler.signal(Signal::KILL);
    until("the second one leads", LONG_DEADLINE, || second.leads().then_some(()));
    take_over(&mut mining, second).wait(DEADLINE);
    mining.recovers(hit, |mining| mining.tasks() == tasks);
    nothing_was_launched_twice(&mining);
    the_sums_are_right(&mining, &zookeeper);

    // When a frozen leader continues, it does not know yet that another scheduler leads.
    let mut third = Candidate::start(&mining.cluster, &zookeeper);
    third.waits();
    let hit = Instant::now();
    mining.scheduler.signal(Signal::STOP);
    until("the third one leads", LONG_DEADLINE, || third.leads().then_some(()));
    let frozen = take_over(&mut mining, third);
    mining.recovers(hit, |mining| mining.tasks() == tasks);
    frozen.signal(Signal::CONT);
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut frozen = Candidate { process: frozen, state };
    frozen.process.wait_for_error(LONG_DEADLINE, |line| line.contains("not leading any more").then_some(()));
    frozen.waits();
    mining.until_it_mines(|mining| mining.tasks() == tasks);
    assert_eq!(said(&mining.scheduler, "not leading any more"), 0, "{:#?}", mining.scheduler.stderr());
    nothing_was_launched_twice(&mining);
    the_sums_are_right(&mining, &zookeeper);

    frozen.ends_at_once();
    mining.until_it_mines(|mining| mining.tasks() == tasks);
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks, [("TASK_KILLED".to_owned(), 3)].into(), "{ended:#?}");
    assert!(ended.errors().contains("the framework is torn down"), "{ended:#?}");
    assert!(ended.errors().contains("single shares are complete in"), "{ended:#?}");
}

/// Once the session timeout has passed, no scheduler leads until ZooKeeper is back. The tasks continue to mine.
fn killed_zookeeper(cluster: Cluster, zookeeper: ZooKeeper) {
    let (mut mining, mut zookeeper, second) = start(cluster, zookeeper);
    let tasks = mining.tasks();
    let hit = Instant::now();
    zookeeper.kill();
    until("nobody leads", LONG_DEADLINE, || {
        (said(&mining.scheduler, "not leading any more") == 1).then_some(())
    });
    let counted = mining.pool_count().expect("the pool runs");
    until("the tasks mine on", LONG_DEADLINE, || (mining.pool_count()? > counted).then_some(()));
    zookeeper.restart();
    let again = |mining: &MiningHarness| said(&mining.scheduler, "this scheduler leads,") == 2;
    until("one of them leads again", LONG_DEADLINE, || (second.leads() || again(&mining)).then_some(()));
    let other = if second.leads() {
        Candidate {
            process: take_over(&mut mining, second),
            state: tempfile::tempdir().expect("a temporary folder"),
        }
    } else {
        second
    };
    mining.recovers(hit, |mining| mining.tasks() == tasks);
    nothing_was_launched_twice(&mining);
    the_sums_are_right(&mining, &zookeeper);
    other.ends_at_once();
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks, [("TASK_KILLED".to_owned(), 3)].into(), "{ended:#?}");
}

/// Starts a ZooKeeper. Returns it with the command of mesos-box; `None` if one of them is not installed.
fn zookeeper() -> Option<(ZooKeeper, PathBuf)> {
    let (command, ()) = (peer::mesos()?, peer::zookeeper()?);
    Some((ZooKeeper::start(&command), command))
}

mod on_the_embedded_cluster {
    use super::{Cluster, EmbeddedCluster, WORKERS, zookeeper};

    #[test]
    fn killed_and_frozen_leaders() {
        let Some((zookeeper, _)) = zookeeper() else { return };
        super::killed_and_frozen_leaders(
            Cluster::Embedded(EmbeddedCluster::start(WORKERS, 1.0, |_| ())),
            zookeeper,
        );
    }
}

mod on_a_real_mesos {
    use super::{Cluster, MesosBox, WORKERS, zookeeper};

    fn cluster(command: &std::path::Path) -> Cluster {
        Cluster::Real(MesosBox::with_options(command, WORKERS as u16, &["--cpus=1"]))
    }

    #[test]
    fn killed_and_frozen_leaders() {
        let Some((zookeeper, command)) = zookeeper() else { return };
        super::killed_and_frozen_leaders(cluster(&command), zookeeper);
    }

    #[test]
    fn killed_zookeeper() {
        let Some((zookeeper, command)) = zookeeper() else { return };
        super::killed_zookeeper(cluster(&command), zookeeper);
    }
}
