//! Faults of masters and agents. The tasks continue to mine, and none is launched twice.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::mining::{MiningHarness, OUTAGE, list, text};
use crate::support::cluster::Cluster;
use crate::support::mesos_box::{Member, MesosBox};
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer, until};

faults! {
    real: killed_master killed_agent lost_agent drained_agent deactivated_agent frozen_master frozen_agent
}

/// Waits until `is_over` returns `true` and the system mines again, and checks that all tasks are still in the same processes.
fn tasks_outlive(mining: &mut MiningHarness, hit: Instant, is_over: impl Fn(&MiningHarness) -> bool) {
    let before = mining.tasks();
    mining.recovers(hit, |mining| is_over(mining) && mining.tasks() == before);
}

fn only_the_end_killed_tasks(mining: MiningHarness) -> Vec<String> {
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_KILLED".into(), 3)]));
    ended.stderr
}

/// Kills a master or agent, waits until the tasks have mined without this process, and restarts it. Returns the time of the
/// restart.
fn away(mining: &mut MiningHarness, part: Member) -> Instant {
    mining.cluster.real().kill(part);
    mining.until_these_mine_on(&mining.workers());
    let hit = Instant::now();
    mining.cluster.real().restart(part);
    hit
}

/// The number of agents that have re-registered since the master's or their own restart.
fn returned(mining: &MiningHarness) -> usize {
    let state = mining.cluster.state().unwrap_or_default();
    list(&state["slaves"]).iter().filter(|agent| agent["reregistered_time"].is_number()).count()
}

fn killed_master(mut mining: MiningHarness) {
    let hit = away(&mut mining, Member::Master);
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 2);
    only_the_end_killed_tasks(mining);
}

/// The agent returns before the master marks it unreachable.
fn killed_agent(mut mining: MiningHarness) {
    let agent = mining.agent_of(&mining.server());
    let hit = away(&mut mining, Member::Agent(agent));
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 1);
    only_the_end_killed_tasks(mining);
}

/// The agent returns after its tasks were marked unreachable. The tasks have continued to mine, and return, too.
fn lost_agent(mut mining: MiningHarness) {
    let away = other_agent(&mining);
    mining.cluster.real().kill(Member::Agent(away));
    until_unreachable(&mining);
    mining.until_these_mine_on(&mining.workers());
    let hit = Instant::now();
    mining.cluster.real().restart(Member::Agent(away));
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 1);
    only_the_end_killed_tasks(mining);
}

/// The number of the agent that does not run the server.
fn other_agent(mining: &MiningHarness) -> usize {
    1 - mining.agent_of(&mining.server())
}

fn until_unreachable(mining: &MiningHarness) {
    until("the master gives the agent up", DEADLINE, || {
        let state = mining.cluster.state()?;
        (list(&state["frameworks"][0]["unreachable_tasks"]).len() == 1).then_some(())
    });
}

/// The agents notice that the master is frozen. Messages to the master wait in the socket buffers.
fn frozen_master(mut mining: MiningHarness) {
    mining.cluster.real().freeze(Member::Master);
    std::thread::sleep(OUTAGE);
    mining.until_these_mine_on(&mining.workers());
    let hit = Instant::now();
    mining.cluster.real().thaw(Member::Master);
    tasks_outlive(&mut mining, hit, |_| true);
    only_the_end_killed_tasks(mining);
}

/// An agent is frozen until the master gives it up. Its connections to its executors stay open.
fn frozen_agent(mut mining: MiningHarness) {
    let away = other_agent(&mining);
    mining.cluster.real().freeze(Member::Agent(away));
    until_unreachable(&mining);
    mining.until_these_mine_on(&mining.workers());
    let hit = Instant::now();
    mining.cluster.real().thaw(Member::Agent(away));
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 1);
    only_the_end_killed_tasks(mining);
}

