//! Maintenance of a real Mesos' agents: the tasks move to other agents, and the agents are used again afterwards.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::http;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// A scheduler on two agents. Mesos regards the agents as two machines, because they have different host names.
struct MiningHarness {
    mesos: MesosBox,
    scheduler: Process,
}

const HOSTS: [&str; 2] = ["127.0.0.1", "127.0.0.2"];

impl MiningHarness {
    fn start() -> Option<Self> {
        let mut mesos = MesosBox::start(&peer::mesos()?, 1);
        mesos.add_agent(HOSTS[1]);
        let master = mesos.master.to_string();
        let arguments = ["--teardown-on-exit", "--report-interval", "1s", "--json"];
        let scheduler = mesos_miner(["scheduler", "--master", &master].iter().chain(&arguments));
        let mut mining = MiningHarness { mesos, scheduler };
        mining.until_running(&[("server", None), ("worker", Some(HOSTS[0])), ("worker", Some(HOSTS[1]))]);
        Some(mining)
    }

    fn state(&self) -> Value {
        self.mesos.state()
    }

    /// The host name of the agent with this id. An agent that returns has a new id.
    fn host(state: &Value, id: &Value) -> String {
        let agents = state["slaves"].as_array().expect("agents");
        let agent = agents.iter().find(|agent| agent["id"] == *id);
        agent.and_then(|agent| agent["hostname"].as_str()).unwrap_or_default().to_owned()
    }

    /// The kind and the host name of each task; `None` unless all tasks run.
    fn running(&self) -> Option<Vec<(String, String)>> {
        let state = self.state();
        let tasks = state["frameworks"][0]["tasks"].as_array()?;
        let task = |task: &Value| {
            let kind = if task["id"].as_str()?.starts_with("miner-server-") { "server" } else { "worker" };
            let running = task["state"] == "TASK_RUNNING";
            running.then(|| (kind.to_owned(), MiningHarness::host(&state, &task["slave_id"])))
        };
        tasks.iter().map(task).collect()
    }

    fn until_running(&mut self, wanted: &[(&str, Option<&str>)]) {
        until(&format!("these run, and no others: {wanted:?}"), LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let mut running = self.running()?;
            for (kind, host) in wanted {
                let fits = |(k, h): &(String, String)| k == kind && host.is_none_or(|host| h == host);
                running.remove(running.iter().position(fits)?);
            }
            running.is_empty().then_some(())
        });
    }

    fn post(&self, path: &str, json: &Value) {
        let status = http::post_json(self.mesos.master, path, json).expect("the master answers");
        assert!((200..300).contains(&status), "{path} {json}: {status}");
    }

    fn said(&self, text: &str) -> bool {
        self.scheduler.stderr().iter().any(|line| line.contains(text))
    }

    fn end(mut self) {
        assert!(!self.said("failures in a row"), "{:#?}", self.scheduler.stderr());
        let ended = self.scheduler.interrupt(LONG_DEADLINE);
        let summary = Summary::of(&ended);
        assert!(summary.tasks.keys().all(|state| state == "TASK_KILLED"), "{ended:#?}");
    }
}

/// Schedules maintenance of a machine. The maintenance begins after `begins_in` and lasts one hour.
fn schedule(mining: &MiningHarness, machine: &Value, begins_in: Duration) {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let start = (unix + begins_in).as_nanos() as u64;
    let hour = 3_600_000_000_000_u64;
    let unavailability = json!({"start": {"nanoseconds": start}, "duration": {"nanoseconds": hour}});
    let window = json!({"machine_ids": [machine], "unavailability": unavailability});
    mining.post("/maintenance/schedule", &json!({"windows": [window]}));
}

#[test]
fn maintenance_drains_a_machine_in_time_and_mining_returns_afterwards() {
    let Some(mut mining) = MiningHarness::start() else { return };
    let [first, second] = HOSTS;
    let machine = |host: &str| json!({"hostname": host, "ip": "127.0.0.1"});
    let on = |server, workers: &[&'static str]| {
        let workers = workers.iter().map(|host| ("worker", Some(*host)));
        [("server", Some(server))].into_iter().chain(workers).collect::<Vec<_>>()
    };
    mining.until_running(&on(first, &HOSTS));
    // The maintenance begins so soon that the scheduler must end the tasks immediately.
    schedule(&mining, &machine(first), Duration::from_secs(50));
    mining.until_running(&on(second, &[second]));
    assert!(mining.said("maintenance of 127.0.0.1 begins") && mining.said("makes way for maintenance"));
    let status = http::get_json(mining.mesos.master, "/maintenance/status").expect("the master answers");
    let answers = status["draining_machines"][0]["statuses"].to_string();
    assert!(answers.contains("\"ACCEPT\""), "{status}");

    mining.post("/maintenance/schedule", &json!({"windows": []}));
    mining.until_running(&on(second, &HOSTS));
    schedule(&mining, &machine(second), Duration::from_secs(50));
    mining.until_running(&on(first, &[first]));
    mining.post("/machine/down", &json!([machine(second)]));
    until("its agent is gone", DEADLINE, || (mining.state()["slaves"].as_array()?.len() == 1).then_some(()));
    mining.post("/machine/up", &json!([machine(second)]));
    mining.mesos.add_agent(second);
    mining.until_running(&on(first, &HOSTS));
    mining.end();
}
