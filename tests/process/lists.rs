//! The scheduler's lists and its figures over time.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::page::page_of;
use crate::support::embedded::EmbeddedCluster;
use crate::support::ledger::Ledger;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{LONG_DEADLINE, http, peer, until};

/// A scheduler with its state in this folder.
fn scheduler(master: SocketAddr, state_dir: &Path, more: &[&str]) -> Process {
    let (master, state_dir) = (master.to_string(), state_dir.display().to_string());
    let common = ["--http", "127.0.0.1:0", "--report-interval", "1s", "--server-cpus", "0.1"];
    let line = ["scheduler", "--master", &master, "--state-dir", &state_dir];
    mesos_miner(line.into_iter().chain(common).chain(more.iter().copied()))
}

fn ends(mut scheduler: Process) {
    scheduler.signal(Signal::INT);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
}

fn get(page: SocketAddr, path: &str) -> Value {
    http::get_json(page, path).unwrap_or_else(|| panic!("no JSON at {path}"))
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn tasks_and_agents_are_sorted_and_searched_and_the_sums_agree() {
    let cluster = EmbeddedCluster::start(3, 1.0, |_| ());
    let folder = tempfile::tempdir().expect("a folder");
    let mut scheduler = scheduler(cluster.master, folder.path(), &["--teardown-on-exit"]);
    let page = page_of(&mut scheduler);
    until("three workers tell their hashrate", LONG_DEADLINE, || {
        let workers = http::get_json(page, "/api/v1/workers?sort=-hashrate")?;
        let telling = |worker: &&Value| worker["live"]["hashrate"].as_f64().is_some_and(|rate| rate > 0.0);
        (items(&workers).iter().filter(telling).count() == 3).then_some(())
    });
    let workers = get(page, "/api/v1/workers?sort=-hashrate");
    let rates = items(&workers).iter().filter_map(|worker| worker["live"]["hashrate"].as_f64());
    assert!(rates.is_sorted_by(|a, b| a >= b) && workers["total"] == 3, "{workers}");
    let servers = get(page, "/api/v1/servers");
    assert_eq!((items(&servers)[0]["id"].as_str(), &servers["total"]), (Some("miner-server-1"), &1.into()));
    let tasks = get(page, "/api/v1/tasks");
    assert_eq!((tasks["tasks"].as_array().map(Vec::len), &tasks["total"]), (Some(4), &4.into()), "{tasks}");
    let found = get(page, "/api/v1/tasks?search=MINER-WORKER&sort=-launched");
    assert_eq!((&found["tasks"][2]["kind"], &found["total"]), (&"worker".into(), &3.into()), "{found}");
    let agents = get(page, "/api/v1/agents?sort=-cpus");
    assert_eq!((items(&agents).len(), &items(&agents)[0]["state"]), (3, &"ok".into()), "{agents}");
    let sum: u64 = items(&agents).iter().filter_map(|agent| agent["workers"].as_u64()).sum();
    assert_eq!(sum, 3, "{agents}");
    assert_eq!(get(page, "/api/v1/totals")["reporting_workers"], 3);
    let blocks = get(page, "/api/v1/blocks?limit=1000");
    let found: u64 = items(&blocks).iter().filter_map(|row| row["blocks"].as_u64()).sum();
    assert!(get(page, "/api/v1/totals")["blocks"].as_u64().is_some_and(|later| later >= found), "{blocks}");
    for path in ["/api/v1/reasons", "/api/v1/failures"] {
        assert!(get(page, path)["total"].is_u64(), "{path}");
    }
    let refused = http::get_text(page, "/api/v1/agents?sort=size").expect("it answers");
    assert!(refused.contains("give one of id, host, cpus"), "{refused}");
    ends(scheduler);
}

#[test]
fn figures_over_time_survive_a_restart() {
    let cluster = EmbeddedCluster::start(1, 1.0, |_| ());
    let folder = tempfile::tempdir().expect("a folder");
    let with_figures = |page: SocketAddr, step: &str| -> Option<Vec<u64>> {
        let series = http::get_json(page, &format!("/api/v1/series?step={step}"))?;
        let points = series["points"].as_array()?.iter().filter(|point| point["workers"].is_u64());
        points.map(|point| point["at"].as_u64()).collect()
    };
    let mut first = scheduler(cluster.master, folder.path(), &[]);
    let page = page_of(&mut first);
    until("a worker is in the figures", LONG_DEADLINE, || {
        let series = http::get_json(page, "/api/v1/series?step=10s")?;
        series["points"].as_array()?.iter().any(|point| point["workers"] == 1).then_some(())
    });
    let [minutes, quarters] = ["1m", "15m"].map(|step| with_figures(page, step).expect("it answers"));
    assert!(!minutes.is_empty() && !quarters.is_empty());
    ends(first);
    let mut second = scheduler(cluster.master, folder.path(), &["--teardown-on-exit"]);
    let page = page_of(&mut second);
    until("the figures go on", LONG_DEADLINE, || {
        with_figures(page, "10s").is_some_and(|points| !points.is_empty()).then_some(())
    });
    for (step, before) in [("1m", minutes), ("15m", quarters)] {
        let after = with_figures(page, step).expect("it answers");
        assert!(before.iter().all(|at| after.contains(at)), "{step}: {before:?} then {after:?}");
    }
    ends(second);
}

/// Stops the fleet with a command of an operator: all workers end with their last reports.
fn stop_fleet(page: SocketAddr, tokens: &Path) {
    let (url, tokens) = (format!("http://{page}"), tokens.display().to_string());
    let mut ctl = mesos_miner(["ctl", "--url", &url, "--token-file", &tokens, "pause", "--release"]);
    let ended = ctl.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
}

/// Accepted shares and blocks, as the pool and as the workers count them, according to the ledger, the API and the metrics.
fn counted(page: SocketAddr, state_dir: &Path) -> Option<[[u64; 3]; 3]> {
    let ledger = Ledger::read(state_dir)?.total;
    let totals = http::get_json(page, "/api/v1/totals")?;
    let metrics = http::get_text(page, "/metrics")?;
    let metric = |name: &str| -> Option<u64> {
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    };
    let accepted = |side: &str| totals["accounts"][side]["shares"]["accepted"].as_u64();
    Some([
        [ledger.pool.accepted, ledger.worker.accepted, ledger.pool.blocks],
        [accepted("pool")?, accepted("workers")?, totals["blocks"].as_u64()?],
        [
            metric("mesos_miner_pool_shares_total{verdict=\"accepted\"}")?,
            metric("mesos_miner_shares_total{verdict=\"accepted\"}")?,
            metric("mesos_miner_blocks_total")?,
        ],
    ])
}

#[test]
fn the_lists_name_what_a_real_mesos_has_and_all_sums_agree_once_the_fleet_is_stopped() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "alice:0123456789abcdef0123456789abcdef\n").expect("our folder");
    let state_dir = folder.path().join("state");
    let tokens_option = format!("--http-token-file={}", tokens.display());
    let mut scheduler =
        scheduler(mesos.master, &state_dir, &["--teardown-on-exit", "--live-interval", "1s", &tokens_option]);
    let page = page_of(&mut scheduler);
    let agents = until("workers of both agents tell their hashrate", LONG_DEADLINE, || {
        let agents = http::get_json(page, "/api/v1/agents?sort=-hashrate")?;
        let tells = |agent: &&Value| agent["hashrate_per_cpu"].as_f64().is_some_and(|rate| rate > 0.0);
        (items(&agents).iter().filter(tells).count() == 2).then_some(agents)
    });
    let state = mesos.state();
    let slaves = state["slaves"].as_array().cloned().unwrap_or_default();
    for agent in items(&agents) {
        let slave = slaves.iter().find(|slave| slave["id"] == agent["id"]).expect("Mesos has the agent");
        assert_eq!((&agent["host"], &agent["state"]), (&slave["hostname"], &"ok".into()), "{agent}");
        assert!(agent["cpu_model"].as_str().is_some_and(|model| !model.is_empty()), "{agent}");
        assert_eq!(agent["workers"], 1);
    }
    let ids = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().into_iter().flatten();
        rows.filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
    };
    let mut known = ids(&state["frameworks"][0]["tasks"]);
    known.sort_unstable();
    assert_eq!(ids(&get(page, "/api/v1/tasks?sort=id")["tasks"]), known);
    let host = items(&agents)[0]["host"].as_str().expect("a host name").to_owned();
    let there = get(page, &format!("/api/v1/workers?search={host}"));
    assert_eq!(there["total"], 2, "both agents are on this host: {there}");

    until("shares are accounted", LONG_DEADLINE, || {
        let [[pool, workers, _], ..] = counted(page, &state_dir)?;
        (pool > 0 && workers > 0).then_some(())
    });
    stop_fleet(page, &tokens);
    until("no worker is left", LONG_DEADLINE, || {
        (http::get_json(page, "/api/v1/workers")?["total"] == 0).then_some(())
    });
    // The server may still report what it has counted last.
    until("all sums agree", LONG_DEADLINE, || {
        let [ledger, api, metrics] = counted(page, &state_dir)?;
        (ledger == api && api == metrics && ledger[0] == ledger[1]).then_some(())
    });
    let paused = get(page, "/api/v1/agents");
    assert!(items(&paused).iter().all(|agent| agent["state"] == "paused"), "{paused}");
    ends(scheduler);
}
