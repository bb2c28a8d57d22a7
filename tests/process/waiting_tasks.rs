//! Tasks that wait for a node or a pool, on real agents: the scheduler says within seconds why, in its log, in `/healthz` and in the
//! JSON. What does not mend itself is not tried for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use testing::ports::ReservedPorts;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::tcp_server::serve;
use crate::support::{LONG_DEADLINE, http, peer, until};

/// The reason is there long before a slow launch is remarked on, which takes a minute. It takes five seconds on an idle machine, but
/// a busy one may be slow. That it takes at most ten is shown with played time: a task tells its reason within seven seconds
/// (`a_reason_is_told_within_seven_seconds_whenever_it_is_met` in `executor::waiting`), and the scheduler shows it within three
/// (`what_a_task_waits_for_is_shown_within_three_seconds_of_its_message` in its core).
const SOON: Duration = Duration::from_secs(40);
/// The genesis block of regtest.
const REGTEST: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
const ADDRESS_ON_MAIN: &str = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";
const ADDRESS_ON_REGTEST: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// A framework on one real agent.
struct Framework {
    scheduler: Process,
    http: SocketAddr,
    _mesos: MesosBox,
    _ports: ReservedPorts,
}

impl Framework {
    fn start(options: &[&str]) -> Option<Self> {
        let mesos = MesosBox::start(&peer::mesos()?, 1);
        let ports = ReservedPorts::take(1);
        let http = SocketAddr::from(([127, 0, 0, 1], ports.first()));
        let (master, http_option) = (mesos.master.to_string(), http.to_string());
        let program = env!("CARGO_BIN_EXE_mesos-miner");
        let common = ["scheduler", "--master", &master, "--executor-path", program, "--teardown-on-exit"];
        let scheduler = mesos_miner([&common[..], &["--http", &http_option], options].concat());
        Some(Self { scheduler, http, _mesos: mesos, _ports: ports })
    }

    fn says(&mut self, words: &[&str]) {
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        self.scheduler.wait_for_error(LONG_DEADLINE, |line| has_all(line).then_some(()));
    }

    /// Waits until the first problem has this code and these words, and `/healthz` begins with it. Returns the summary.
    fn first_problem(&mut self, code: &str, words: &[&str]) -> Value {
        let summary = until(code, LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let summary = http::get_json(self.http, "/api/v1/summary")?;
            let first = summary["reasons"].as_array()?.first()?.clone();
            (first["code"] == code).then_some(summary)
        });
        let text = summary["reasons"][0]["text"].as_str().expect("a text");
        assert!(words.iter().all(|word| text.contains(word)), "{text:?} lacks some of {words:?}");
        let healthz = http::get_text(self.http, "/healthz").expect("an answer");
        assert!(words.iter().all(|word| healthz.contains(word)), "{healthz:?} lacks some of {words:?}");
        summary
    }

    fn end(mut self) -> Ended {
        self.scheduler.signal(Signal::TERM);
        let ended = self.scheduler.wait(LONG_DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
        ended
    }
}

/// A pool that refuses every user.
fn refusing_pool() -> String {
    let address = serve(|mut stream| {
        for line in BufReader::new(stream).lines() {
            let call: Value = serde_json::from_str(&line?)?;
            let (result, error) = match call["method"].as_str() {
                Some("mining.subscribe") => (json!([[], "0a0b0c0d", 4]), Value::Null),
                Some("mining.authorize") => (json!(false), json!([24, "unknown user", null])),
                _ => (Value::Null, json!([20, "unknown method", null])),
            };
            writeln!(stream, "{}", json!({"id": call["id"], "result": result, "error": error}))?;
        }
        Ok(())
    });
    format!("stratum+tcp://{address}")
}

/// A node on regtest that only says which network it is on.
fn regtest_node() -> String {
    let address = serve(|mut stream| {
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let call: Value = serde_json::from_slice(&body)?;
        let asks_for_chain = call["method"] == "getblockchaininfo";
        let result = if asks_for_chain { json!({"chain": "regtest"}) } else { json!(REGTEST) };
        let answer = json!({"id": call["id"], "result": result, "error": null}).to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len())?;
        stream.write_all(answer.as_bytes())
    });
    format!("http://{address}")
}

/// The number of tasks that were launched so far.
fn launched(summary: &Value) -> u64 {
    summary["states"].as_object().expect("states").values().filter_map(Value::as_u64).sum()
}

