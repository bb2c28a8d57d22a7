//! `mesos-miner mine` against `mesos-miner pool`: the two ends with no Mesos.

use rustix::process::Signal;

use crate::support::process::{Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::{LATER, SOON};

/// A pool over the built-in chain on a port of its own choice, and its address.
fn pool(more: &[&str]) -> (Process, String) {
    let mut arguments = vec!["pool", "--chain", "builtin", "--listen", "127.0.0.1:0"];
    arguments.extend(more);
    let mut pool = mesos_miner(&arguments);
    let address = pool.wait_for_error(SOON, address_in);
    (pool, address)
}

fn address_in(line: &str) -> Option<String> {
    let rest = &line[line.find("127.0.0.1:")?..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
    (!rest[..end].ends_with(":0")).then(|| rest[..end].to_owned())
}

/// Mines until a share was accepted, then interrupts; the summary must agree.
fn mines_and_ends(arguments: &[&str]) -> Summary {
    let mut miner = mesos_miner(arguments);
    miner.wait_for_error(LATER, |line| line.to_lowercase().contains("accepted").then_some(()));
    let family = miner.family();
    miner.signal(Signal::INT);
    let ended = miner.wait(SOON);
    assert!(ended.status.success(), "{ended:#?}");
    miner.assert_nothing_left(&family, SOON);
    Summary::of(&ended)
}

#[test]
fn shares_are_accepted_and_summed_up() {
    let (_pool, address) = pool(&[]);
    let summary = mines_and_ends(&["mine", "-o", &address, "-u", "me.rig1", "-p", "x", "-t", "1", "--json"]);
    assert!(summary.shares.accepted > 0, "{summary:?}");
    assert_eq!(summary.shares.rejected, 0, "{summary:?}");
    assert_eq!(summary.workers, 1, "{summary:?}");
    assert!(summary.hashes > 0, "{summary:?}");
    assert!(summary.tasks.is_empty(), "no Mesos, no tasks: {summary:?}");
}

#[test]
fn the_line_of_the_original_works_as_it_stands() {
    let (_pool, address) = pool(&[]);
    let summary = mines_and_ends(&["-o", &address, "--json"]);
    assert!(summary.shares.accepted > 0, "{summary:?}");
}

#[test]
fn a_minerd_line_works_as_it_stands() {
    let (_pool, address) = pool(&[]);
    let url = format!("stratum+tcp://{address}");
    let summary = mines_and_ends(&["-a", "sha256d", "-o", &url, "-u", "me", "-p", "x", "-t", "2", "--json"]);
    assert!(summary.shares.accepted > 0, "{summary:?}");
}

#[test]
fn the_pool_ends_when_interrupted() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut pool, _) = pool(&[]);
        pool.signal(signal);
        let ended = pool.wait(SOON);
        assert!(ended.status.success(), "{ended:#?}");
    }
}
