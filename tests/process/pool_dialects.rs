//! `mine` and `pool --upstream` at pools with dialects of their own: those that hang up on optional requests, ckpool's rule for
//! suggested difficulties, pools that are of no use; and addresses and output as other miners have them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::process::{Ended, Process, mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE, tcp_server, until};

/// What a pool does with a request.
enum Reaction {
    Answer(Value, Value),
    /// Answers, and then sends a difficulty.
    Difficulty(u64),
    Silence,
    HangUp,
}

type React = fn(method: &str, params: &Value, authorized: bool) -> Reaction;

/// A pool that gives each connection one easy job after the authorization, and records the requests of each connection.
struct Pool {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<Value>>>>,
}

impl Pool {
    fn start(react: React, difficulty: f64) -> Self {
        let connections = Arc::new(Mutex::new(Vec::new()));
        let record = connections.clone();
        let address = tcp_server::serve(move |stream| {
            let number = {
                let mut record = record.lock().expect("no panic");
                record.push(Vec::new());
                record.len() - 1
            };
            serve(stream, react, difficulty, |request| {
                record.lock().expect("no panic")[number].push(request.clone());
            })
        });
        Pool { address, connections }
    }

    /// The methods of all requests, by connection.
    fn methods(&self) -> Vec<Vec<String>> {
        let connections = self.connections.lock().expect("no panic");
        let methods = |requests: &Vec<Value>| {
            requests.iter().map(|request| request["method"].as_str().unwrap_or_default().to_owned()).collect()
        };
        connections.iter().map(methods).collect()
    }

    fn got(&self, method: &str) -> bool {
        self.methods().iter().flatten().any(|got| got == method)
    }

    fn got_share(&self) {
        until("a share", LONG_DEADLINE, || self.got("mining.submit").then_some(()));
    }
}

fn serve(
    mut stream: &TcpStream,
    react: React,
    difficulty: f64,
    record: impl Fn(&Value),
) -> std::io::Result<()> {
    let mut authorized = false;
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line?)?;
        record(&request);
        let method = request["method"].as_str().unwrap_or_default();
        let reaction = react(method, &request["params"], authorized);
        if let Reaction::Answer(result, error) = &reaction {
            writeln!(stream, "{}", json!({"id": request["id"], "result": result, "error": error}))?;
        }
        let mut notify = |method: &str, params: Value| {
            writeln!(stream, "{}", json!({"id": null, "method": method, "params": params}))
        };
        match reaction {
            Reaction::HangUp => return stream.shutdown(std::net::Shutdown::Both),
            Reaction::Difficulty(whole) => notify("mining.set_difficulty", json!([whole]))?,
            Reaction::Answer(..) if method == "mining.authorize" => {
                authorized = true;
                notify("mining.set_difficulty", json!([difficulty]))?;
                let prev = "00".repeat(32);
                notify(
                    "mining.notify",
                    json!(["j", prev, "01", "02", [], "20000000", "1d00ffff", "65000000", true]),
                )?;
            }
            Reaction::Answer(..) | Reaction::Silence => {}
        }
    }
    Ok(())
}

fn welcome(method: &str, _: &Value, _: bool) -> Reaction {
    match method {
        "mining.subscribe" => Reaction::Answer(json!([[], "0a0b0c0d", 4]), Value::Null),
        "mining.authorize" | "mining.submit" => Reaction::Answer(json!(true), Value::Null),
        _ => Reaction::Answer(Value::Null, json!([20, "Not supported.", null])),
    }
}

const EASY: f64 = 0.000_01;

fn mine(pools: &[String], options: &[&str]) -> Process {
    let urls = pools.iter().flat_map(|url| ["-o", url]);
    let fixed = ["-u", "me", "-t", "1", "-R", "1"];
    mesos_miner(["mine"].into_iter().chain(urls).chain(fixed).chain(options.iter().copied()))
}

fn mine_at(pool: &Pool, options: &[&str]) -> Process {
    mine(&[pool.address.to_string()], options)
}

fn end(mut process: Process) -> Ended {
    process.interrupt(DEADLINE)
}

