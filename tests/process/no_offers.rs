//! A scheduler that gets no offers from a real Mesos says why, with what the master says of its agents and quotas.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::page::page_of;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer, until};

/// Resources of an agent, for Mesos' `--resources`.
fn agent(resources: &str) -> String {
    format!("--agent-flag=resources={resources}")
}

/// A scheduler on the master, the address of its page, and its first reason.
fn scheduler(mesos: &MesosBox, options: &[&str]) -> (Process, SocketAddr, Value) {
    let fixed = ["scheduler", "--http", "127.0.0.1:0", "--teardown-on-exit", "--server-cpus", "0.2"];
    let master = ["--master", &mesos.address];
    let mut scheduler = mesos_miner(fixed.iter().chain(&master).chain(options));
    let page = page_of(&mut scheduler);
    let reason = until("a reason", LONG_DEADLINE, || {
        let reason = http::get_json(page, "/api/v1/summary")?["reasons"][0].clone();
        // Before the subscription, that is the reason.
        reason["text"].as_str()?.contains("offers").then_some(reason)
    });
    let text = reason["text"].as_str().expect("a text");
    let healthz = http::get_text(page, "/healthz").expect("an answer");
    assert!(healthz.starts_with(&format!("no worker mines: {text}. ")), "{healthz:?}");
    scheduler.wait_for_error(DEADLINE, |line| line.contains(text).then_some(()));
    (scheduler, page, reason)
}

/// Waits until the first reason has this code and this part in its text, although offers come, and the next reason is that of a
/// declined offer. Ends the scheduler.
fn is_told_beside(mesos: &MesosBox, options: &[&str], code: &str, part: &str, next: &str) {
    let fixed = ["scheduler", "--http", "127.0.0.1:0", "--teardown-on-exit", "--server-cpus", "0.2"];
    let mut scheduler = mesos_miner(fixed.iter().chain(&["--master", &mesos.address]).chain(options));
    let page = page_of(&mut scheduler);
    let text = until(code, LONG_DEADLINE, || {
        let summary = http::get_json(page, "/api/v1/summary")?;
        let text = summary["reasons"][0]["text"].as_str()?;
        let is_first = summary["reasons"][0]["code"] == code && summary["reasons"][1]["code"] == next;
        (is_first && text.starts_with("no usable offers") && text.contains(part)).then(|| text.to_owned())
    });
    let healthz = http::get_text(page, "/healthz").expect("an answer");
    assert!(healthz.starts_with(&format!("no worker mines: {text}. ")), "{healthz:?}");
    scheduler.wait_for_error(DEADLINE, |line| line.contains(&text).then_some(()));
    scheduler.signal(Signal::TERM);
    assert!(scheduler.wait(LONG_DEADLINE).status.success());
}

fn set_quota(mesos: &MesosBox, role: &str, kind: &str, cpus: f64) {
    let amounts = json!({"cpus": {"value": cpus}, "mem": {"value": cpus * 512.0}});
    let configs = json!([{"role": role, kind: amounts}]);
    post(mesos, &json!({"type": "UPDATE_QUOTA", "update_quota": {"force": true, "quota_configs": configs}}));
}

/// Checks the code and a part of the text of the first reason, and ends the scheduler.
fn is_told(mesos: &MesosBox, options: &[&str], code: &str, part: &str) {
    let (mut scheduler, _, reason) = scheduler(mesos, options);
    assert_eq!(reason["code"], code, "{reason:#}");
    assert!(reason["text"].as_str().is_some_and(|text| text.contains(part)), "{part}: {reason:#}");
    scheduler.signal(Signal::TERM);
    assert!(scheduler.wait(LONG_DEADLINE).status.success());
}

fn post(mesos: &MesosBox, call: &Value) {
    let status = http::post_json(mesos.master, "/api/v1", call).expect("the master answers");
    assert!((200..300).contains(&status), "{call}: {status}");
}

#[test]
fn a_master_without_agents() {
    let Some(command) = peer::mesos() else { return };
    let mut mesos = MesosBox::start(&command, 0);
    let (mut scheduler, page, reason) = scheduler(&mesos, &[]);
    assert_eq!(reason["code"], "no-agents", "{reason:#}");
    assert_eq!(reason["text"], "no offers yet for role *: the master has no agents");
    // The problem ends with the first offer.
    mesos.add_agent("127.0.0.1");
    until("a worker mines", LONG_DEADLINE, || (http::get_text(page, "/healthz")? == "ok\n").then_some(()));
    scheduler.signal(Signal::TERM);
    assert!(scheduler.wait(LONG_DEADLINE).status.success());
}

