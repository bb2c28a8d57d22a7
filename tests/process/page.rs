//! The scheduler's HTTP pages.

use std::net::SocketAddr;

use serde_json::Value;
use testing::ports::closed_address;

use crate::support::embedded::EmbeddedCluster;
use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, http, until};

const ARGUMENTS: [&str; 9] = [
    "scheduler",
    "--http",
    "127.0.0.1:0",
    "--report-interval",
    "1s",
    "--server-cpus",
    "0.1",
    "--teardown-on-exit",
    "--master",
];

/// The address of the scheduler's HTTP server.
pub fn page_of(scheduler: &mut Process) -> SocketAddr {
    scheduler.wait_for_error(DEADLINE, |line| line.split("HTTP on http://").nth(1)?.parse().ok())
}

fn ends(mut scheduler: Process) {
    scheduler.interrupt(LONG_DEADLINE);
}

#[test]
fn shares_and_tasks_are_on_the_schedulers_page() {
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let mut scheduler = mesos_miner(ARGUMENTS.into_iter().chain([cluster.master.to_string().as_str()]));
    let page = page_of(&mut scheduler);
    until("its page tells of shares", LONG_DEADLINE, || {
        let summary = http::get_json(page, "/api/v1/summary")?;
        let accepted = |column: &str| summary["accounts"][column]["shares"]["accepted"].as_u64();
        (accepted("pool")? > 0 && accepted("workers")? > 0).then_some(())
    });
    assert_eq!(http::get_text(page, "/healthz").as_deref(), Some("ok\n"));
    let metrics = http::get_text(page, "/metrics").expect("it answers");
    for line in ["scheduler_leads 1", "scheduler_connected 1", "scheduler_tasks{state=\"TASK_RUNNING\"} 2"] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
    let state = http::get_json(page, "/api/v1/summary").expect("it answers");
    assert_eq!(state["tasks"].as_array().map(Vec::len), Some(2), "{state}");
    assert_eq!(state["tasks_next"], Value::Null, "{state}");
    ends(scheduler);
}

#[test]
fn tasks_are_listed_in_pages_and_bad_queries_are_refused() {
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let mut scheduler = mesos_miner(ARGUMENTS.into_iter().chain([cluster.master.to_string().as_str()]));
    let page = page_of(&mut scheduler);
    let get = |query: &str| http::get_json(page, &format!("/api/v1/tasks{query}"));
    let ids = |page: &Value| -> Vec<String> {
        let tasks = page["tasks"].as_array().into_iter().flatten();
        tasks.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect()
    };
    until("there are a server and a worker", LONG_DEADLINE, || (ids(&get("")?).len() == 2).then_some(()));
    let all = ids(&get("").expect("it answers"));
    assert_eq!(all[0], "miner-server-1");
    let first = get("?limit=1").expect("it answers");
    assert_eq!((ids(&first), first["next"].as_str()), (vec![all[0].clone()], Some("miner-server-1")));
    let last = get("?limit=1&after=miner-server-1").expect("it answers");
    assert_eq!((ids(&last), &last["next"]), (vec![all[1].clone()], &Value::Null));
    for (query, allowed) in [
        ("?limit=0", "from 1 to 1000"),
        ("?limit=x", "from 1 to 1000"),
        ("?order=id", "allowed are limit and after and search and sort"),
    ] {
        let refused = http::get_text(page, &format!("/api/v1/tasks{query}")).expect("it answers");
        assert!(refused.contains(allowed), "{query}: {refused}");
    }
    ends(scheduler);
}

#[test]
fn a_scheduler_without_a_master_is_unhealthy() {
    let master = closed_address().to_string();
    let mut scheduler = mesos_miner(ARGUMENTS.into_iter().chain([master.as_str()]));
    let page = page_of(&mut scheduler);
    until("it says so", DEADLINE, || {
        http::get_text(page, "/healthz")?.contains("not subscribed").then_some(())
    });
    ends(scheduler);
}