#[test]
fn a_pool_that_hangs_up_on_an_optional_request_is_mined_for() {
    let pools: [(&str, &str, React); 3] = [
        ("mining.extranonce.subscribe", "--no-extranonce", |method, params, authorized| match method {
            "mining.extranonce.subscribe" => Reaction::HangUp,
            _ => welcome(method, params, authorized),
        }),
        ("mining.suggest_difficulty", "--no-suggest", |method, params, authorized| match method {
            "mining.suggest_difficulty" => Reaction::HangUp,
            _ => welcome(method, params, authorized),
        }),
        ("mining.configure", "--no-version-rolling", |method, params, authorized| match method {
            "mining.configure" => Reaction::HangUp,
            _ => welcome(method, params, authorized),
        }),
    ];
    for (fatal, option, react) in pools {
        let pool = Pool::start(react, EASY);
        let miner = mine_at(&pool, &[]);
        until("a share without the request", LONG_DEADLINE, || {
            let last = pool.methods().pop()?;
            (last.iter().any(|got| got == "mining.submit") && !last.iter().any(|got| got == fatal))
                .then_some(())
        });
        let ended = end(miner);
        assert!(ended.errors().contains(&format!("after {fatal}")), "{ended:#?}");
        assert_eq!(pool.methods().len(), 2, "one hang-up is enough: {:?}", pool.methods());

        // Also as `minerd` has its options, without a subcommand.
        let pool = Pool::start(react, EASY);
        let address = pool.address.to_string();
        let miner = mesos_miner(["-o", &address, "-u", "me", "-t", "1", option]);
        pool.got_share();
        end(miner);
        assert_eq!(pool.methods().len(), 1, "{option}: {:?}", pool.methods());
        assert!(!pool.got(fatal), "{option}: {:?}", pool.methods());
    }
}

#[test]
fn an_upstream_pool_that_hangs_up_on_an_optional_request_gives_work() {
    let pool = Pool::start(
        |method, params, authorized| match method {
            "mining.configure" | "mining.extranonce.subscribe" => Reaction::HangUp,
            _ => welcome(method, params, authorized),
        },
        EASY,
    );
    let address = pool.address.to_string();
    let upstream = ["pool", "--listen", "127.0.0.1:0", "--upstream", &address, "-u", "farm"];
    for (options, connections) in [(&[][..], 2), (&["--no-extranonce", "--no-version-rolling"], 1)] {
        let before = pool.methods().len();
        let mut server = mesos_miner(upstream.iter().chain(options).copied());
        server.wait_for_error(LONG_DEADLINE, |line| line.contains("mining for").then_some(()));
        until("the last greeting", DEADLINE, || {
            let methods = pool.methods();
            let last = methods.last()?;
            (methods.len() == before + connections && last.iter().any(|got| got == "mining.authorize"))
                .then_some(())
        });
        end(server);
    }
}

/// ckpool drops suggestions before the authorization, reads whole numbers only, and answers none. At its first difficulty, this
/// miner, or those of this pool server, would find no share for hours.
#[test]
fn the_suggested_difficulty_counts_at_ckpool() {
    let upstream = |pool: &Pool| {
        let address = pool.address.to_string();
        mesos_miner(["pool", "--listen", "127.0.0.1:0", "--upstream", &address, "-u", "farm"])
    };
    for start in [|pool: &Pool| mine_at(pool, &["-D", "--share-interval", "1ms"]), upstream] {
        let pool = Pool::start(
            |method, params, authorized| match (method, params[0].as_u64()) {
                ("mining.suggest_difficulty", Some(whole)) if authorized => {
                    Reaction::Difficulty(whole.max(1))
                }
                ("mining.suggest_difficulty", _) => Reaction::Silence,
                _ => welcome(method, params, authorized),
            },
            42.0,
        );
        let process = start(&pool);
        let whole = until("a suggestion that counts", LONG_DEADLINE, || {
            let connections = pool.connections.lock().expect("no panic");
            let requests = connections.first()?;
            let authorized = requests.iter().position(|request| request["method"] == "mining.authorize")?;
            let mut later = requests[authorized..].iter();
            later
                .find(|request| request["method"] == "mining.suggest_difficulty")
                .map(|request| request["params"][0].clone())
        });
        assert_eq!(whole, 1);
        end(process);
    }
}