#[test]
fn a_role_for_which_nothing_is_reserved() {
    let Some(command) = peer::mesos() else { return };
    let reserved = agent("cpus(gold):2;mem(gold):1024;ports(gold):[31000-31050]");
    let mesos = MesosBox::with_options(&command, 1, &[&reserved]);
    is_told(&mesos, &[], "reserved-for-others", "1 agent: 1 reserved for other roles, such as gold (--role)");
}

#[test]
fn agents_with_gpus_also_in_a_plan() {
    let Some(command) = peer::mesos() else { return };
    let gpus = agent("cpus:2;mem:1024;gpus:1;ports:[31000-31050]");
    let mesos = MesosBox::with_options(&command, 1, &[&gpus]);
    let words = "1 agent: 1 with GPUs, offered only with --gpu-agents";
    is_told(&mesos, &[], "gpu-agents", words);
    let plan = mesos_miner(["scheduler", "plan", "--master", &mesos.address]).wait(LONG_DEADLINE);
    assert_eq!(plan.status.code(), Some(3), "{plan:#?}");
    assert!(plan.stdout.join("\n").contains(words), "{plan:#?}");
}

#[test]
fn agents_in_another_region() {
    let Some(command) = peer::mesos() else { return };
    let domain = |region: &str| {
        json!({"fault_domain": {"region": {"name": region}, "zone": {"name": "z"}}}).to_string()
    };
    let master = format!("--master-flag=domain={}", domain("east"));
    let agent = format!("--agent-flag=domain={}", domain("west"));
    let mesos = MesosBox::with_options(&command, 1, &[&master, &agent]);
    is_told(&mesos, &[], "remote-agents", "1 in another region (west), offered only with --remote-regions");
}

#[test]
fn quotas_and_a_deactivated_agent() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    set_quota(&mesos, "gold", "guarantees", 2.0);
    is_told(&mesos, &[], "quota-reached", "that the master keeps for the quota of role gold");
    set_quota(&mesos, "gold", "guarantees", 0.0);
    set_quota(&mesos, "miner", "limits", 0.0);
    is_told(&mesos, &["--role", "miner"], "quota-reached", "the quota of role miner limits it to 0 CPU");

    let id = mesos.state()["slaves"][0]["id"].clone();
    post(&mesos, &json!({"type": "DEACTIVATE_AGENT", "deactivate_agent": {"agent_id": {"value": id}}}));
    is_told(&mesos, &[], "agents-inactive", "1 agent: 1 deactivated by an operator");
}

#[test]
fn an_operator_api_that_is_closed_to_frameworks_adds_nothing() {
    let Some(command) = peer::mesos() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, r#"{"credentials": [{"principal": "o", "secret": "o"}]}"#).expect("written");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&credentials, private).expect("our own file");
    let credentials = format!("--master-flag=credentials={}", credentials.display());
    let closed = "--master-flag=authenticate_http_readwrite=true";
    let mesos = MesosBox::with_options(&command, 0, &[&credentials, closed]);
    is_told(&mesos, &[], "no-offers", "masters normally offer agents with GPUs only with --gpu-agents");
}

#[test]
fn reservations_that_leave_memory_but_no_cpu() {
    let Some(command) = peer::mesos() else { return };
    let reserved = agent("cpus(gold):2;mem:2048;ports:[31000-31050]");
    let mesos = MesosBox::with_options(&command, 1, &[&reserved]);
    let words = "1 with too little that is not reserved for other roles, such as gold (--role)";
    is_told_beside(&mesos, &[], "reserved-for-others", words, "agent-too-small");
}

#[test]
fn a_quota_that_leaves_a_scrap() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    // Less than the 0.2 CPU of the server, but enough for an offer.
    set_quota(&mesos, "miner", "limits", 0.1);
    let words = "the quota of role miner limits it to 0.1 CPU";
    is_told_beside(&mesos, &["--role", "miner"], "quota-reached", words, "agent-too-small");
}

#[test]
fn agents_with_gpus_beside_an_agent_that_does_not_meet_a_constraint() {
    let Some(command) = peer::mesos() else { return };
    let gpus = agent("cpus:8;mem:1024;gpus:1;ports:[31000-31050]");
    let mut mesos = MesosBox::with_options(&command, 1, &[&gpus]);
    mesos.add_changed_agent("--resources=", "cpus:2;mem:1024;ports:[31100-31150]");
    let constraint = ["--server-constraint", "rack:LIKE:r1"];
    is_told_beside(
        &mesos,
        &constraint,
        "gpu-agents",
        "2 agents: 1 with GPUs, offered only with --gpu-agents",
        "constraint-not-met",
    );
}
