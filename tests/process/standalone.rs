//! `mesos-miner mine` with `mesos-miner pool`, without Mesos.

use std::collections::HashSet;
use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::http::get_json;
use crate::support::log::message;
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::{Shares, Summary};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// A pool with the built-in chain, on free ports.
pub struct Pool {
    process: Process,
    pub stratum: String,
    http: SocketAddr,
}

impl Pool {
    pub fn start() -> Self {
        let arguments = ["pool", "--chain", "builtin", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut process = mesos_miner(arguments);
        let after = |prefix: &'static str| move |line: &str| line.strip_prefix(prefix).map(str::to_owned);
        let stratum = process.wait_for_output(DEADLINE, after("listening on "));
        let http = process.wait_for_output(DEADLINE, after("HTTP on http://"));
        Pool { process, stratum, http: http.parse().expect("an address") }
    }

    /// A number from the pool's summary. `what` is `blocks`, `candidates`, or a verdict on shares such as `accepted`.
    pub fn count(&self, what: &str) -> u64 {
        let summary = get_json(self.http, "/api/v1/summary").expect("it answers");
        let totals = &summary["totals"];
        let count =
            if ["blocks", "candidates"].contains(&what) { &totals[what] } else { &totals["shares"][what] };
        count.as_u64().unwrap_or_else(|| panic!("{what} in {summary}"))
    }
}

/// Mines until the pool has accepted some shares, and ends the miner with SIGINT. The counts of pool and miner must agree.
pub fn mines_and_ends(pool: &Pool, arguments: &[&str]) -> Summary {
    let mut miner = mesos_miner(arguments);
    until("the pool accepts shares", LONG_DEADLINE, || {
        assert!(miner.is_running(), "{:#?}", miner.stderr());
        (pool.count("accepted") >= 3).then_some(())
    });
    let family = miner.family();
    let ended = miner.interrupt(DEADLINE);
    miner.assert_nothing_left(&family, DEADLINE);

    let summary = Summary::of(&ended);
    let Shares { accepted, rejected, unanswered, .. } = summary.shares;
    let sent = pool.count("accepted");
    assert_eq!(rejected, 0, "{summary:?}");
    assert!(accepted > 0, "{summary:?}");
    assert!((accepted..=accepted + unanswered).contains(&sent), "the pool accepted {sent}: {summary:?}");
    assert_eq!(summary.workers, 1, "{summary:?}");
    assert!(summary.tasks.is_empty(), "no Mesos, no tasks: {summary:?}");
    summary
}

#[test]
fn shares_are_accepted_and_counted_in_the_summary() {
    let pool = Pool::start();
    let arguments = ["mine", "-o", &pool.stratum, "-u", "me.rig1", "-p", "x", "-t", "1", "--json"];
    let summary = mines_and_ends(&pool, &arguments);
    let candidates = summary.candidates..=summary.candidates + 1;
    assert!(candidates.contains(&pool.count("candidates")), "{summary:?}");
    assert_eq!((summary.blocks, summary.orphaned), (0, 0), "a miner at a pool is not told of blocks");
}

#[test]
fn the_arguments_of_the_original_system_work() {
    let pool = Pool::start();
    mines_and_ends(&pool, &["-o", &pool.stratum, "--json"]);
}

#[test]
fn the_arguments_of_minerd_work() {
    let pool = Pool::start();
    let url = format!("stratum+tcp://{}", pool.stratum);
    mines_and_ends(&pool, &["-a", "sha256d", "-o", &url, "-u", "me", "-p", "x", "-t", "2", "--json"]);
}

#[test]
fn each_share_is_printed_without_json() {
    let pool = Pool::start();
    let mut miner = mesos_miner(["mine", "-o", &pool.stratum, "-u", "me"]);
    miner.wait_for_error(LONG_DEADLINE, |line| line.contains("accepted: 1/").then_some(()));
    let ended = miner.interrupt(DEADLINE);
    assert!(ended.stdout.join("\n").contains("accepted"), "{ended:#?}");
}

/// The nice value of each mining thread, and the cores that it may run on.
fn mining_threads(process: i32) -> Vec<(i32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let mut threads = Vec::new();
    for task in tasks.filter_map(|task| Some(task.ok()?.path())) {
        if read(task.join("comm")).starts_with("miner-") {
            // After the name in parentheses, field 3 has index 0, so field 19, the nice value, has index 16.
            let stat = read(task.join("stat"));
            let nice = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16)?.parse().ok());
            let status = read(task.join("status"));
            let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            threads.push((nice.expect("a nice value"), cores.expect("cores").trim().to_owned()));
        }
    }
    threads.sort();
    threads
}

