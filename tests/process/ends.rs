//! How programs end: with a full disk, at a second signal, and with standard output that cannot be written. Their exit status, and
//! what `--json` prints after a failure.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testing::ports::{ReservedPorts, closed_address};

use crate::faults::mining::signal;
use crate::standalone::Pool;
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;
use crate::support::http::{get_json, get_text};
use crate::support::mesos_box::{Member, MesosBox};
use crate::support::process::{Ended, Process, mesos_miner, start};
use crate::support::process_tree;
use crate::support::small_disk::OnSmallDisk;
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// A second signal within 300 ms of the first one counts as its repetition.
const NOT_REPEATED: Duration = Duration::from_millis(400);

/// The address of a program's HTTP server, from its output.
fn http(process: &mut Process) -> SocketAddr {
    let address = |line: &str| Some(line.split_once("HTTP on http://")?.1.parse().expect("an address"));
    until("HTTP", DEADLINE, || {
        let (errors, output) = (process.stderr(), process.stdout());
        errors.iter().chain(&output).find_map(|line| address(line))
    })
}

/// A scheduler that mines on a cluster, with its state folder on a small disk.
struct Mining {
    _cluster: Cluster,
    scheduler: OnSmallDisk,
    http: SocketAddr,
}

impl Mining {
    fn on(cluster: Cluster, options: &[&str]) -> Self {
        let address = cluster.address();
        let mut scheduler = OnSmallDisk::start(|disk| {
            let state = format!("{disk}/state");
            let fixed = ["scheduler", "--master", &address, "--state-dir", &state, "--http", "127.0.0.1:0"];
            // Each report is a record, so there is always one that waits for room.
            let reports = ["--report-interval", "1s", "--live-interval", "1s", "--share-interval", "100ms"];
            [fixed.as_slice(), &reports, options].concat().into_iter().map(str::to_owned).collect()
        });
        let http = http(&mut scheduler.process);
        scheduler.process.wait_for_error(LONG_DEADLINE, |line| line.contains(" mines on ").then_some(()));
        Mining { _cluster: cluster, scheduler, http }
    }

    /// Waits until `/healthz` and the ranked list say that the disk is full, although a worker mines.
    fn is_full(&mut self) {
        until("the disk is full", LONG_DEADLINE, || {
            let health = get_text(self.http, "/healthz")?;
            (health.contains("the disk of state folder") && health.contains(" is full")).then_some(())
        });
        let summary = get_json(self.http, "/api/v1/summary").expect("it answers");
        assert_eq!(summary["reasons"][0]["code"], "state-folder-full", "{summary}");
        assert!(summary["workers"].as_u64().is_some_and(|workers| workers >= 1), "{summary}");
    }
}