#[test]
fn a_pool_that_rejects_all_shares_is_left_for_the_next() {
    let reject: React = |method, params, authorized| match method {
        "mining.submit" => Reaction::Answer(Value::Null, json!([23, "Low difficulty share", null])),
        _ => welcome(method, params, authorized),
    };
    let (rejects, accepts) = (Pool::start(reject, EASY), Pool::start(welcome, EASY));
    let mut miner = mine(&[rejects.address.to_string(), accepts.address.to_string()], &[]);
    let line = miner.wait_for_error(LONG_DEADLINE, |line| line.contains("in a row").then(|| line.to_owned()));
    assert!(line.contains("rejected 20 shares in a row: Low difficulty share"), "{line}");
    assert!(line.contains(&rejects.address.to_string()) && line.contains("trying the next pool"), "{line}");
    accepts.got_share();
    end(miner);

    // With no other pool, it stays, and says what is wrong.
    let mut miner = mine_at(&rejects, &[]);
    let line = miner.wait_for_error(LONG_DEADLINE, |line| line.contains("in a row").then(|| line.to_owned()));
    assert!(line.contains("--no-version-rolling"), "{line}");
    end(miner);
}

#[test]
fn a_pool_that_sends_no_new_job_is_left_for_the_next() {
    let (stuck, second) = (Pool::start(welcome, EASY), Pool::start(welcome, EASY));
    let pools = [stuck.address.to_string(), second.address.to_string()];
    let mut miner = mine(&pools, &["--job-timeout", "1s"]);
    let line =
        miner.wait_for_error(LONG_DEADLINE, |line| line.contains("no new job").then(|| line.to_owned()));
    assert!(line.contains(&pools[0]), "{line}");
    second.got_share();
    end(miner);
}

#[test]
fn addresses_of_other_miners_are_read() {
    let pool = Pool::start(welcome, EASY);
    for suffix in ["/", "#skipcbcheck", "/#xnsub"] {
        let url = format!("stratum+tcp://{}{suffix}", pool.address);
        let before = pool.methods().len();
        let miner = mine(&[url], &["--no-extranonce"]);
        until("a share", LONG_DEADLINE, || {
            pool.methods().get(before)?.contains(&"mining.submit".to_owned()).then_some(())
        });
        end(miner);
        let asked = pool.methods()[before].contains(&"mining.extranonce.subscribe".to_owned());
        assert_eq!(asked, suffix.ends_with("xnsub"), "{suffix}");
    }
    for (url, said) in [
        ("stratum2+tcp://127.0.0.1:1/KEY", "Stratum V2, which is not supported"),
        ("stratum+tcp://127.0.0.1:1/#redirect", "known are #xnsub and #skipcbcheck"),
    ] {
        let ended = mine(&[url.to_owned()], &[]).wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(64), "{ended:#?}");
        assert!(ended.errors().contains(said), "{ended:#?}");
    }
}

#[test]
fn mining_ends_when_nobody_reads_its_output() {
    let pool = Pool::start(welcome, EASY);
    let closed = testing::ports::closed_address();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display();
    for (options, output) in [
        (format!("-o {}", pool.address), "2>&1"),
        // Its output is the summary alone, so it ends before it has anything to write.
        (format!("-q -o {}", pool.address), ""),
        (format!("-o {closed}"), "2>&1"),
        (
            format!(
                "--bitcoind http://{closed} --address bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080 --data-dir {data}"
            ),
            "2>&1",
        ),
    ] {
        let miner = env!("CARGO_BIN_EXE_mesos-miner");
        let reader = if output.is_empty() { "true" } else { "head -1 >/dev/null" };
        let script = format!(
            "{{ {miner} mine -u me -t 1 {options} {output}; echo \"status $?\" >&3; }} 3>&2 | {reader}"
        );
        let ended = start("/bin/bash", ["-c", &script]).wait(LONG_DEADLINE);
        assert!(ended.errors().contains("status 0"), "{options}: {ended:#?}");
        assert!(!ended.errors().contains("panic"), "{options}: {ended:#?}");
    }
}
