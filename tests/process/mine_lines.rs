//! What `mesos-miner mine` says of its pool: where it connects, what a silent pool owes, and what became of each share. The pools
//! are scripted, because they misbehave on purpose.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, tcp_server, until};

/// A pool that gives each connection one easy job, and answers each request as `answer` says: with a result or an error.
struct Pool {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

type Answer = fn(method: &str) -> Option<Result<Value, Value>>;

impl Pool {
    fn start(answer: Answer) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        let address = tcp_server::serve(move |stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            serve(stream, answer)
        });
        Pool { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: &TcpStream, answer: Answer) -> std::io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let method = request["method"].as_str().unwrap_or_default();
        let (result, error) = match answer(method) {
            None => continue,
            Some(Ok(result)) => (result, Value::Null),
            Some(Err(error)) => (Value::Null, error),
        };
        let authorized = method == "mining.authorize" && error.is_null();
        writeln!(stream, "{}", json!({"id": request["id"], "result": result, "error": error}))?;
        if authorized {
            let job = json!(["j", "00".repeat(32), "01", "02", [], "20000000", "1d00ffff", "65000000", true]);
            for (method, params) in [("mining.set_difficulty", json!([0.000_01])), ("mining.notify", job)] {
                writeln!(stream, "{}", json!({"id": null, "method": method, "params": params}))?;
            }
        }
    }
    Ok(())
}

fn welcome(method: &str) -> Option<Result<Value, Value>> {
    match method {
        "mining.subscribe" => Some(Ok(json!([[], "0a0b0c0d", 4]))),
        "mining.authorize" => Some(Ok(json!(true))),
        "mining.submit" => None,
        _ => Some(Err(json!([20, "unknown method", null]))),
    }
}

fn mine(pool: SocketAddr) -> Process {
    mesos_miner(["mine", "-o", &pool.to_string(), "-u", "me", "-t", "1", "-R", "1"])
}

fn end(mut miner: Process) -> Vec<String> {
    miner.interrupt(DEADLINE).stderr
}

#[test]
fn a_stale_share_is_not_called_accepted() {
    let pool = Pool::start(|method| match method {
        "mining.submit" => Some(Err(json!([21, "Job not found", null]))),
        other => welcome(other),
    });
    let mut miner = mine(pool.address);
    let line =
        miner.wait_for_error(LONG_DEADLINE, |line| line.contains("Job not found").then(|| line.to_owned()));
    assert!(line.contains("stale: 1/1 (100.00%)"), "{line}");
    let lines = end(miner);
    assert!(!lines.iter().any(|line| line.contains("accepted")), "{lines:#?}");
}

#[test]
fn a_silent_pool_is_named_with_what_it_owes() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound");
    let mut miner = mine(address);
    miner.wait_for_error(DEADLINE, |line| {
        line.contains(&format!("connecting to stratum+tcp://{address}")).then_some(())
    });
    // The client gives the pool up after 30 s, so this line must come before that one.
    let line = miner.wait_for_error(DEADLINE, |line| line.contains("silent").then(|| line.to_owned()));
    assert!(line.contains(&address.to_string()) && line.contains("a first answer"), "{line}");
    assert!(!end(miner).iter().any(|line| line.contains("gave no job")));

    let pool = Pool::start(|method| if method == "mining.authorize" { None } else { welcome(method) });
    let mut miner = mine(pool.address);
    miner.wait_for_error(DEADLINE, |line| line.contains("mining.authorize").then_some(()));
    end(miner);

    let pool = Pool::start(welcome);
    let mut miner = mine(pool.address);
    miner.wait_for_error(LONG_DEADLINE, |line| {
        (line.contains("silent") && line.contains("verdict")).then_some(())
    });
    end(miner);
}

#[test]
fn a_pool_that_is_away_gets_one_line() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counter = tries.clone();
    // It closes each connection at once.
    let address = tcp_server::serve(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let miner = mine(address);
    until("some tries", DEADLINE, || (tries.load(Ordering::Relaxed) >= 5).then_some(()));
    let lines = end(miner);
    let losses: Vec<_> = lines.iter().filter(|line| line.contains("trying again")).collect();
    // The end of a connection may be seen in two ways: it is closed, or it is reset.
    assert!((1..=2).contains(&losses.len()), "{lines:#?}");
    assert!(losses.iter().all(|line| line.contains(&address.to_string())), "{lines:#?}");
}

#[test]
fn a_pool_that_refuses_the_user_gets_one_line() {
    let pool = Pool::start(|method| match method {
        "mining.authorize" => Some(Err(json!([24, "unknown user", null]))),
        other => welcome(other),
    });
    let miner = mine(pool.address);
    until("some tries", DEADLINE, || (pool.connections() >= 3).then_some(()));
    miner.signal(Signal::INT);
    let mut miner = miner;
    let lines = miner.wait(DEADLINE).stderr;
    let losses: Vec<_> = lines.iter().filter(|line| line.contains("trying again")).collect();
    assert_eq!(losses.len(), 1, "{lines:#?}");
    assert!(losses[0].contains("unknown user") && losses[0].contains(r#""me""#), "{lines:#?}");
}