/// The operator drains the server's agent: all tasks are replaced, and the agent is used again once it is reactivated.
fn drained_agent(mut mining: MiningHarness) {
    let (before, server) = (mining.tasks(), mining.server());
    let agent = agent_id(&mining, &server.id);
    operator(&mining, json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": agent}}}));
    until("nothing runs there, and a server elsewhere", LONG_DEADLINE, || {
        let state = mining.cluster.state()?;
        let tasks = list(&state["frameworks"][0]["tasks"]);
        let runs = |t: &&Value| t["state"] == "TASK_RUNNING" && text(&t["id"]).starts_with("miner-server-");
        let elsewhere = tasks.iter().filter(runs).any(|task| task["slave_id"] != *agent);
        (elsewhere && tasks.iter().all(|task| task["slave_id"] != *agent)).then_some(())
    });
    let drained = || mining.cluster.state().map(|state| text(&slave(&state, &agent)["drain_info"]["state"]));
    until("it is drained", DEADLINE, || (drained()? == "DRAINED").then_some(()));
    let hit = Instant::now();
    operator(
        &mining,
        json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": {"value": agent}}}),
    );
    mining.recovers(hit, |mining| mining.tasks().is_disjoint(&before));
    let (summary, ended) = mining.end();
    assert!(summary.tasks.keys().all(|state| state == "TASK_KILLED"), "{ended:#?}");
}

/// The resources of a deactivated agent are not offered. Its tasks continue.
fn deactivated_agent(mut mining: MiningHarness) {
    let before = mining.tasks();
    let worker = mining.workers().into_iter().find(|w| mining.agent_of(w) == other_agent(&mining));
    let worker = worker.expect("there is one on each agent");
    let agent = agent_id(&mining, &worker.id);
    let call = |what: &str| {
        let name = what.to_lowercase();
        json!({"type": what, name: {"agent_id": {"value": agent}}})
    };
    operator(&mining, call("DEACTIVATE_AGENT"));
    mining.kill(&worker);
    until("it is gone", DEADLINE, || (mining.tasks().len() == 2).then_some(()));
    // While the other workers mine on, the scheduler has enough time to launch on this agent again. It does not, because Mesos
    // does not offer a deactivated agent's resources.
    mining.until_these_mine_on(&mining.workers());
    let state = mining.cluster.state().expect("a master leads");
    assert_eq!(slave(&state, &agent)["offered_resources"]["cpus"].as_f64(), Some(0.0));
    assert_eq!(mining.tasks().len(), 2, "nothing is launched there");
    let hit = Instant::now();
    operator(&mining, call("REACTIVATE_AGENT"));
    mining.recovers(hit, |mining| mining.tasks().intersection(&before).count() == 2);
    let (summary, ended) = mining.end();
    assert_eq!(
        summary.tasks,
        BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 3)]),
        "{ended:#?}"
    );
}

/// The id of the agent on which a task runs.
fn agent_id(mining: &MiningHarness, task: &str) -> String {
    let state = mining.cluster.state().expect("a master leads");
    let tasks = list(&state["frameworks"][0]["tasks"]);
    text(&tasks.iter().find(|t| t["id"] == *task).expect("it runs")["slave_id"])
}

fn slave(state: &Value, id: &str) -> Value {
    list(&state["slaves"]).into_iter().find(|agent| agent["id"] == *id).unwrap_or_default()
}

/// Sends a call of the operator API.
fn operator(mining: &MiningHarness, call: Value) {
    let status = http::post_json(mining.cluster.master(), "/api/v1", &call).expect("the master answers");
    assert_eq!(status, 200, "{call}");
}

fn elected() -> Option<MiningHarness> {
    let (command, ()) = (peer::mesos()?, peer::zookeeper()?);
    Some(MiningHarness::on(Cluster::Real(MesosBox::elected(&command))))
}

#[test]
fn killed_leader_of_two_real_masters() {
    let Some(mut mining) = elected() else { return };
    let hit = Instant::now();
    let _ = mining.cluster.real().kill_leader();
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 2);
    only_the_end_killed_tasks(mining);
}

/// Only ZooKeeper reveals the new leader, because the stream of the frozen one stays open. The scheduler would close the stream
/// only after five missed heartbeats.
#[test]
fn frozen_leader_of_two_real_masters() {
    let Some(mut mining) = elected() else { return };
    let hit = Instant::now();
    let other = mining.cluster.real().freeze_leader();
    mining.cluster.real().master = other;
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 2);
    let said = only_the_end_killed_tasks(mining);
    assert!(said.iter().any(|line| line.contains("does not lead any more: ZooKeeper names")), "{said:#?}");
}

/// ZooKeeper returns before the sessions of masters and agents expire.
#[test]
fn killed_zookeeper_of_two_real_masters() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let patient = ["--master-flag=zk_session_timeout=30secs", "--agent-flag=zk_session_timeout=30secs"];
    let mesos = MesosBox::elected_with(&command, &patient);
    let mut mining = MiningHarness::on(Cluster::Real(mesos));
    let hit = away(&mut mining, Member::Zookeeper);
    tasks_outlive(&mut mining, hit, |_| true);
    only_the_end_killed_tasks(mining);
}

/// ZooKeeper returns after the masters' sessions have expired. By then the leading master has ended itself, because it could
/// not know whether it still led.
#[test]
fn lost_zookeeper_of_two_real_masters() {
    let Some(mut mining) = elected() else { return };
    let other = mining.cluster.real().lose_zookeeper();
    mining.until_these_mine_on(&mining.workers());
    let hit = Instant::now();
    mining.cluster.real().restart(Member::Zookeeper);
    mining.cluster.real().master = other;
    tasks_outlive(&mut mining, hit, |mining| returned(mining) == 2);
    only_the_end_killed_tasks(mining);
}
