//! What a pool server says without being asked, on its terminal and over HTTP. Miners are `mesos-miner mine`, or connections that
//! the test plays.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use crate::support::http::{get_json, get_text};
use crate::support::process::{Process, mesos_miner};
use crate::support::raw_miner::RawMiner;
use crate::support::{DEADLINE, LONG_DEADLINE, until};

const PAID: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Starts a pool with these options, and waits until its HTTP server listens.
fn start(options: &[&str]) -> (Process, SocketAddr) {
    let fixed = ["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut pool = mesos_miner([&fixed, options].concat());
    let http = pool.wait_for_output(DEADLINE, |line| line.strip_prefix("HTTP on http://")?.parse().ok());
    (pool, http)
}

fn stratum(pool: &mut Process) -> String {
    pool.wait_for_output(DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned))
}

fn summary(http: SocketAddr) -> Value {
    get_json(http, "/api/v1/summary").expect("it answers")
}

fn accepted(http: SocketAddr) -> u64 {
    summary(http)["totals"]["shares"]["accepted"].as_u64().expect("a number")
}

fn miner(pool: &str, user: &str) -> Process {
    mesos_miner(["mine", "-o", pool, "-u", user, "-t", "1", "-q"])
}

fn end(mut process: Process) -> Vec<String> {
    process.interrupt(DEADLINE).stderr
}

/// Asks a pool without work for its health, summary and metrics. The health must name what the pool waits for.
fn waits_for(options: &[&str], names: &str, code: &str) {
    let (mut pool, http) = start(options);
    until("the health names the reason", DEADLINE, || {
        assert!(pool.is_running(), "{:#?}", pool.stderr());
        get_text(http, "/healthz")?.contains(names).then_some(())
    });
    let summary = summary(http);
    assert_eq!((&summary["work_from"], summary["reasons"][0]["code"].as_str()), (&Value::Null, Some(code)));
    assert!(summary["reasons"][0]["text"].as_str().is_some_and(|text| text.contains(names)), "{summary}");
    assert!(get_text(http, "/metrics").is_some_and(|text| text.contains("pool_connections 0")));
    assert!(!pool.stdout().iter().any(|line| line.starts_with("listening on")), "it has no work");
    end(pool);
}

#[test]
fn http_answers_before_a_node_or_an_upstream_pool_works() {
    let nobody = testing::ports::closed_address().to_string();
    let node = format!("http://{nobody}");
    waits_for(&["--chain", "node", "--bitcoind", &node, "--address", PAID], &nobody, "node-unreachable");
    waits_for(&["--upstream", &nobody, "-u", "me"], &nobody, "upstream-unreachable");
    // The system accepts connections to this socket, but no program answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("bound").to_string();
    waits_for(&["--upstream", &silent, "-u", "me"], &silent, "upstream-unreachable");
}

#[test]
fn miners_blocks_and_figures_get_lines_and_the_hashrates_agree() {
    let (mut pool, http) = start(&["--block-interval", "1s"]);
    let address = stratum(&mut pool);
    let miners = [miner(&address, "me.first"), miner(&address, "me.second")];
    for user in ["me.first", "me.second"] {
        pool.wait_for_error(LONG_DEADLINE, |line| {
            (line.contains("miner joined") && line.contains(user)).then_some(())
        });
    }
    pool.wait_for_error(LONG_DEADLINE, |line| {
        (line.contains("block found") && line.contains("me.")).then_some(())
    });
    let figures =
        pool.wait_for_error(LONG_DEADLINE, |line| line.contains("the last minute").then(|| line.to_owned()));
    for name in ["miners", "hashrate", "accepted", "rejected", "stale", "best_share"] {
        assert!(figures.contains(name), "{figures}");
    }
    // One summary is taken at one moment, so that its figures can be compared.
    let summary = summary(http);
    let rate = |value: &Value| value["hashrate"].as_f64().expect("a number");
    let workers: Vec<f64> = summary["workers"].as_array().expect("workers").iter().map(rate).collect();
    let sum: f64 = workers.iter().sum();
    assert!(workers.len() == 2 && workers.iter().all(|rate| *rate > 0.0), "{summary}");
    assert!((rate(&summary) - sum).abs() <= sum * 1e-9, "the total is not the sum of the workers: {summary}");
    assert!(summary["best_share"].as_f64().is_some_and(|best| best > 0.0), "{summary}");
    for miner in miners {
        end(miner);
        pool.wait_for_error(DEADLINE, |line| line.contains("miner left").then_some(()));
    }
    end(pool);
}

#[test]
fn a_quiet_pool_writes_no_such_lines() {
    let (mut pool, http) = start(&["-q", "--block-interval", "1s"]);
    let miner = miner(&stratum(&mut pool), "me");
    until("shares and blocks", LONG_DEADLINE, || {
        let blocks = summary(http)["totals"]["blocks"].as_u64()?;
        (accepted(http) >= 3 && blocks >= 1).then_some(())
    });
    end(miner);
    until("the miner has left", DEADLINE, || (summary(http)["connections"] == 0).then_some(()));
    let lines = end(pool);
    let loud = ["miner joined", "miner left", "block found", "and more"];
    assert!(!lines.iter().any(|line| loud.iter().any(|word| line.contains(word))), "{lines:#?}");
}

#[test]
fn many_miners_get_a_few_lines_and_their_sum() {
    const MINERS: u64 = 200;
    let (mut pool, http) = start(&[]);
    let address = stratum(&mut pool);
    let miners: Vec<_> =
        (0..MINERS).map(|number| RawMiner::ready(&address, &format!("m{number}")).0).collect();
    assert_eq!(summary(http)["connections"], MINERS);
    let told = |lines: &[String], name: &str, word: &str| {
        let single = lines.iter().filter(|line| line.contains(name)).count() as u64;
        let sums = lines.iter().filter(|line| line.contains("and more miners"));
        let sum: u64 = sums.filter_map(|line| number_after(line, word)).sum();
        (single, sum)
    };
    until("all joined miners are told or counted", DEADLINE, || {
        let (single, sum) = told(&pool.stderr(), "miner joined", "joined=");
        (single + sum == MINERS && sum > single).then_some(())
    });
    drop(miners);
    until("all that left are told or counted", LONG_DEADLINE, || {
        let (single, sum) = told(&pool.stderr(), "miner left", "left=");
        (single + sum == MINERS && sum > single).then_some(())
    });
    end(pool);
}

/// The number that follows this text.
fn number_after(line: &str, text: &str) -> Option<u64> {
    let rest = line.split_once(text)?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
