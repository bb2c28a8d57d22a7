//! `mesos-miner mine` against `mesos-miner pool`: the two ends with no Mesos.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::http::get_json;
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::{Shares, Summary};
use crate::support::{LATER, SOON, until};

/// A pool over the built-in chain on ports of its own choice.
pub struct Pool {
    process: Process,
    pub stratum: String,
    http: SocketAddr,
}

impl Pool {
    pub fn start() -> Pool {
        let arguments = ["pool", "--chain", "builtin", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut process = mesos_miner(arguments);
        let after = |prefix: &'static str| move |line: &str| line.strip_prefix(prefix).map(str::to_owned);
        let stratum = process.wait_for_output(SOON, after("listening on "));
        let http = process.wait_for_output(SOON, after("HTTP on http://"));
        Pool { process, stratum, http: http.parse().expect("an address") }
    }

    /// Its own count of the shares of each verdict and of blocks.
    pub fn count(&self, what: &str) -> u64 {
        let summary = get_json(self.http, "/api/v1/summary").expect("it answers");
        let totals = &summary["totals"];
        let count = if what == "blocks" { &totals[what] } else { &totals["shares"][what] };
        count.as_u64().unwrap_or_else(|| panic!("{what} in {summary}"))
    }
}

/// Mines until the pool has accepted a share, then interrupts; both accounts must agree.
pub fn mines_and_ends(pool: &Pool, arguments: &[&str]) -> Summary {
    let mut miner = mesos_miner(arguments);
    until("the pool accepts shares", LATER, || {
        assert!(miner.is_running(), "{:#?}", miner.stderr());
        (pool.count("accepted") >= 3).then_some(())
    });
    let family = miner.family();
    miner.signal(Signal::INT);
    let ended = miner.wait(SOON);
    assert!(ended.status.success(), "{ended:#?}");
    miner.assert_nothing_left(&family, SOON);

    let summary = Summary::of(&ended);
    let Shares { accepted, rejected, unanswered, .. } = summary.shares;
    let sent = pool.count("accepted");
    assert_eq!(rejected, 0, "{summary:?}");
    assert!(accepted > 0, "{summary:?}");
    assert!((accepted..=accepted + unanswered).contains(&sent), "the pool accepted {sent}: {summary:?}");
    assert_eq!(summary.workers, 1, "{summary:?}");
    assert!(summary.tasks.is_empty(), "no Mesos, no tasks: {summary:?}");
    summary
}

#[test]
fn shares_are_accepted_and_summed_up() {
    let pool = Pool::start();
    let arguments = ["mine", "-o", &pool.stratum, "-u", "me.rig1", "-p", "x", "-t", "1", "--json"];
    let summary = mines_and_ends(&pool, &arguments);
    assert!((summary.blocks..=summary.blocks + 1).contains(&pool.count("blocks")), "{summary:?}");
}

#[test]
fn the_line_of_the_original_works_as_it_stands() {
    let pool = Pool::start();
    mines_and_ends(&pool, &["-o", &pool.stratum, "--json"]);
}

#[test]
fn a_minerd_line_works_as_it_stands() {
    let pool = Pool::start();
    let url = format!("stratum+tcp://{}", pool.stratum);
    mines_and_ends(&pool, &["-a", "sha256d", "-o", &url, "-u", "me", "-p", "x", "-t", "2", "--json"]);
}

#[test]
fn each_share_is_shown_where_nobody_asked_for_json() {
    let pool = Pool::start();
    let mut miner = mesos_miner(["mine", "-o", &pool.stratum, "-u", "me"]);
    miner.wait_for_error(LATER, |line| line.contains("accepted: 1/").then_some(()));
    miner.signal(Signal::INT);
    let ended = miner.wait(SOON);
    assert!(ended.status.success() && ended.stdout.join("\n").contains("accepted"), "{ended:#?}");
}

#[test]
fn the_pool_ends_when_interrupted() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut pool = Pool::start();
        pool.process.signal(signal);
        let ended = pool.process.wait(SOON);
        assert!(ended.status.success(), "{ended:#?}");
    }
}