/// A full disk is unhealthy until there is room. At the end, the program says what it waits for, and fails.
fn a_full_disk_is_named(cluster: Cluster) {
    let mut mining = Mining::on(cluster, &["--teardown-on-exit"]);
    mining.scheduler.fill();
    mining.is_full();
    mining.scheduler.empty();
    until("it is healthy again", LONG_DEADLINE, || {
        get_text(mining.http, "/healthz").filter(|health| health.trim() == "ok")
    });
    mining.scheduler.fill();
    mining.is_full();
    mining.scheduler.process.signal(Signal::TERM);
    let ended = mining.scheduler.process.wait(LONG_DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let errors = ended.errors();
    let waits =
        |line: &&String| line.contains(" is full: waiting up to ") && line.contains("a second signal");
    assert!(ended.stderr.iter().filter(waits).count() >= 3, "every few seconds: {ended:#?}");
    assert!(errors.contains("the state folder can be written again"), "{ended:#?}");
    assert!(errors.contains("could not be written: the disk of state folder"), "{ended:#?}");
    let torn_down = "the framework is torn down: no task is left, but this is not recorded";
    assert!(errors.contains(torn_down) && errors.contains("--new-framework"), "{ended:#?}");
}

/// Without room for a first database, the error says so once. It does not say that a database must be repaired.
#[test]
fn a_disk_without_room_for_a_new_database_is_named() {
    if !OnSmallDisk::is_possible() {
        return;
    }
    let cluster = EmbeddedCluster::start(0, 1.0, |_| ());
    let master = cluster.master.to_string();
    // The smallest has no room for the first page of the database. The others fail when the log or its index grows.
    for size in ["4k", "16k", "32k", "64k"] {
        for (program, folder) in [
            (&["scheduler", "--master", &master, "--state-dir"][..], "state folder"),
            (&["pool", "--listen", "127.0.0.1:0", "--data-dir"], "data folder"),
        ] {
            let mut small = OnSmallDisk::of_size(size, |disk| {
                program.iter().copied().chain([disk]).map(str::to_owned).collect()
            });
            let ended = small.process.wait(LONG_DEADLINE);
            assert_eq!(ended.status.code(), Some(1), "{size}: {ended:#?}");
            let (errors, full) = (ended.errors(), format!("the disk of {folder}"));
            assert!(errors.contains(&full) && errors.contains(" is full: make room"), "{size}: {ended:#?}");
            assert!(!errors.contains("repair"), "{size}: {ended:#?}");
        }
    }
}

/// Without ZooKeeper, a leader that ends its framework loses the leadership before TEARDOWN. It says what is unknown, and fails.
#[test]
fn a_leader_that_loses_the_leadership_while_it_ends_its_tasks_fails() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let (mut zookeeper, cluster) = (ZooKeeper::start(&command), EmbeddedCluster::start(2, 1.0, |_| ()));
    let state = tempfile::tempdir().expect("a temporary folder");
    let (zk, master) = (zookeeper.address("miner"), cluster.master.to_string());
    let line = ["scheduler", "--master", &master, "--zk", &zk, "--zk-session-timeout", "6s", "--state-dir"];
    let more = [state.path().to_str().expect("a plain path"), "--teardown-on-exit", "--json"];
    let mut leader = mesos_miner([line.as_slice(), &more].concat());
    leader.wait_for_error(LONG_DEADLINE, |line| line.contains(" mines on ").then_some(()));
    zookeeper.kill();
    leader.signal(Signal::TERM);
    let ended = leader.wait(LONG_DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let summary: Value = serde_json::from_str(ended.stdout.last().expect("a line")).expect("JSON");
    let error = summary["error"].as_str().expect("the error");
    for said in ["lost the leadership (", "while it was ending framework ", "it is unknown whether "] {
        assert!(error.contains(said), "{said}: {ended:#?}");
    }
    assert!(summary["workers"].as_u64().is_some_and(|workers| workers >= 1), "what it knows: {summary}");
    assert!(!ended.errors().contains("nothing was ended"), "{ended:#?}");
}

#[test]
fn a_full_disk_is_named_on_the_embedded_cluster() {
    if OnSmallDisk::is_possible() {
        a_full_disk_is_named(Cluster::Embedded(EmbeddedCluster::start(2, 1.0, |_| ())));
    }
}

#[test]
fn a_full_disk_is_named_on_a_real_mesos() {
    let Some(command) = peer::mesos().filter(|_| OnSmallDisk::is_possible()) else { return };
    a_full_disk_is_named(Cluster::Real(MesosBox::with_options(&command, 2, &["--cpus=1"])));
}

/// Sends the first signal, waits until `waits` is in a line of standard error, and sends the second signal.
fn end_by_two_signals(process: &mut Process, first: Signal, second: Signal, waits: &str) -> Ended {
    process.signal(first);
    process.wait_for_error(LONG_DEADLINE, |line| line.contains(waits).then_some(()));
    std::thread::sleep(NOT_REPEATED);
    process.signal(second);
    process.wait(DEADLINE)
}

#[test]
fn a_second_signal_ends_a_scheduler_that_waits_for_its_disk() {
    if !OnSmallDisk::is_possible() {
        return;
    }
    let cluster = Cluster::Embedded(EmbeddedCluster::start(2, 1.0, |_| ()));
    let mut mining = Mining::on(cluster, &["--teardown-on-exit"]);
    mining.scheduler.fill();
    mining.is_full();
    let process = &mut mining.scheduler.process;
    let ended = end_by_two_signals(process, Signal::TERM, Signal::TERM, "is full: waiting up to ");
    assert_eq!(ended.status.code(), Some(143), "{ended:#?}");
}

/// A scheduler says by name which tasks it waits for. The executors do not end, since they are frozen.
#[test]
fn a_scheduler_names_the_tasks_that_it_waits_for_and_ends_at_a_second_signal() {
    let cluster = EmbeddedCluster::start(2, 1.0, |_| ());
    let state = tempfile::tempdir().expect("a temporary folder");
    let (master, state) =
        (cluster.master.to_string(), state.path().to_str().expect("a plain path").to_owned());
    let mut scheduler =
        mesos_miner(["scheduler", "--master", &master, "--state-dir", &state, "--teardown-on-exit"]);
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains(" mines on ").then_some(()));
    for executor in process_tree::executors(cluster.work_folder()) {
        signal(&executor, Signal::STOP);
    }
    let waits = "waiting for 1 task to end: miner-worker-2 (up to ";
    let ended = end_by_two_signals(&mut scheduler, Signal::TERM, Signal::INT, waits);
    assert_eq!(ended.status.code(), Some(130), "{ended:#?}");
}

