//! The HTTP API of `mesos-miner mine`: what it shows agrees with the pool.

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use serde_json::{Value, json};
use testing::ports::closed_address;

use crate::standalone::Pool;
use crate::support::http::{get_json, get_text};
use crate::support::log::message;
use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// The address of the API, as a miner prints it on standard error.
pub fn http_of(miner: &mut Process) -> SocketAddr {
    let address = miner
        .wait_for_error(DEADLINE, |line| message(line).strip_prefix("HTTP on http://").map(str::to_owned));
    address.parse().expect("an address")
}

pub fn items(http: SocketAddr, path: &str) -> Vec<Value> {
    let page = get_json(http, path).unwrap_or_else(|| panic!("{path} is answered"));
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{path}: {page}")).clone();
    assert_eq!((page["total"].as_u64(), &page["next"]), (Some(items.len() as u64), &Value::Null), "{path}");
    items
}

fn sum(rows: &[Value], what: &str) -> f64 {
    rows.iter().map(|row| row[what].as_f64().unwrap_or_else(|| panic!("{what}: {row}"))).sum()
}

/// The sum of the threads' hashes.
fn hashes(http: SocketAddr) -> f64 {
    sum(&items(http, "/api/v1/threads"), "hashes")
}

#[test]
fn threads_pools_and_jobs_agree_with_the_pool() {
    let (pool, dead) = (Pool::start(), closed_address().to_string());
    let line = ["mine", "-o", &dead, "-o", &pool.stratum, "-u", "me", "-t", "2", "--http", "127.0.0.1:0"];
    let mut miner = mesos_miner(line);
    let http = http_of(&mut miner);
    until("it is ready", LONG_DEADLINE, || (get_text(http, "/readyz")? == "ready\n").then_some(()));
    let summary = || get_json(http, "/api/v1/summary").expect("it answers");
    until("a hashrate is measured over some seconds", LONG_DEADLINE, || {
        let summary = summary();
        (summary["hashrate"].is_number() && summary["seconds"].as_f64()? > 5.0).then_some(())
    });

    let (before, now, threads) = (hashes(http), summary(), items(http, "/api/v1/threads"));
    let total: f64 = now["hashes"].as_str().expect("a number as text").parse().expect("a number");
    assert!(before <= total && total <= sum(&threads, "hashes"), "{before} {now} {threads:?}");
    // The two answers are made one after the other.
    let ratio = sum(&threads, "hashrate") / now["hashrate"].as_f64().expect("a hashrate");
    assert!((0.5..2.0).contains(&ratio), "{now} {threads:?}");
    assert_eq!((threads.len(), &now["threads"], &now["work_from"]), (2, &json!(2), &Value::Null));

    let accepted = until("miner and pool have counted the same shares", LONG_DEADLINE, || {
        let (before, now) = (pool.count("accepted"), summary());
        let counted = now["shares"]["accepted"].as_u64()?;
        (counted >= 3 && counted == before && pool.count("accepted") == before).then_some(now)
    });
    assert!(accepted["best_share"].as_f64() > Some(0.0), "{accepted}");
    let url = format!("stratum+tcp://{}", pool.stratum);
    assert_eq!((&accepted["pool"], &accepted["shares"]["rejected"]), (&json!(url), &json!(0)));
    let pools = items(http, "/api/v1/pools");
    assert_eq!([&pools[0]["state"], &pools[1]["state"]], ["lost", "mining"]);
    assert_eq!((&pools[0]["shares"]["accepted"], &pools[1]["url"]), (&json!(0), &json!(url)));
    assert!(pools[1]["shares"]["accepted"].as_u64() >= accepted["shares"]["accepted"].as_u64(), "{pools:?}");
    let problem = pools[0]["last_problem"]["text"].as_str().expect("a problem");
    assert!(problem.contains(&dead), "{problem}");

    let jobs = items(http, "/api/v1/jobs");
    assert!((1..=21).contains(&jobs.len()) && jobs[0]["height"].is_u64(), "{jobs:?}");
    assert!(jobs.windows(2).all(|pair| pair[0]["number"].as_u64() > pair[1]["number"].as_u64()), "{jobs:?}");
    let series = until("the series has points", LONG_DEADLINE, || {
        let series = get_json(http, "/api/v1/series?of=hashrate,accepted")?;
        series["points"].as_array()?.iter().any(|point| point["hashrate"].is_number()).then_some(series)
    });
    assert_eq!(series["step"], 10);
    assert_eq!(get_text(http, "/healthz").expect("it answers"), "ok\n");

    miner.signal(Signal::INT);
    let ended = miner.wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(get_text(http, "/healthz"), None, "nobody listens any more");
}

#[test]
fn a_miner_without_a_pool_says_why_it_is_not_ready() {
    let dead = closed_address().to_string();
    let mut miner = mesos_miner(["mine", "-o", &dead, "-t", "1", "--http", "127.0.0.1:0"]);
    let http = http_of(&mut miner);
    for path in ["/readyz", "/healthz"] {
        until("the answer names the pool", DEADLINE, || get_text(http, path)?.contains(&dead).then_some(()));
    }
    assert_eq!(get_json(http, "/api/v1/summary").expect("it answers")["job"], Value::Null);
    assert!(items(http, "/api/v1/jobs").is_empty());
    miner.signal(Signal::INT);
    assert!(miner.wait(DEADLINE).status.success());
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = (taken.local_addr().expect("bound").to_string(), taken);
    for (address, status) in [("localhost:80", 64), ("127.0.0.1", 64), (taken.0.as_str(), 1)] {
        let mut miner = mesos_miner(["mine", "-o", "127.0.0.1:1", "--http", address]);
        let ended = miner.wait(DEADLINE);
        let errors = ended.errors();
        assert_eq!(ended.status.code(), Some(status), "{address}: {ended:#?}");
        assert!(errors.contains("--http") && errors.contains(address), "{address}: {errors}");
    }
}
