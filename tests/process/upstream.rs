//! `mesos-miner pool --upstream`: a pool that is itself one miner of another pool, the upstream pool.

mod pools;

use std::net::SocketAddr;

use hasher::{CompactTarget, Header, Target};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use testing::ports::ReservedPorts;

use crate::support::http::get_json;
use crate::support::process::{Process, mesos_miner};
use crate::support::scripted_pool::{Script, ScriptedPool};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// Options for low difficulties, so that a slow machine also finds shares often enough.
const EASY: [&str; 6] =
    ["--share-interval", "100ms", "--start-difficulty", "0.00001", "--minimum-difficulty", "0.0000001"];

struct Pool {
    process: Process,
    stratum: String,
    http: SocketAddr,
    _data: TempDir,
}

impl Pool {
    fn start(listen: &str, more: &[&str]) -> Self {
        let mut pool = Pool::start_without_work(listen, more);
        pool.stratum = pool.process.wait_for_output(DEADLINE, after("listening on "));
        pool
    }

    /// Does not wait until the pool has work, so the address for miners is unknown.
    fn start_without_work(listen: &str, more: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().to_str().expect("temporary folders are plain text");
        let fixed = ["pool", "--listen", listen, "--http", "127.0.0.1:0", "--data-dir", folder];
        let mut process = mesos_miner([&fixed, &EASY[..], more].concat());
        let http = process.wait_for_output(DEADLINE, after("HTTP on http://"));
        Pool { process, stratum: String::new(), http: http.parse().expect("an address"), _data: data }
    }

    fn builtin() -> Self {
        Pool::start("127.0.0.1:0", &[])
    }

    fn proxy(upstreams: &str) -> Self {
        Pool::start("127.0.0.1:0", &["--upstream", upstreams, "-u", "farm"])
    }

    /// A proxy whose upstream pools may give no work.
    fn waiting_proxy(upstreams: &str) -> Self {
        Pool::start_without_work("127.0.0.1:0", &["--upstream", upstreams, "-u", "farm"])
    }

    fn summary(&self) -> Value {
        get_json(self.http, "/api/v1/summary").expect("it answers")
    }

    fn accepted(&self) -> u64 {
        number(&self.summary()["totals"]["shares"]["accepted"])
    }

    fn forwarded(&self, what: &str) -> u64 {
        number(&self.summary()["upstream"]["shares"][what])
    }

    /// Waits until the upstream pool has accepted this many shares of this pool's workers.
    fn forwards(&self, accepted: u64) {
        until("shares for the upstream pool", LONG_DEADLINE, || {
            (self.forwarded("accepted") >= accepted).then_some(())
        });
    }

    fn kill(mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait(DEADLINE);
    }
}