#[test]
fn without_tasks_a_scheduler_does_not_say_that_they_stay() {
    let cluster = EmbeddedCluster::start(0, 1.0, |_| ());
    let state = tempfile::tempdir().expect("a temporary folder");
    let (master, state) =
        (cluster.master.to_string(), state.path().to_str().expect("a plain path").to_owned());
    let mut scheduler = mesos_miner(["scheduler", "--master", &master, "--state-dir", &state]);
    scheduler.wait_for_error(DEADLINE, |line| line.contains("subscribed as framework").then_some(()));
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let last = ended.stdout.last().expect("a line");
    assert!(
        last.starts_with("no task is left; the master keeps framework ") && !last.contains("tasks"),
        "{last}"
    );
}

/// A pool whose accounts are lost fails, after it has said what it waits for.
#[test]
fn a_pool_that_loses_accounts_fails_and_ends_at_a_second_signal() {
    if !OnSmallDisk::is_possible() {
        return;
    }
    for second in [None, Some(Signal::INT)] {
        let mut pool = OnSmallDisk::start(|disk| {
            let fixed =
                ["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--share-interval", "100ms"];
            [fixed.as_slice(), &["--data-dir", disk]].concat().into_iter().map(str::to_owned).collect()
        });
        let http = http(&mut pool.process);
        let stratum = |line: &str| line.strip_prefix("listening on ").map(str::to_owned);
        let stratum = pool.process.wait_for_output(DEADLINE, stratum);
        let mut miner = mesos_miner(["mine", "-o", &stratum, "-u", "rig", "-t", "1"]);
        miner.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
        pool.fill();
        let full = " is full: the accounts cannot be written";
        until("the pool is unhealthy", LONG_DEADLINE, || {
            get_text(http, "/healthz").filter(|health| health.contains(full))
        });
        let waits = "is full: waiting up to ";
        let ended = match second {
            Some(second) => end_by_two_signals(&mut pool.process, Signal::TERM, second, waits),
            None => {
                pool.process.signal(Signal::TERM);
                pool.process.wait(LONG_DEADLINE)
            }
        };
        assert_eq!(ended.status.code(), Some(if second.is_some() { 130 } else { 1 }), "{ended:#?}");
        assert!(ended.errors().contains(waits), "{ended:#?}");
        let lost = "the last changes of 1 account could not be written: the disk of data folder";
        assert!(second.is_some() || ended.errors().contains(lost), "{ended:#?}");
    }
}

/// After the first signal, the executor waits until its agent has acknowledged the last update. A second signal ends it before
/// that, as the agent sees when it is not frozen any more.
#[test]
fn a_second_signal_ends_an_executor_on_a_real_mesos() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, 2, &["--cpus=1"]);
    let state = tempfile::tempdir().expect("a temporary folder");
    let state = state.path().to_str().expect("a plain path").to_owned();
    let mut scheduler = mesos_miner(["scheduler", "--master", &mesos.address, "--state-dir", &state]);
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains("miner-worker-2 mines on ").then_some(()));
    let executors = process_tree::executors(&mesos.work_folder());
    let worker = executors.iter().find(|executor| executor.id == "miner-worker-2").expect("it mines");
    let agents = [Member::Agent(0), Member::Agent(1)];
    agents.into_iter().for_each(|agent| mesos.freeze(agent));
    signal(worker, Signal::TERM);
    std::thread::sleep(NOT_REPEATED);
    signal(worker, Signal::TERM);
    until("the executor has ended", DEADLINE, || (!process_tree::alive(&worker.process)).then_some(()));
    agents.into_iter().for_each(|agent| mesos.thaw(agent));
    scheduler.wait_for_error(LONG_DEADLINE, |line| {
        (line.contains("miner-worker-2") && line.contains("143")).then_some(())
    });
}

/// Runs the program in a shell that changes its standard output.
fn in_shell(script: &str, arguments: &[&str]) -> Ended {
    let words = ["-c", script, env!("CARGO_BIN_EXE_mesos-miner")];
    start("sh", words.iter().chain(arguments)).wait(LONG_DEADLINE)
}

