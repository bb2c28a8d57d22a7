//! On a real Mesos, workers send live messages and reports at longer intervals if there are more workers.

use std::net::SocketAddr;
use std::path::Path;

use crate::page::page_of;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{LONG_DEADLINE, http, peer, until};

fn scheduler(master: &str, state: &Path, more: &[&str]) -> Process {
    let state = state.to_str().expect("a path in UTF-8");
    let line = ["scheduler", "--master", master, "--state-dir", state, "--http", "127.0.0.1:0"];
    let intervals = ["--live-interval", "1s", "--report-interval", "1s"];
    let size = ["--server-cpus", "0.2", "--max-workers", "2"];
    mesos_miner(line.iter().chain(&intervals).chain(&size).chain(more))
}

/// The intervals of live messages and reports in seconds: those of the servers, and those of the workers.
fn told(page: SocketAddr) -> Option<[Vec<[f64; 2]>; 2]> {
    let page = http::get_json(page, "/api/v1/tasks")?;
    let of = |kind: &str| -> Option<Vec<[f64; 2]>> {
        let tasks = page["tasks"].as_array()?.iter().filter(|task| task["kind"] == kind);
        tasks
            .map(|task| {
                Some([task["live"]["live_interval"].as_f64()?, task["live"]["report_interval"].as_f64()?])
            })
            .collect()
    };
    Some([of("server")?, of("worker")?])
}

fn until_told(what: &str, page: SocketAddr, wanted: &[[f64; 2]]) {
    until(what, LONG_DEADLINE, || {
        let [servers, workers] = told(page)?;
        (servers == [[1.0, 1.0]] && workers == wanted).then_some(())
    });
}

#[test]
fn running_workers_get_new_intervals_from_more_workers_and_from_another_scheduler() {
    let Some(command) = peer::mesos() else { return };
    let mut mesos = MesosBox::start(&command, 1);
    let (master, state) = (mesos.master.to_string(), tempfile::tempdir().expect("a temporary folder"));
    let few = ["--live-messages-per-second", "1", "--reports-per-second", "1"];
    let mut first = scheduler(&master, state.path(), &few);
    let page = page_of(&mut first);
    until_told("the only worker sends as often as is allowed", page, &[[1.0, 1.0]]);
    mesos.add_agent("127.0.0.2");
    until_told("both send half as often", page, &[[2.0, 2.0], [2.0, 2.0]]);
    first.wait_for_error(LONG_DEADLINE, |line| {
        line.contains("2 workers: each sends a live message every 2 s and a report every 2 s").then_some(())
    });
    first.interrupt(LONG_DEADLINE);

    let mut second = scheduler(&master, state.path(), &["--teardown-on-exit"]);
    let page = page_of(&mut second);
    until_told("all are allowed more", page, &[[1.0, 1.0], [1.0, 1.0]]);
    second.interrupt(LONG_DEADLINE);
}
