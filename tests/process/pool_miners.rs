//! What the pool's HTTP API says of its miners and blocks, and that it agrees with the metrics, the accounts and the node.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::http::{get_json, get_text};
use crate::support::node_pool::{accounts, number};
use crate::support::process::{Process, mesos_miner};
use crate::support::raw_miner::RawMiner;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// All items of a list, read page by page.
pub fn all(http: SocketAddr, list: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = get_json(http, &format!("/api/v1/{list}?limit=3{after}")).expect("it answers");
        items.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => {
                assert_eq!(number(&page["total"]), items.len() as u64);
                return items;
            }
        }
    }
}

struct Pool {
    process: Process,
    stratum: String,
    http: SocketAddr,
}

impl Pool {
    fn start(data: &Path) -> Self {
        let data = data.display().to_string();
        let fixed = ["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--share-interval", "100ms"];
        let mut process =
            mesos_miner(fixed.into_iter().chain(["--block-interval", "500ms", "--data-dir", &data]));
        let after = |prefix: &'static str| move |line: &str| line.strip_prefix(prefix).map(str::to_owned);
        let stratum = process.wait_for_output(DEADLINE, after("listening on "));
        let http = process.wait_for_output(DEADLINE, after("HTTP on http://"));
        Pool { process, stratum, http: http.parse().expect("an address") }
    }

    fn get(&self, path: &str) -> Value {
        get_json(self.http, &format!("/api/v1/{path}")).expect("it answers")
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = get_text(self.http, "/metrics").expect("it answers");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }

    /// The only item of a list with this query.
    fn only(&self, query: &str) -> Value {
        let page = self.get(query);
        assert_eq!(page["total"], 1, "{query}: {page}");
        page["items"][0].clone()
    }

    fn end(mut self) {
        self.process.signal(Signal::TERM);
        let ended = self.process.wait(DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
    }
}

/// A miner of another program, whose shares are wrong.
struct OtherMiner(RawMiner);

impl OtherMiner {
    fn start(address: &str, worker: &str) -> Self {
        let mut miner = RawMiner::connect(address);
        miner.call(1, "mining.subscribe", &json!(["other-miner/2.0 <x>"]));
        miner.call(2, "mining.authorize", &json!([worker, "x,d=0.25"]));
        assert_eq!(miner.answer(2)["result"], true);
        OtherMiner(miner)
    }

    /// Submits this share of the next job, whose time is so much later. Returns the code of the error.
    fn submit(&mut self, worker: &str, extranonce2: &str, later: u32) -> Value {
        loop {
            let job = self.0.job();
            let time = u32::from_str_radix(job[7].as_str().expect("a time"), 16).expect("hex") + later;
            let share = json!([worker, job[0], extranonce2, format!("{time:08x}"), "00000000"]);
            self.0.call(3, "mining.submit", &share);
            let code = self.0.answer(3)["error"][0].clone();
            // Another block may have come meanwhile.
            if code != 21 {
                return code;
            }
        }
    }
}

/// The sum of a number over items.
fn sum(items: &[Value], pointer: &str) -> f64 {
    let value = |item: &Value| item.pointer(pointer).and_then(Value::as_f64).expect("a number");
    items.iter().map(value).sum()
}

/// Checks that miners, addresses, blocks, summary and metrics say the same of a pool at rest.
fn agree(pool: &Pool) {
    let summary = pool.get("summary");
    let (miners, addresses) = (all(pool.http, "miners"), all(pool.http, "addresses"));
    for name in ["shares/accepted", "shares/rejected", "shares/stale", "blocks", "candidates"] {
        let total = summary["totals"].pointer(&format!("/{name}")).and_then(Value::as_f64);
        for items in [&miners, &addresses] {
            assert_eq!(Some(sum(items, &format!("/totals/{name}"))), total, "{name}: {items:#?}");
        }
        let metric = match name.strip_prefix("shares/") {
            Some(verdict) => format!("pool_shares_total{{verdict=\"{verdict}\"}}"),
            None => format!("pool_{name}_total"),
        };
        assert_eq!(Some(pool.metric(&metric)), total, "{metric}");
    }
    for miner in &miners {
        let reasons = miner["rejections"].as_object().expect("reasons").values().map(number).sum::<u64>();
        assert_eq!(reasons, number(&miner["totals"]["shares"]["rejected"]), "{miner}");
    }
    let blocks = all(pool.http, "blocks");
    let accepted = blocks.iter().filter(|block| block["state"] == "accepted").count() as u64;
    assert_eq!(accepted, number(&summary["totals"]["blocks"]));
}

#[test]
fn miners_addresses_and_blocks_agree_with_the_totals_and_outlive_the_pool() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pool = Pool::start(folder.path());
    let mut other = OtherMiner::start(&pool.stratum, "second.bad");
    let mut miner = mesos_miner(["mine", "-o", &pool.stratum, "-u", "first.rig", "-t", "1"]);
    assert_eq!(other.submit("second.bad", "00", 0), 20);
    assert_eq!(other.submit("second.bad", "0000000000000000", 4 * 3600), 20);
    until("blocks are found", LONG_DEADLINE, || (number(&pool.get("blocks")["total"]) >= 7).then_some(()));

