//! The figures reach Graphite: a listener that checks each line of the plaintext protocol, and a real carbon with its database.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testing::ports::ReservedPorts;
use testing::third_party::{folder, require};

use crate::mine_http::http_of;
use crate::page::page_of;
use crate::support::process::{Process, mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE, http, until};

/// A listener that keeps the last value of each name, and checks each line.
struct Listener {
    address: SocketAddr,
    figures: Arc<Mutex<BTreeMap<String, f64>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let figures = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let kept = figures.clone();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            // A connection that is closed is not accepted again: the test does not get its figures then.
            read_lines(stream, &kept);
        });
        Listener { address, figures }
    }

    /// The figures of a program whose prefix is `prefix`.
    fn figures(&self, prefix: &str) -> BTreeMap<String, f64> {
        let figures = self.figures.lock().expect("every line was right");
        let named = |(name, value): (&String, &f64)| Some((name.strip_prefix(prefix)?.to_owned(), *value));
        figures.iter().filter_map(named).collect()
    }
}

fn read_lines(stream: TcpStream, figures: &Mutex<BTreeMap<String, f64>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        // Poisoned by a wrong line, so that the test sees it.
        let mut figures = figures.lock().expect("not poisoned");
        let parts: Vec<_> = line.split(' ').collect();
        let [name, value, time] = parts[..] else { panic!("not a name, a value and a time: {line:?}") };
        let right = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!(
            name.split('.').all(|part| (1..=255).contains(&part.len()) && part.chars().all(right)),
            "{line:?}"
        );
        assert!(time.parse::<u64>().is_ok_and(|time| time > 1_700_000_000), "{line:?}");
        let value = value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line:?}"));
        assert!(value.is_finite(), "{line:?}");
        figures.insert(name.to_owned(), value);
    }
}

/// The names that the figures of `/metrics` have at Graphite, without a prefix.
fn names_of_metrics(address: SocketAddr) -> BTreeSet<String> {
    let metrics = http::get_text(address, "/metrics").expect("it answers");
    let series = metrics.lines().filter_map(|line| line.strip_prefix("mesos_miner_")?.rsplit_once(' '));
    series.map(|(series, _)| name_of(series)).collect()
}

fn name_of(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let labels = labels.trim_end_matches('}').replace("=\"+Inf\"", "=\"inf\"");
    let labels = labels.split("\",").map(|label| label.replace("=\"", "\0").replace('"', ""));
    let parts =
        labels.map(|label| label.replace(|c: char| !c.is_ascii_alphanumeric() && !"\0_-".contains(c), "_"));
    parts.fold(name.to_owned(), |name, label| format!("{name}.{}", label.replace('\0', ".")))
}

/// All figures that a program tells Prometheus reach the listener.
fn tells_all(listener: &Listener, prefix: &str, address: SocketAddr) {
    until("Graphite has the same figures as Prometheus", LONG_DEADLINE, || {
        let (told, expected) = (listener.figures(prefix), names_of_metrics(address));
        (expected.len() > 10 && told.keys().cloned().collect::<BTreeSet<_>>() == expected).then_some(())
    });
}

fn host() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().expect("UTF-8").to_owned();
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_")
}

#[test]
fn miner_and_pool_send_all_figures_under_names_of_their_own() {
    let (of_miner, of_pool) = (Listener::start(), Listener::start());
    let graphite = of_pool.address.to_string();
    let pool_options = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--graphite", &graphite];
    let mut pool = mesos_miner(["pool"].into_iter().chain(pool_options));
    let page = pool.wait_for_output(DEADLINE, |line| line.strip_prefix("HTTP on http://")?.parse().ok());
    let stratum =
        pool.wait_for_output(DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned));

    let graphite = of_miner.address.to_string();
    let miner_options =
        ["--http", "127.0.0.1:0", "--graphite", &graphite, "--graphite-prefix", "rack7.rig-1"];
    let mut miner = mesos_miner(["mine", "-o", &stratum, "-t", "1"].into_iter().chain(miner_options));
    let http = http_of(&mut miner);
    tells_all(&of_miner, "rack7.rig-1.", http);
    tells_all(&of_pool, &format!("mesos_miner.{}.pool.", host()), page);
    let figures = until("shares are counted", LONG_DEADLINE, || {
        let figures = of_miner.figures("rack7.rig-1.");
        (figures["shares_total.verdict.accepted"] > 0.0).then_some(figures)
    });
    assert!(figures["hashes_total"] > 0.0 && figures["hashrate_hashes_per_second"] > 0.0, "{figures:?}");
    assert!(figures["share_round_trip_seconds_bucket.le.inf"] > 0.0, "{figures:?}");
    let told = |line: &str| line.contains(&format!("figures go to Graphite at {graphite}")).then_some(());
    miner.wait_for_error(DEADLINE, told);
    miner.interrupt(DEADLINE);
}

#[test]
fn a_scheduler_sends_its_figures_once_it_has_some() {
    let listener = Listener::start();
    let graphite = listener.address.to_string();
    let options = ["--cpus", "1", "--http", "127.0.0.1:0", "--graphite", &graphite];
    let mut local = mesos_miner(["local"].into_iter().chain(options));
    let page = page_of(&mut local);
    tells_all(&listener, &format!("mesos_miner.{}.scheduler.", host()), page);
    local.interrupt(LONG_DEADLINE);
}

