//! The HTTP API is what its description says: schemathesis makes requests of the description, valid and invalid ones, and checks
//! each answer against it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testing::third_party::{folder, require};

use crate::mine_http::http_of;
use crate::page::page_of;
use crate::standalone::Pool;
use crate::support::embedded::EmbeddedCluster;
use crate::support::process::{Ended, mesos_miner, start};
use crate::support::{DEADLINE, LONG_DEADLINE, http, until};

/// The seed of the random requests, and how many there are for each method of a path, beside those that cover each limit of the
/// description.
const SEED: &str = "20090103";
const EXAMPLES: &str = "25";

/// Runs all checks of a description, which is an address or a file, against the program at `address`. It is given no token: what
/// changes something, such as the end of all tasks, is only refused.
fn check(installed: &Path, description: &str, address: SocketAddr, more: &[&str]) -> Ended {
    let python_path = format!("PYTHONPATH={}", installed.display());
    let url = format!("http://{address}");
    let arguments = ["python3", "-m", "schemathesis.cli", "run", description, "--url", &url];
    let how = ["--checks", "all", "--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure"];
    // A stream has no end, so there is no whole answer that could be checked. `api/tests` has tests of it.
    let without = ["--exclude-path", "/api/v1/events"];
    let line = [python_path.as_str()].into_iter().chain(arguments).chain(how).chain(without);
    start("env", line.chain(more.iter().copied())).wait(LONG_DEADLINE)
}

fn keeps_its_word(installed: &Path, address: SocketAddr) {
    let description = format!("http://{address}/api/v1/openapi.json");
    let ended = check(installed, &description, address, &[]);
    assert!(ended.status.success(), "{}\n{}", ended.stdout.join("\n"), ended.errors());
}

fn installed() -> Option<PathBuf> {
    require("schemathesis", folder("schemathesis"))
}

#[test]
fn a_pool_answers_as_its_description_says_and_a_wrong_description_is_noticed() {
    let Some(installed) = installed() else { return };
    let mut pool = mesos_miner(["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let address: SocketAddr =
        pool.wait_for_output(DEADLINE, |line| line.strip_prefix("HTTP on http://")?.parse().ok());
    pool.wait_for_output(DEADLINE, |line| line.starts_with("listening on ").then_some(()));
    keeps_its_word(&installed, address);

    let right = http::get_json(address, "/api/v1/openapi.json").expect("it answers");
    let wrong = |path: &str, value: Value| {
        let mut wrong = right.clone();
        *wrong.pointer_mut(path).expect("it is there") = value;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), wrong.to_string()).expect("written");
        let only = ["--include-path", "/api/v1/summary"];
        check(&installed, file.path().to_str().expect("UTF-8"), address, &only)
    };
    let schema = "/paths/~1api~1v1~1summary/get/responses/200/content/application~1json/schema";
    for (what, value) in [
        ("a figure that is missing", json!({"type": "object", "required": ["no_such_figure"]})),
        ("another type", json!({"type": "array"})),
    ] {
        let ended = wrong(schema, value);
        assert_eq!(ended.status.code(), Some(1), "{what}: {}", ended.stdout.join("\n"));
    }
}

#[test]
fn a_miner_answers_as_its_description_says() {
    let Some(installed) = installed() else { return };
    let pool = Pool::start();
    let mut miner = mesos_miner(["mine", "-o", &pool.stratum, "-t", "1", "--http", "127.0.0.1:0"]);
    let address = http_of(&mut miner);
    until("it mines", LONG_DEADLINE, || (http::get_text(address, "/readyz")? == "ready\n").then_some(()));
    keeps_its_word(&installed, address);
}

#[test]
fn a_scheduler_answers_as_its_description_says() {
    let Some(installed) = installed() else { return };
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let master = cluster.master.to_string();
    let mut tokens = tempfile::NamedTempFile::new().expect("a file");
    writeln!(tokens, "0123456789abcdef0123456789abcdef").expect("written");
    let tokens_file = tokens.path().to_str().expect("UTF-8");
    let mut scheduler = mesos_miner([
        "scheduler",
        "--http",
        "127.0.0.1:0",
        "--http-token-file",
        tokens_file,
        "--server-cpus",
        "0.1",
        "--teardown-on-exit",
        "--master",
        &master,
    ]);
    let page = page_of(&mut scheduler);
    until("it mines", LONG_DEADLINE, || (http::get_text(page, "/healthz")? == "ok\n").then_some(()));
    keeps_its_word(&installed, page);
    scheduler.interrupt(LONG_DEADLINE);
}
