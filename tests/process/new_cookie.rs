//! A real Bitcoin Core restarts, and writes a new cookie as it does at each start.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use testing::bitcoin_core::{ANYONE, BitcoinCore, Chain};

use crate::mesos_on_node::files_with;
use crate::support::http::{get, get_json, get_text};
use crate::support::mesos_box::MesosBox;
use crate::support::node_pool::NodePool;
use crate::support::process::{Process, mesos_miner};
use crate::support::process_tree::executors;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

fn text(path: &Path) -> &str {
    path.to_str().expect("plain text")
}

/// Waits for blocks above a height.
fn until_it_mines(core: &BitcoinCore, above: u64, process: &mut Process) {
    until("more blocks", LONG_DEADLINE, || {
        assert!(process.is_running(), "{:#?}", process.stderr());
        (core.height() > above + 2).then_some(())
    });
}

/// Kills the node and starts it again. Returns its height, and the password of the new cookie.
fn restart(core: &mut BitcoinCore) -> (u64, String) {
    let before = core.credentials();
    assert!(core.stop().success());
    core.start_again();
    let cookie = core.credentials();
    assert_ne!(cookie, before);
    let password = cookie.split_once(':').expect("a cookie").1.trim().to_owned();
    (core.height(), password)
}

fn http_address(line: &str) -> Option<SocketAddr> {
    line.split_once("HTTP on http://")?.1.trim().parse().ok()
}

fn accepted(http: SocketAddr) -> Option<Value> {
    let summary = get_json(http, "/api/v1/summary")?;
    Some(summary["accounts"]["pool"]["shares"]["accepted"].clone())
}

/// The scheduler watches a copy of the cookie file, so that the test decides when the scheduler sees the node's new cookie.
#[test]
fn the_server_on_a_real_mesos_gets_a_new_cookie_and_says_when_it_has_none() {
    let (Some(command), Some(mut core)) = (peer::mesos(), BitcoinCore::start(Chain::Regtest, &[])) else {
        return;
    };
    let mesos = MesosBox::start(&command, 2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let copy = folder.path().join("cookie");
    std::fs::copy(core.cookie_file(), &copy).expect("ours");
    let (master, node) = (mesos.master.to_string(), format!("{},cookie={}", core.url(), copy.display()));
    let mut scheduler = mesos_miner([
        "scheduler",
        "--master",
        &master,
        "--http=127.0.0.1:0",
        "--teardown-on-exit",
        "--json",
        "--report-interval=1s",
        "--chain=node",
        "--bitcoind",
        &node,
        "--address",
        ANYONE,
    ]);
    let http = scheduler.wait_for_error(DEADLINE, http_address);
    until_it_mines(&core, 0, &mut scheduler);
    until("all is well", LONG_DEADLINE, || (get_text(http, "/healthz")? == "ok\n").then_some(()));
    let server = || executors(&mesos.work_folder()).into_iter().find(|it| it.id.starts_with("miner-server-"));
    let first = server().expect("the server runs");

    let (height, password) = restart(&mut core);
    let refused = |health: String| health.contains("refuses access (HTTP 401)").then_some(health);
    let health = until("the scheduler says why", LONG_DEADLINE, || refused(get_text(http, "/healthz")?));
    assert!(health.contains(&core.url()) && health.contains("--cookie-file"), "{health}");
    // Miners have no work, so nothing more is counted.
    let (mut last, mut same) = (Value::Null, 0);
    until("nothing more is counted", LONG_DEADLINE, || {
        let now = accepted(http)?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same >= 40).then_some(())
    });
    assert_eq!(core.height(), height);

    std::fs::copy(core.cookie_file(), &copy).expect("ours");
    until_it_mines(&core, height, &mut scheduler);
    until("all is well again", LONG_DEADLINE, || (get_text(http, "/healthz")? == "ok\n").then_some(()));

    let pages = ["/healthz", "/api/v1/summary", "/api/v1/tasks", "/metrics"];
    let mut shown: Vec<Vec<u8>> = pages.iter().map(|page| get(http, page).expect("it answers")).collect();
    for page in ["/master/state", "/master/tasks", "/master/frameworks"] {
        shown.push(get(mesos.master, page).expect("it answers"));
    }
    assert!(!shown.iter().any(|page| String::from_utf8_lossy(page).contains(&password)));
    let now = server().expect("the server runs");
    assert_eq!((&now.id, now.process.pid), (&first.id, first.process.pid), "the server was not replaced");
    for process in scheduler.family() {
        assert!(!process.command.contains(&password), "{process:?}");
    }
    let ended = scheduler.interrupt(LONG_DEADLINE);
    assert!(!ended.errors().contains(&password), "{ended:#?}");
    assert!(ended.errors().contains("the cookie file of a node has a new content"), "{ended:#?}");
    for folder in [&mesos.work_folder(), scheduler.folder()] {
        assert_eq!(files_with(folder, &password), Vec::<String>::new());
    }
}