fn after(prefix: &'static str) -> impl FnMut(&str) -> Option<String> {
    move |line| line.strip_prefix(prefix).map(str::to_owned)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A worker that ends when it loses its connection.
fn worker(pool: &Pool, name: &str) -> Process {
    let fixed = ["mine", "-t", "1", "--share-interval", "50ms", "--no-retry"];
    mesos_miner([&fixed[..], &["-o", &pool.stratum, "-u", name]].concat())
}

fn end(mut process: Process) {
    assert!(process.is_running(), "{:#?}", process.stderr());
    process.interrupt(DEADLINE);
}

#[test]
fn both_pools_count_the_same() {
    let upstream = Pool::builtin();
    let proxy = Pool::proxy(&upstream.stratum);
    let workers = ["one", "two"].map(|name| worker(&proxy, name));
    proxy.forwards(10);
    until("shares of each", LONG_DEADLINE, || {
        let summary = proxy.summary();
        let workers = summary["workers"].as_array().expect("a list");
        let all = workers.iter().all(|worker| number(&worker["totals"]["shares"]["accepted"]) > 0);
        (all && workers.len() == 2).then_some(())
    });
    workers.into_iter().for_each(end);
    until("all answers", DEADLINE, || {
        let answered = ["accepted", "rejected", "stale", "unanswered"].map(|what| proxy.forwarded(what));
        (answered.iter().sum::<u64>() == proxy.forwarded("forwarded")).then_some(())
    });
    assert_eq!(proxy.forwarded("accepted"), upstream.accepted());
    assert_eq!((proxy.forwarded("rejected"), proxy.forwarded("unanswered")), (0, 0));
    // The proxy does not forward shares below the upstream pool's difficulty, so it may accept more shares than that pool.
    assert!(proxy.accepted() >= upstream.accepted());
    let theirs = &upstream.summary()["workers"];
    assert_eq!(theirs.as_array().map(Vec::len), Some(1), "one miner to the upstream pool: {theirs}");
    assert_eq!(theirs[0]["worker"], "farm");

    let mut process = proxy.process;
    process.signal(Signal::INT);
    let ended = process.wait(DEADLINE);
    assert!(ended.stdout.iter().any(|line| line.starts_with("for the upstream pool: ")), "{ended:#?}");
}

#[test]
fn workers_survive_a_restart_of_the_upstream_pool() {
    let port = ReservedPorts::take(1);
    let address = format!("127.0.0.1:{}", port.first());
    let upstream = Pool::start(&address, &[]);
    let proxy = Pool::proxy(&address);
    let worker = worker(&proxy, "one");
    proxy.forwards(3);
    upstream.kill();
    until("the loss shows", DEADLINE, || proxy.summary()["upstream"]["pool"].is_null().then_some(()));

    let upstream = Pool::start(&address, &[]);
    let before = proxy.forwarded("accepted");
    proxy.forwards(before + 3);
    assert!(upstream.accepted() > 0);
    assert_eq!(number(&proxy.summary()["connections"]), 1);
    end(worker);
}

#[test]
fn workers_are_not_disturbed_when_another_upstream_pool_takes_over() {
    let (first, second) = (Pool::builtin(), Pool::builtin());
    let proxy = Pool::proxy(&format!("{},{}", first.stratum, second.stratum));
    let worker = worker(&proxy, "one");
    proxy.forwards(3);
    assert_eq!(second.accepted(), 0);
    first.kill();
    until("shares for the second", LONG_DEADLINE, || (second.accepted() >= 3).then_some(()));
    assert_eq!(proxy.summary()["upstream"]["pool"], format!("stratum+tcp://{}", second.stratum));
    assert_eq!(number(&proxy.summary()["connections"]), 1);
    end(worker);
}

const DIFFICULTY: f64 = 1e-4;

/// The script of a pool like p2pool, which sends an empty extranonce1 and no list of subscriptions.
fn p2pool() -> Script {
    let notify = json!([
        "0123456789012345678901234567890123456789",
        "00".repeat(32),
        "01".repeat(50),
        "02".repeat(50),
        ["03".repeat(32)],
        "20000000",
        "1d00ffff",
        "6b49d200",
        true
    ]);
    Script {
        subscribed: json!([["mining.notify", "ae6812eb4cd7735a302a8a9dd95cf71f"], "", 4]),
        notifications: vec![
            json!({"id": null, "method": "mining.set_difficulty", "params": [DIFFICULTY]}).to_string(),
            json!({"id": null, "method": "mining.notify", "params": notify}).to_string(),
        ],
    }
}

#[test]
fn an_upstream_pool_without_extranonce1_gets_its_own_headers_back() {
    let upstream = ScriptedPool::start(p2pool());
    let proxy = Pool::proxy(&upstream.address.to_string());
    let workers = ["one", "two"].map(|name| worker(&proxy, name));
    let mut parts = std::collections::HashSet::new();
    while parts.len() < 2 {
        let submit = upstream.submits.recv_timeout(LONG_DEADLINE).expect("a share");
        let text = |index: usize| submit[index].as_str().expect("text");
        let bits = |index: usize| u32::from_str_radix(text(index), 16).expect("hex");
        assert_eq!((text(0), text(1).len(), submit.len()), ("farm", 40, 5), "{submit:?}");
        let extranonce2 = hex::decode(text(2)).expect("hex");
        assert_eq!(extranonce2.len(), 4);
        parts.insert(extranonce2[..2].to_vec());
        // Build the header as the upstream pool would from its own job, without using the code of our jobs.
        let coinbase = [vec![1; 50], extranonce2, vec![2; 50]].concat();
        let root = hasher::sha256d(&[hasher::sha256d(&coinbase), [3; 32]].concat());
        let header = Header {
            version: 0x2000_0000,
            prev_hash: [0; 32],
            merkle_root: root,
            ntime: bits(3),
            nbits: CompactTarget(0x1d00_ffff),
            nonce: bits(4),
        };
        assert!(Target::from_difficulty(DIFFICULTY).is_met_by(&header.digest()), "{submit:?}");
    }
    workers.into_iter().for_each(end);
}

#[test]
fn the_payout_address_is_required() {
    let ended = mesos_miner(["pool", "--upstream", "127.0.0.1:1"]).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(64), "{ended:#?}");
    assert!(ended.errors().contains("--upstream-user"), "{ended:#?}");
}
