//! The set-ups of `tests/broken-setups`, in each of which one thing is wrong: the first problem in the JSON and
//! in `/healthz` is the cause.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use testing::ports::ReservedPorts;

use crate::support::process::start;
use crate::support::{LONG_DEADLINE, http, peer, until};

/// The number of ports that the script uses.
const PORTS: u16 = 32;

/// The exit status of the script where this machine cannot play a set-up, for example without root.
const CANNOT_BE_PLAYED: i32 = 77;

/// Plays a set-up until the first problem has this code and this text, and then looks at `/healthz` and at the log.
fn first_problem(setup: &str, code: &str, words: &[&str]) {
    if peer::mesos().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path().join(setup);
    let (script, program) = (peer::root().join("tests/broken-setups"), env!("CARGO_BIN_EXE_mesos-miner"));
    let ports = ReservedPorts::take(PORTS);
    let (folder, port) = (at.to_str().expect("plain text"), ports.first().to_string());
    let arguments = ["run", setup, "--program", program, "--folder", folder, "--first-port", &port];
    let mut play = start(&script, arguments);
    let first = play.wait_for_output(LONG_DEADLINE, |line| Some(line.to_owned()));
    if first.contains("cannot be played") {
        let ended = play.wait(LONG_DEADLINE);
        assert_eq!(ended.status.code(), Some(CANNOT_BE_PLAYED), "{ended:#?}");
        assert!(std::env::var_os("REQUIRE_PEERS").is_none(), "{first}");
        eprintln!("skipped: {first}");
        return;
    }
    let http: SocketAddr = first.trim_start_matches("http://").parse().expect("the address of the scheduler");
    let found = until(&format!("{code} is the first problem"), LONG_DEADLINE, || {
        let summary = http::get_json(http, "/api/v1/summary")?;
        let first = summary["reasons"].as_array()?.first()?.clone();
        (first["code"] == code).then_some(first)
    });
    let text = found["text"].as_str().expect("a text");
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} lacks some of {words:?}");
    until(&format!("/healthz has {words:?}"), LONG_DEADLINE, || {
        let healthz = http::get_text(http, "/healthz")?;
        words.iter().all(|word| healthz.contains(word)).then_some(())
    });
    log_has(&at.join("scheduler.log"), words);
    play.signal(Signal::TERM);
    play.wait(LONG_DEADLINE);
}

/// Waits until one line of the log has all these words.
fn log_has(log: &Path, words: &[&str]) {
    until(&format!("the log has {words:?}"), LONG_DEADLINE, || {
        let text = std::fs::read_to_string(log).ok()?;
        text.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    });
}

#[test]
fn agents_too_small_for_the_server_are_named() {
    first_problem("small-agents", "agent-too-small", &["no server on 127.0.0.1", "--server-cpus"]);
}

#[test]
fn a_noexec_sandbox_is_named() {
    first_problem("noexec-sandbox", "executor-not-executable", &["Permission denied", "mounted noexec"]);
}

#[test]
fn a_user_whom_agents_do_not_know_is_named() {
    first_problem("user", "executor-user-unknown", &["No such user 'nosuchuser'", "(--user)"]);
}

#[test]
fn an_artifact_that_agents_cannot_reach_is_named() {
    first_problem("artifact-out-of-reach", "executor-fetch-failed", &["127.0.0.1:1/", "--artifact-address"]);
}

#[test]
fn agents_whose_resources_are_of_another_role_are_named() {
    first_problem("role", "reserved-for-others", &["no offers yet for role *", "batch"]);
}

#[test]
fn agents_with_gpus_are_named() {
    first_problem("gpu-agents", "gpu-agents", &["no offers yet for role *", "--gpu-agents"]);
}

#[test]
fn a_node_that_is_down_is_named() {
    first_problem("node-down", "node-unreachable", &["miner-server-1", "http://127.0.0.1:1", "refused"]);
}

#[test]
fn a_pool_that_refuses_the_user_is_named() {
    first_problem("pool-refuses", "pool-refuses-user", &["unauthorized worker"]);
}

#[test]
fn a_zookeeper_that_is_away_is_named() {
    first_problem("zookeeper-away", "zookeeper-unreachable", &["zk://127.0.0.1:1/mesos", "refused"]);
}

#[test]
fn a_full_disk_of_the_scheduler_is_named() {
    first_problem("full-disk", "state-folder-full", &["is full"]);
}