#[test]
fn a_server_whose_node_is_down_says_so_within_seconds() {
    let nowhere = ReservedPorts::take(1);
    let node = format!("http://127.0.0.1:{}", nowhere.first());
    let options = ["--chain", "node", "--bitcoind", &node, "--address", ADDRESS_ON_REGTEST];
    let Some(mut framework) = Framework::start(&options) else { return };
    framework.says(&["launching miner-server-1"]);
    let start = Instant::now();
    let words = ["miner-server-1 on 127.0.0.1 waits", &node, "refused"];
    framework.says(&words);
    let summary = framework.first_problem("node-unreachable", &words);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(summary["states"], json!({"TASK_STARTING": 1}), "it goes on trying");
    framework.end();
}

#[test]
fn a_wrong_password_for_the_node_is_named_and_not_tried_for_ever() {
    let node = http::Server::answering("401 Unauthorized", "");
    let url = format!("http://{}", node.address);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong").expect("a file of our own");
    let password = password.to_str().expect("plain text");
    let options = ["--chain", "node", "--bitcoind", &url, "--address", ADDRESS_ON_REGTEST];
    let credentials = ["--rpc-user", "u", "--rpc-password-file", password];
    let Some(mut framework) = Framework::start(&[&options[..], &credentials].concat()) else { return };
    let words = ["refuses access (HTTP 401)", &url];
    framework
        .says(&[&words[..], &["Compare --rpc-user and --rpc-password-file", "trying one agent"]].concat());
    framework.first_problem("node-credentials", &words);
    let start = Instant::now();
    // Launches are tried less and less often. The user is told once.
    let launches = until("ten seconds have passed", LONG_DEADLINE, || {
        (start.elapsed() > Duration::from_secs(10))
            .then(|| http::get_json(framework.http, "/api/v1/summary"))?
    });
    assert!(launched(&launches) <= 7, "{launches:#}");
    let ended = framework.end();
    assert_eq!(ended.errors().matches("refuses access").count(), 1, "{}", ended.errors());
}

#[test]
fn an_address_of_another_network_is_named() {
    let node = regtest_node();
    let options = ["--chain", "node", "--bitcoind", &node, "--address", ADDRESS_ON_MAIN];
    let Some(mut framework) = Framework::start(&options) else { return };
    let words = [ADDRESS_ON_MAIN, "is for main, but the node is on regtest"];
    framework.says(&words);
    framework.first_problem("address-network", &words);
    framework.end();
}

#[test]
fn an_upstream_pool_that_refuses_the_user_is_named() {
    let pool = refusing_pool();
    let options = ["--upstream", &pool, "--upstream-user", "nobody"];
    let Some(mut framework) = Framework::start(&options) else { return };
    let words = [&pool, "refused to authorize \"nobody\"", "unknown user"];
    framework.says(&[&words[..], &["Compare --upstream-user"]].concat());
    framework.first_problem("upstream-refuses-user", &words);
    framework.end();
}

#[test]
fn workers_whose_pool_is_away_say_so_within_seconds() {
    let nowhere = ReservedPorts::take(1);
    let pool = format!("stratum+tcp://127.0.0.1:{}", nowhere.first());
    let Some(mut framework) = Framework::start(&["--pool", &pool, "--pool-user", "someone"]) else { return };
    framework.says(&["launching miner-worker-1"]);
    let start = Instant::now();
    let words = ["miner-worker-1 on 127.0.0.1 waits", &pool, "refused"];
    framework.says(&words);
    framework.first_problem("pool-unreachable", &words);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    framework.end();
}

/// Programs without Mesos end, and say what to change.
#[test]
fn a_pool_and_a_miner_that_are_refused_end_after_a_few_tries() {
    let refusing = refusing_pool();
    let pool = ["pool", "--listen", "127.0.0.1:0", "--upstream", &refusing, "--upstream-user", "nobody"];
    let miner = ["mine", "-o", &refusing, "-u", "nobody", "-t", "1"];
    for (arguments, advice) in [(&pool[..], "Compare --upstream-user"), (&miner[..], "`mine`: --user")] {
        let ended = mesos_miner(arguments).wait(LONG_DEADLINE);
        let errors = ended.errors();
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        assert!(errors.contains("unknown user") && errors.contains(advice), "{errors}");
    }
}