#[test]
fn results_that_cannot_be_written_are_a_failure_and_a_closed_pipe_is_none() {
    let pool = Pool::start();
    let mine = ["mine", "-o", &pool.stratum, "-q", "-t", "1", "--duration", "1s"];
    let local = ["local", "--cpus", "0.5", "--duration", "1s"];
    let bench = ["bench", "--time", "1ms"];
    let server = ["pool", "--listen", "127.0.0.1:0"];
    for line in [mine.as_slice(), &local, &bench] {
        for json in [&[][..], &["--json"]] {
            let line = [line, json].concat();
            let full = in_shell("exec \"$0\" \"$@\" >/dev/full", &line);
            assert_eq!(full.status.code(), Some(1), "{line:?}: {full:#?}");
            let said = "error: cannot write to standard output: No space left on device";
            assert!(full.errors().contains(said), "{line:?}: {full:#?}");
            let closed = in_shell("{ \"$0\" \"$@\"; echo \"status $?\" >&2; } | true", &line);
            assert!(closed.errors().contains("status 0"), "{line:?}: {closed:#?}");
        }
    }
    let full = in_shell("\"$0\" \"$@\" >/dev/full & sleep 2; kill $!; wait $!", &server);
    assert_eq!(full.status.code(), Some(1), "{full:#?}");
    let full = in_shell("exec \"$0\" \"$@\" >/dev/full", &["--help"]);
    assert_eq!(full.status.code(), Some(1), "{full:#?}");
}

/// The last line of standard output, as JSON.
fn json(ended: &Ended) -> Value {
    let last = ended.stdout.last().unwrap_or_else(|| panic!("no output: {ended:#?}"));
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {ended:#?}"))
}

#[test]
fn with_json_a_failure_prints_an_object_with_the_error() {
    let closed = closed_address().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let none = folder.path().join("none");
    let none = none.to_str().expect("a plain path");
    let used = ReservedPorts::take(1);
    let taken = std::net::TcpListener::bind(("127.0.0.1", used.first())).expect("a free port");
    let taken = taken.local_addr().expect("an address");
    let (taken, port) = (taken.to_string(), taken.port().to_string());
    let scheduler = ["scheduler", "--master", &closed, "--state-dir", none];
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["mine", "-o", &closed, "-r", "0"], 1, "giving up: cannot connect"),
        (vec!["mine"], 64, "no pool to mine for"),
        (vec!["mine", "-o", &closed, "--cputest"], 64, "mesos-miner bench"),
        ([scheduler.as_slice(), &["--no-retry"]].concat(), 1, "--no-retry"),
        ([scheduler.as_slice(), &["--launch-timeout", "1s"]].concat(), 64, "--launch-timeout"),
        ([scheduler.as_slice(), &["--backend", "abacus"]].concat(), 64, "abacus"),
        ([scheduler.as_slice(), &["--log-filter-file", "/nowhere"]].concat(), 64, "--log-filter-file"),
        ([scheduler.as_slice(), &["--http", &taken]].concat(), 1, "--http"),
        (vec!["scheduler", "plan", "--master", &closed], 1, "cannot reach master"),
        (vec!["scheduler", "plan", "--master", &closed, "--launch-timeout", "1s"], 64, "--launch-timeout"),
        (vec!["local", "--port", "65535"], 64, "--port 65535"),
        (vec!["local", "--port", &port], 1, "cannot listen"),
        (vec!["ledger", "--state-dir", none], 1, "no ledger"),
        (vec!["accounts", "--data-dir", none], 1, "no accounts"),
    ];
    for (line, status, error) in cases {
        let ended = mesos_miner([line.as_slice(), &["--json"]].concat()).wait(LONG_DEADLINE);
        assert_eq!(ended.status.code(), Some(status), "{line:?}: {ended:#?}");
        let object = json(&ended);
        assert!(object["error"].as_str().is_some_and(|text| text.contains(error)), "{line:?}: {ended:#?}");
        assert!(ended.errors().contains(error), "{line:?}: {ended:#?}");
        let has_figures = !["plan", "ledger", "accounts"].iter().any(|word| line.contains(word));
        assert_eq!(object["shares"].is_object(), has_figures, "{line:?}: {ended:#?}");
    }
    // An invalid command line has no figures.
    for (line, error) in [
        (vec!["mine", "-t", "0"], "invalid value '0' for '--threads"),
        (vec!["local", "--workers", "200"], "200"),
        (vec!["bench", "--time", "0"], "--time"),
        (vec!["scheduler", "--bogus"], "unexpected argument '--bogus'"),
    ] {
        let ended = mesos_miner([line.as_slice(), &["--json"]].concat()).wait(LONG_DEADLINE);
        assert_eq!(ended.status.code(), Some(64), "{line:?}: {ended:#?}");
        let text = json(&ended)["error"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(text.contains(error) && !text.contains("Usage"), "{line:?}: {ended:#?}");
    }
}
