//! Several schedulers that share a ZooKeeper, without a master.

use rustix::process::Signal;
use serde_json::json;
use testing::ports::closed_address;

use crate::page::page_of;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer};

/// A scheduler without a master. If the scheduler does not close its ZooKeeper session at its end, the session lasts 40 s longer.
fn candidate(zookeeper: &ZooKeeper, more: &[&str]) -> Process {
    let unused = closed_address().to_string();
    let zk = zookeeper.address("miner");
    let line = ["scheduler", "--master", &unused, "--zk", &zk, "--zk-session-timeout", "40s"];
    mesos_miner([&line, more].concat())
}

fn ends(mut process: Process) -> Ended {
    let ended = process.wait(DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    ended
}

/// Waits for the first line of output that shows whether the scheduler leads. Returns whether it does.
fn leads(process: &mut Process) -> bool {
    process.wait_for_error(LONG_DEADLINE, |line| match line {
        _ if line.contains("this scheduler leads,") => Some(true),
        _ if line.contains("waiting for") => Some(false),
        _ => None,
    })
}

#[test]
fn another_scheduler_leads_at_once_after_a_clean_end() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let zookeeper = ZooKeeper::start(&command);
    let mut leader = candidate(&zookeeper, &[]);
    assert!(leads(&mut leader));
    let mut waiting = candidate(&zookeeper, &["--http", "127.0.0.1:0"]);
    assert!(!leads(&mut waiting));
    let page = page_of(&mut waiting);
    assert_eq!(
        http::get_json(page, "/api/v1/summary"),
        Some(json!({"leads": false, "reasons": [], "remarks": []}))
    );
    assert_eq!(http::get_text(page, "/healthz").as_deref(), Some("ok\n"));
    for signal in [Signal::TERM, Signal::INT] {
        let mut next = candidate(&zookeeper, &["--duration", "1d"]);
        assert!(!leads(&mut next));
        next.signal(signal);
        let ended = ends(next);
        assert!(ended.stdout.iter().any(|line| line.contains("this scheduler was waiting")), "{ended:#?}");
    }
    ends(candidate(&zookeeper, &["--duration", "1s"]));
    waiting.signal(Signal::TERM);
    ends(waiting);
    leader.signal(Signal::TERM);
    ends(leader);
    let mut last = candidate(&zookeeper, &[]);
    assert!(leads(&mut last), "{:#?}", last.stderr());
}
