//! Prometheus' own tool finds no fault in the figures of running programs, and the alerts do what their tests say.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testing::third_party::{folder, require, root};

use crate::mine_http::http_of;
use crate::page::page_of;
use crate::standalone::Pool;
use crate::support::embedded::EmbeddedCluster;
use crate::support::process::mesos_miner;
use crate::support::{DEADLINE, LONG_DEADLINE, http, until};

fn promtool() -> Option<PathBuf> {
    require("prometheus", folder("prometheus").map(|folder| folder.join("usr/bin/promtool")))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Gives promtool a text of metrics.
fn check(promtool: &Path, metrics: &str) -> Output {
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(metrics.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// The answer to a client that takes OpenMetrics, with its head.
fn open_metrics(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let accept =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n{accept}\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The names of the metrics that a text describes.
fn described(metrics: &str) -> impl Iterator<Item = &str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
}

fn is_clean(promtool: &Path, address: SocketAddr, program: &str) {
    let metrics = http::get_text(address, "/metrics").expect("it answers");
    assert!(metrics.contains(&format!("program=\"{program}\"}} 1\n")), "{metrics}");
    let output = check(promtool, &metrics);
    assert!(output.status.success() && said(&output).is_empty(), "{}\n{metrics}", said(&output));
    const DOCUMENT: &str = include_str!("../../docs/METRICS.md");
    for name in described(&metrics).filter_map(|name| name.strip_prefix("mesos_miner_")) {
        let documented = ["`", "{"].iter().any(|end| DOCUMENT.contains(&format!("`{name}{end}")));
        assert!(documented, "docs/METRICS.md lacks {name}");
    }
    let open = open_metrics(address);
    assert!(
        open.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"),
        "{open}"
    );
}

/// What comes from a real worker and a real subscription is there. A delay is told for a minute.
fn has_figures_of_workers(page: SocketAddr) {
    let mut wanted = vec![
        "host_hashrate_hashes_per_second{host=",
        "host_cpus{host=",
        "cpu_model_hashrate_hashes_per_second{model=",
        "worker_hashrate_hashes_per_second{task=\"miner-worker-2\",host=",
        "worker_notify_to_first_hash_seconds{percentile=\"99\"}",
        "worker_share_round_trip_seconds{percentile=\"50\"}",
        "paused 0",
    ];
    until("it has the worker's figures", LONG_DEADLINE, || {
        let metrics = http::get_text(page, "/metrics")?;
        wanted.retain(|begin| !metrics.contains(&format!("\nmesos_miner_{begin}")));
        wanted.is_empty().then_some(())
    });
    let metrics = http::get_text(page, "/metrics").expect("it answers");
    for counted in ["update_to_acknowledgement_seconds_count ", "offer_to_launch_seconds_count "] {
        let found = metrics.contains(counted) && !metrics.contains(&format!("{counted}0\n"));
        assert!(found, "{counted}: {metrics}");
    }
}

#[test]
fn promtool_finds_no_fault_in_the_figures_of_a_scheduler_a_pool_and_a_miner() {
    let Some(promtool) = promtool() else { return };
    let mut pool = mesos_miner(["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let address: SocketAddr =
        pool.wait_for_output(DEADLINE, |line| line.strip_prefix("HTTP on http://")?.parse().ok());
    pool.wait_for_output(DEADLINE, |line| line.starts_with("listening on ").then_some(()));
    is_clean(&promtool, address, "pool");

    let pool = Pool::start();
    let mut miner = mesos_miner(["mine", "-o", &pool.stratum, "-t", "1", "--http", "127.0.0.1:0"]);
    let address = http_of(&mut miner);
    let counted = "\nmesos_miner_share_round_trip_seconds_bucket{le=\"+Inf\"} ";
    let none = format!("{counted}0\n");
    until("a share is answered", LONG_DEADLINE, || {
        let metrics = http::get_text(address, "/metrics")?;
        (metrics.contains(counted) && !metrics.contains(&none)).then_some(())
    });
    is_clean(&promtool, address, "mine");

    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let master = cluster.master.to_string();
    let options =
        ["--http", "127.0.0.1:0", "--server-cpus", "0.1", "--teardown-on-exit", "--metrics-per-worker"];
    let mut scheduler = mesos_miner(["scheduler", "--master", &master].into_iter().chain(options));
    let page = page_of(&mut scheduler);
    until("it mines", LONG_DEADLINE, || (http::get_text(page, "/healthz")? == "ok\n").then_some(()));
    has_figures_of_workers(page);
    is_clean(&promtool, page, "scheduler");
    scheduler.interrupt(LONG_DEADLINE);

    let faulty = "# TYPE mesos_miner_blocks counter\nmesos_miner_blocks 1\n";
    assert!(!check(&promtool, faulty).status.success(), "it notices a counter without its ending");
}

#[test]
fn the_alerts_do_what_their_tests_say() {
    let Some(promtool) = promtool() else { return };
    let source = root().join("deploy/prometheus");
    let copied = tempfile::tempdir().expect("a folder");
    let test = |change: &dyn Fn(String) -> String| {
        let (rules, tests) = ("mesos-miner.rules.yml", "mesos-miner.test.yml");
        let text = std::fs::read_to_string(source.join(rules)).expect("there are rules");
        std::fs::write(copied.path().join(rules), change(text)).expect("written");
        std::fs::copy(source.join(tests), copied.path().join(tests)).expect("there are tests");
        let mut command = Command::new(&promtool);
        command.args(["test", "rules", tests]).current_dir(copied.path()).output().expect("it starts")
    };
    let right = test(&|rules| rules);
    assert!(right.status.success(), "{}", said(&right));
    for (from, to) in
        [("> 0.05", "> 0.5"), ("< 0.7", "< 0.1"), ("mesos_miner_workers == 0", "mesos_miner_workers < 0")]
    {
        let wrong = test(&|rules| {
            assert!(rules.contains(from), "{from}");
            rules.replace(from, to)
        });
        assert!(!wrong.status.success(), "{from} as {to}: {}", said(&wrong));
    }
}