/// The scheduler watches the node's own file. The workers keep their connections, because the cookie comes soon enough.
#[test]
fn mining_on_a_real_mesos_survives_restarts_of_the_node() {
    let (Some(command), Some(mut core)) = (peer::mesos(), BitcoinCore::start(Chain::Regtest, &[])) else {
        return;
    };
    let mesos = MesosBox::start(&command, 2);
    let (master, url, cookie) = (mesos.master.to_string(), core.url(), core.cookie_file());
    let line = ["scheduler", "--master", &master, "--teardown-on-exit", "--chain=node", "--bitcoind", &url];
    let line = [&line[..], &["--cookie-file", text(&cookie), "--address", ANYONE]].concat();
    let mut scheduler = mesos_miner(line);
    until_it_mines(&core, 0, &mut scheduler);
    for _ in 0..2 {
        let (height, _) = restart(&mut core);
        until_it_mines(&core, height, &mut scheduler);
    }
    let ended = scheduler.interrupt(LONG_DEADLINE);
    assert!(!ended.errors().contains("miner-server-2"), "the server was not replaced: {ended:#?}");
}

#[test]
fn each_node_of_a_pool_has_a_cookie_file_of_its_own() {
    let Some(mut first) = BitcoinCore::start_listening(Chain::Regtest, &[]) else { return };
    let Some(mut second) = BitcoinCore::start(Chain::Regtest, &[&first.peer_option()]) else { return };
    let listed = |core: &BitcoinCore| format!("{},cookie={}", core.url(), core.cookie_file().display());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("nodes");
    std::fs::write(&list, listed(&second)).expect("ours");
    let nodes = format!("{},file://{}", listed(&first), list.display());
    let line = ["mine", "-t", "1", "--bitcoind", &nodes, "--address", ANYONE];
    let mut miner = mesos_miner(line);
    until_it_mines(&first, 0, &mut miner);
    until("the other node follows", DEADLINE, || (second.height() > 0).then_some(()));
    // Only the second node is left, with another cookie than the first one.
    first.kill();
    let (height, _) = restart(&mut second);
    until_it_mines(&second, height, &mut miner);
    miner.interrupt(DEADLINE);
}

/// A node's line in a list changes from the user and password of one run of the node to its cookie file.
#[test]
fn a_pool_goes_over_to_a_cookie_file_on_sighup() {
    let Some(mut core) = BitcoinCore::start(Chain::Regtest, &[]) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("nodes");
    let url = core.url();
    std::fs::write(&list, url.replace("://", &format!("://{}@", core.credentials().trim()))).expect("ours");
    let mut pool = NodePool::start(&["--bitcoind".into(), format!("file://{}", list.display())], &[]);
    std::fs::write(&list, format!("{url},cookie={}", core.cookie_file().display())).expect("ours");
    pool.process.signal(Signal::HUP);
    let said =
        pool.process.wait_for_error(DEADLINE, |line| line.contains("SIGHUP: ").then(|| line.to_owned()));
    assert!(said.contains("(changed)"), "{said}");
    let (height, _) = restart(&mut core);
    core.generate(1);
    until("the pool works on the new tip", LONG_DEADLINE, || {
        (pool.summary()["height"].as_u64()? > height + 1).then_some(())
    });
    until("all is well", LONG_DEADLINE, || (pool.health() == "ok\n").then_some(()));
    pool.process.interrupt(DEADLINE);
}