/// A real carbon, which writes what it gets into Whisper files at once.
struct Carbon {
    installed: PathBuf,
    folder: TempDir,
    port: ReservedPorts,
}

const CARBON: &str = "\
[cache]
DATABASE = whisper
ENABLE_LOGROTATION = False
USER =
LINE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = 0
ENABLE_UDP_LISTENER = False
ENABLE_TAGS = False
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
CARBON_METRIC_INTERVAL = 0
";

impl Carbon {
    fn new(installed: PathBuf) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), ReservedPorts::take(1));
        let config = format!("{CARBON}LINE_RECEIVER_PORT = {}\n", port.first());
        std::fs::create_dir(folder.path().join("conf")).expect("a folder");
        std::fs::create_dir(folder.path().join("storage")).expect("a folder");
        std::fs::write(folder.path().join("conf/carbon.conf"), config).expect("written");
        let schemas = "[all]\npattern = .*\nretentions = 1s:1h\n";
        std::fs::write(folder.path().join("conf/storage-schemas.conf"), schemas).expect("written");
        Carbon { installed, folder, port }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.first())
    }

    fn start(&self) -> Process {
        let (root, installed) = (self.folder.path().display(), self.installed.display());
        let config = format!("--config={root}/conf/carbon.conf");
        let program = format!("{installed}/bin/carbon-cache.py");
        let (packages, root) = (format!("PYTHONPATH={installed}"), format!("GRAPHITE_ROOT={root}"));
        start("env", [&packages, &root, "python3", &program, &config, "--nodaemon", "start"])
    }

    /// The values of a name, each with its time, as Whisper has them.
    fn values(&self, name: &str) -> Vec<(u64, f64)> {
        let file = self.folder.path().join(format!("storage/whisper/{}.wsp", name.replace('.', "/")));
        if !file.exists() {
            return Vec::new();
        }
        let script = "import json, sys, whisper; print(json.dumps(whisper.fetch(sys.argv[1], 0)))";
        let mut python = Command::new("python3");
        let output = python.args(["-c", script]).arg(&file).env("PYTHONPATH", &self.installed).output();
        let read: Value = serde_json::from_slice(&output.expect("it starts").stdout).expect("JSON");
        let from = read[0][0].as_u64().expect("a time");
        let values = read[1].as_array().expect("values").iter().zip(from..);
        values.filter_map(|(value, time)| Some((time, value.as_f64()?))).collect()
    }

    /// Waits for a value of a time that is later than `after`; returns that time.
    fn value_after(&self, after: u64, name: &str, value: f64) -> u64 {
        until(&format!("{name} after {after}"), LONG_DEADLINE, || {
            let values = self.values(name);
            assert!(values.iter().all(|(_, found)| *found == value), "{name}: {values:?} and not {value}");
            values.last().map(|(time, _)| *time).filter(|time| *time > after)
        })
    }
}

/// The end of carbon, which has refused no line.
fn ends(mut carbon: Process) {
    carbon.signal(Signal::TERM);
    let ended = carbon.wait(LONG_DEADLINE);
    let said = ended.stdout.into_iter().chain(ended.stderr).collect::<Vec<_>>().join("\n");
    assert!(said.contains("MetricLineReceiver connection") && !said.contains("invalid"), "{said}");
}

fn installed() -> Option<PathBuf> {
    let is_there = |folder: &PathBuf| Path::exists(&folder.join("bin/carbon-cache.py"));
    require("carbon", folder("carbon").filter(is_there))
}

#[test]
fn a_real_carbon_gets_what_waited_for_it_and_its_restart_is_survived() {
    let Some(installed) = installed() else { return };
    let carbon = Carbon::new(installed);
    let graphite = carbon.address();
    let options = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--graphite", &graphite];
    let mut pool = mesos_miner(["pool"].into_iter().chain(options).chain(["--graphite-prefix", "test"]));
    let page = pool.wait_for_output(DEADLINE, |line| line.strip_prefix("HTTP on http://")?.parse().ok());
    let mut says = |what: &str| {
        let line = pool.wait_for_error(LONG_DEADLINE, |line| line.contains(what).then(|| line.to_owned()));
        assert!(line.contains(&graphite), "{line}");
    };
    says("no figures reach Graphite");

    let running = carbon.start();
    let metrics = http::get_text(page, "/metrics").expect("it answers");
    let start_time = metrics.lines().find_map(|line| line.strip_prefix("mesos_miner_start_time_seconds "));
    let start_time: f64 = start_time.expect("it is there").parse().expect("a number");
    let first = carbon.value_after(0, "test.start_time_seconds", start_time);
    assert!(first as f64 - start_time < 10.0, "the first figures have waited: {first} {start_time}");
    says("now, also those that waited");
    carbon.value_after(first, "test.shares_total.verdict.accepted", 0.0);

    ends(running);
    says("it has closed the connection");
    let running = carbon.start();
    let restarted =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    carbon.value_after(restarted, "test.start_time_seconds", start_time);
    assert!(carbon.values("test.start_time_seconds").len() >= 3);
    ends(running);
    let ended = pool.interrupt(DEADLINE);
    let failures = ended.stderr.iter().filter(|line| line.contains("no figures reach Graphite")).count();
    assert!((2..=3).contains(&failures), "each failure is said once: {}", ended.errors());
}