    let first = pool.only("miners?address=first");
    assert_eq!((&first["worker"], &first["connections"]), (&json!("first.rig"), &json!(1)));
    let agent = first["sessions"][0]["user_agent"].as_str().expect("a user agent");
    assert!(agent.starts_with("mesos-miner/"), "{first}");
    assert!(first["hashrate"].as_f64() > Some(0.0) && first["best_share"].as_f64() > Some(0.0), "{first}");
    let second = pool.only("miners?search=OTHER-MINER");
    let session = &second["sessions"][0];
    assert_eq!(session["user_agent"], "other-miner/2.0 <x>");
    assert!(session["address"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{session}");
    assert!(session["difficulty"].as_f64().is_some_and(|it| it > 0.0 && it <= 0.25), "{session}");
    assert!(number(&session["since"]) > 1_700_000_000, "{session}");
    assert_eq!((&second["hashrate"], &second["last_share"]), (&json!(0.0), &Value::Null));
    assert_eq!((&second["rejections"]["extranonce"], &second["rejections"]["time"]), (&json!(1), &json!(1)));
    let best = pool.get("miners?sort=-hashrate&limit=1");
    assert_eq!((&best["items"][0]["worker"], &best["total"]), (&json!("first.rig"), &json!(2)));
    let hashrate = pool.get("summary")["hashrate"].as_f64().expect("a number");
    assert!((sum(&all(pool.http, "addresses"), "/hashrate") / hashrate - 1.0).abs() < 0.5);

    miner.signal(Signal::INT);
    assert!(miner.wait(DEADLINE).status.success());
    agree(&pool);
    let blocks = all(pool.http, "blocks");
    assert!(blocks.iter().all(|block| block["effort"].as_f64() > Some(0.0)), "{blocks:#?}");
    assert!(blocks.iter().all(|block| block["worker"] == "first.rig"), "{blocks:#?}");
    let heights: Vec<_> = blocks.iter().map(|block| number(&block["height"])).collect();
    assert!(heights.is_sorted_by(|a, b| a > b), "the newest come first: {heights:?}");
    let highest = pool.get("blocks?sort=height&limit=1");
    assert_eq!(highest["items"][0]["height"], json!(heights.last()));

    let figures = |pool: &Pool| -> Vec<Value> {
        let kept = |miner: &Value| {
            json!([miner["worker"], miner["totals"], miner["rejections"], miner["best_share"]])
        };
        all(pool.http, "miners").iter().map(kept).collect()
    };
    let before = figures(&pool);
    drop(other);
    pool.end();
    let on_disk = accounts(folder.path());
    let pool = Pool::start(folder.path());
    assert_eq!((figures(&pool), all(pool.http, "blocks")), (before, blocks));
    assert_eq!(pool.get("summary")["totals"], on_disk["totals"]);
    assert_eq!(pool.only("miners?address=first")["sessions"], json!([]));
    agree(&pool);
    pool.end();
}

#[test]
fn the_source_the_problems_and_the_series_are_told_and_bad_queries_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pool = Pool::start(folder.path());
    let source = pool.get("source");
    assert_eq!((&source["kind"], &source["has_work"]), (&json!("builtin"), &json!(true)), "{source}");
    assert!(source["job_age"].as_f64() >= Some(0.0), "{source}");
    assert_eq!(pool.get("reasons")["items"], json!([]));
    until("a sample is recorded", DEADLINE, || {
        let series = pool.get("series?step=10s");
        (series["points"].as_array()?.last()?["workers"] == 0).then_some(())
    });
    for query in ["miners?sort=size", "miners?limit=0", "addresses?address=x", "source?x=1"] {
        let problem = pool.get(query);
        assert_eq!(problem["status"], 400, "{query}: {problem}");
    }
    assert_eq!(pool.get("blocks?sort=height&after=x")["status"], 404);
    pool.end();
}