/// If there is one thread for each core, each thread is pinned to a core. Fewer threads are not pinned, because the threads of
/// another worker might be pinned to the same cores. All threads run at low priority.
#[test]
fn mining_threads_have_low_priority_and_are_pinned_if_there_is_one_per_core() {
    let pool = Pool::start();
    let own = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let own = own.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("cores").trim();
    let cores = std::thread::available_parallelism().expect("cores").get();
    let first = own.split([',', '-']).next().expect("a core");
    let mut cases = vec![(vec![], cores, cores), (vec!["--cpu-affinity", first, "-t", "2"], 2, 1)];
    if cores > 1 {
        cases.push((vec!["-t", "1"], 1, 0));
    }
    for (options, threads, distinct) in cases {
        let line = [["mine", "-o", &pool.stratum, "-q"].as_slice(), &options].concat();
        let mut miner = mesos_miner(line);
        miner.wait_for_error(DEADLINE, |line| message(line).starts_with("mining for").then_some(()));
        let seen = until("the threads are set up", DEADLINE, || {
            let seen = mining_threads(miner.id());
            let pinned: HashSet<_> =
                seen.iter().filter(|(_, cores)| cores.parse::<usize>().is_ok()).collect();
            let right = seen.len() == threads && pinned.len() == distinct;
            (right && seen.iter().all(|(nice, _)| *nice == 19)).then_some(seen)
        });
        assert!(
            distinct > 0 || seen.iter().all(|(_, cores)| cores == own),
            "{options:?}: {seen:?}, not {own}"
        );
        miner.signal(Signal::TERM);
        let ended = miner.wait(DEADLINE);
        assert!(ended.status.success() && ended.stdout.len() == 2, "{ended:#?}");
    }
}

#[test]
fn an_interrupt_while_waiting_for_a_node_prints_a_summary() {
    let nobody = format!("http://{}", testing::ports::closed_address());
    let paid = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let mut miner = mesos_miner(["mine", "--json", "--bitcoind", &nobody, "--address", paid]);
    miner.wait_for_error(DEADLINE, |line| line.contains(&nobody).then_some(()));
    let ended = miner.interrupt(DEADLINE);
    assert_eq!(Summary::of(&ended).hashes, 0);
}

#[test]
fn the_bench_measures_every_backend_with_rolling_and_without() {
    let ended = mesos_miner(["bench", "--json", "--time", "1ms", "-t", "2"]).wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout.join("")).expect("an array");
    let available: Vec<_> = hasher::Backend::available().map(hasher::Backend::name).collect();
    let named: Vec<_> = rows.iter().filter_map(|row| row["backend"].as_str()).collect();
    assert_eq!(named, available.iter().flat_map(|name| [*name; 2]).collect::<Vec<_>>());
    for (row, rolled) in rows.iter().zip([true, false].into_iter().cycle()) {
        assert_eq!((&row["rolled"], &row["threads"]), (&rolled.into(), &2.into()), "{row}");
        let positive = |name: &str| row[name].as_f64().is_some_and(|figure| figure > 0.0);
        assert!(["mhs", "cycles_per_hash", "ratio_sha2"].into_iter().all(positive), "{row}");
    }
    let ended = mesos_miner(["bench", "--time", "1ms"]).wait(DEADLINE);
    assert!(ended.stdout[0].contains("MH/s") && ended.stdout.len() == 1 + rows.len(), "{ended:#?}");
}

#[test]
fn the_pool_ends_when_interrupted() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut pool = Pool::start();
        pool.process.signal(signal);
        let ended = pool.process.wait(DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
    }
}
