//! The pool's data folder after a clean end, after a kill, and when a second pool tries to use it.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::http::get_json;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

struct Pool {
    process: Process,
    stratum: String,
    http: SocketAddr,
}

fn arguments(data: &Path) -> Vec<String> {
    let data = data.to_string_lossy();
    let fixed = ["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--share-interval", "100ms"];
    fixed.iter().copied().chain(["--data-dir", &data]).map(str::to_owned).collect()
}

impl Pool {
    fn start(data: &Path) -> Self {
        let mut process = mesos_miner(arguments(data));
        let after = |prefix: &'static str| move |line: &str| line.strip_prefix(prefix).map(str::to_owned);
        let stratum = process.wait_for_output(DEADLINE, after("listening on "));
        let http = process.wait_for_output(DEADLINE, after("HTTP on http://"));
        Pool { process, stratum, http: http.parse().expect("an address") }
    }

    fn totals(&self) -> Value {
        get_json(self.http, "/api/v1/summary").expect("it answers")["totals"].clone()
    }

    fn accepted(&self) -> u64 {
        accepted(&self.totals())
    }

    /// Mines until this many more shares are accepted, and ends the miner. Returns the pool's totals.
    fn mine(&self, more: u64) -> Value {
        let before = self.accepted();
        let mut miner = mesos_miner(["mine", "-o", &self.stratum, "-u", "rig", "-t", "1"]);
        until("shares", LONG_DEADLINE, || (self.accepted() >= before + more).then_some(()));
        miner.interrupt(DEADLINE);
        self.totals()
    }

    fn end(mut self, signal: Signal) -> Ended {
        self.process.signal(signal);
        self.process.wait(DEADLINE)
    }
}

fn accepted(totals: &Value) -> u64 {
    totals["shares"]["accepted"].as_u64().expect("a number")
}

/// The content of the database as `mesos-miner accounts` shows it.
fn ledger(data: &Path) -> Value {
    let data = data.to_string_lossy();
    let ended = mesos_miner(["accounts", "--data-dir", &data, "--json"]).wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    serde_json::from_str(&ended.stdout.join("\n")).expect("JSON")
}

#[test]
fn totals_continue_after_an_end_and_after_a_kill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("a/b");
    let pool = Pool::start(&data);
    let first = pool.mine(5);
    assert!(pool.end(Signal::TERM).status.success());
    // A clean end loses nothing.
    let kept = ledger(&data);
    assert_eq!(kept["totals"], first);
    assert_eq!(kept["workers"][0]["worker"], "rig");
    assert_eq!(kept["workers"][0]["rows"], first["shares"]["accepted"]);

    let pool = Pool::start(&data);
    assert_eq!(pool.totals(), first);
    let second = pool.mine(5);
    // A second pool refuses to use the folder.
    let other = mesos_miner(arguments(&data)).wait(DEADLINE);
    assert_eq!(other.status.code(), Some(1), "{other:#?}");
    assert!(other.errors().contains("in use by another pool"), "{other:#?}");
    // Once the pool has written all shares, a kill loses nothing.
    until("all is on disk", DEADLINE, || (ledger(&data)["totals"] == second).then_some(()));
    pool.end(Signal::KILL);
    assert_eq!(ledger(&data)["totals"], second);

    let pool = Pool::start(&data);
    assert_eq!(pool.totals(), second);
    assert!(accepted(&pool.mine(1)) > accepted(&second));
    assert!(pool.end(Signal::INT).status.success());
}

#[test]
fn a_database_of_another_program_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("pool.sqlite");
    let diary = "Dear diary, no block today either. ".repeat(100);
    std::fs::write(&file, &diary).expect("a file");
    let ended = mesos_miner(arguments(folder.path())).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.errors().contains("pool.sqlite is not a pool's database"), "{ended:#?}");
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), diary);

    let empty = tempfile::tempdir().expect("a temporary folder");
    let ended = mesos_miner(["accounts", "--data-dir", &empty.path().to_string_lossy()]).wait(DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.errors().contains("there are no accounts in"), "{ended:#?}");
}
