//! Tests with unusual agents. Their host name cannot be resolved, they offer port 0, they have GPUs, they are in another region,
//! or they have reservations that refine others.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testing::ports::ReservedPorts;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::process_tree::executors;
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer, until};

/// A scheduler on a Mesos with one agent.
struct Mining {
    mesos: MesosBox,
    scheduler: Process,
    http: SocketAddr,
    _ports: ReservedPorts,
}

impl Mining {
    /// Starts the agent with more arguments for `mesos-box up`, and the scheduler with these options.
    fn start(agent: &[&str], options: &[&str]) -> Option<Self> {
        Some(Mining::on(MesosBox::with_options(&peer::mesos()?, 1, agent), options))
    }

    fn on(mesos: MesosBox, options: &[&str]) -> Self {
        Mining::without_teardown(mesos, &[options, &["--teardown-on-exit"]].concat())
    }

    fn without_teardown(mesos: MesosBox, options: &[&str]) -> Self {
        let ports = ReservedPorts::take(1);
        let http = SocketAddr::from(([127, 0, 0, 1], ports.first()));
        let arguments = [
            "scheduler".to_owned(),
            format!("--master={}", mesos.master),
            format!("--http={http}"),
            "--live-interval=1s".to_owned(),
            "--json".to_owned(),
        ];
        let options = options.iter().map(|option| (*option).to_owned());
        let scheduler = mesos_miner(arguments.into_iter().chain(options));
        Mining { mesos, scheduler, http, _ports: ports }
    }

    /// The tasks of our framework, as the master knows them.
    fn tasks(&self) -> Vec<Value> {
        self.mesos.state()["frameworks"][0]["tasks"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until a worker has a hashrate.
    fn until_worker_mines(&mut self, worker: &str) {
        until(&format!("{worker} mines"), LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let summary = http::get_json(self.http, "/api/v1/summary")?;
            let tasks = summary["tasks"].as_array()?;
            let task = tasks.iter().find(|task| task["id"] == worker)?;
            (task["live"]["hashrate"].as_f64()? > 0.0).then_some(())
        });
    }

    /// Waits until a server runs to which one worker is connected, and returns the master's view of the server.
    fn until_mining(&mut self, server: &str) -> Value {
        until(&format!("a worker mines at {server}"), LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let summary = http::get_json(self.http, "/api/v1/summary")?;
            let tasks = summary["tasks"].as_array()?;
            let live = |id: &str| tasks.iter().find(|task| task["id"] == id).map(|task| task["live"].clone());
            if live(server)?["connections"] != 1 || live("miner-worker-2")?["hashrate"].as_f64()? <= 0.0 {
                return None;
            }
            self.tasks().into_iter().find(|task| task["id"] == server)
        })
    }

    fn end(mut self) {
        let ended = self.scheduler.interrupt(LONG_DEADLINE);
        assert!(Summary::of(&ended).hashes > 0, "{ended:#?}");
    }
}

/// The value of a label of a task's DiscoveryInfo.
fn label<'a>(task: &'a Value, key: &str) -> Option<&'a str> {
    let labels = task["discovery"]["labels"]["labels"].as_array()?;
    labels.iter().find(|label| label["key"] == key)?["value"].as_str()
}

/// An agent's host name that cannot be resolved. No resolver asks a name server for it, because no part of a name may have more
/// than 63 characters.
fn unresolvable() -> String {
    "a".repeat(64)
}

#[test]
fn workers_reach_a_server_whose_agents_name_cannot_be_resolved() {
    let name = unresolvable();
    let agent = format!("--agent-flag=hostname={name}");
    let Some(mut mining) = Mining::start(&[&agent], &["--on-server-loss=repoint"]) else { return };
    let server = mining.until_mining("miner-server-1");
    assert_eq!(label(&server, "addresses"), Some(format!("{name},127.0.0.1").as_str()));
    // Kill the server. The worker must then get both addresses of the new server: the host name and the IP address.
    let executors = executors(&mining.mesos.work_folder());
    let server = executors.iter().find(|executor| executor.id == "miner-server-1").expect("it runs");
    kill_process(Pid::from_raw(server.process.pid).expect("not 0"), Signal::KILL).expect("it runs");
    mining.until_mining("miner-server-3");
    mining.end();
}

#[test]
fn workers_connect_to_the_address_alone_if_the_user_says_so() {
    let agent = format!("--agent-flag=hostname={}", unresolvable());
    let Some(mut mining) = Mining::start(&[&agent], &["--server-address=ip"]) else { return };
    let server = mining.until_mining("miner-server-1");
    assert_eq!(label(&server, "addresses"), Some("127.0.0.1"));
    mining.end();
}

/// The records of earlier versions do not have the address of a server's agent.
#[test]
fn the_address_of_a_server_of_an_earlier_version_is_learned_from_offers() {
    let Some(command) = peer::mesos() else { return };
    let agent = format!("--agent-flag=hostname={}", unresolvable());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = format!("--state-dir={}", folder.path().display());
    let options = [&state, "--server-cpus=0.2", "--cpus-per-worker=0.2", "--min-worker-cpus=0.2"];
    let mesos = MesosBox::with_options(&command, 1, &[&agent]);
    let mut earlier = Mining::without_teardown(mesos, &[&options[..], &["--max-workers=1"]].concat());
    earlier.until_mining("miner-server-1");
    earlier.scheduler.interrupt(LONG_DEADLINE);
    let database = rusqlite::Connection::open(folder.path().join("scheduler.sqlite")).expect("our database");
    let forgotten = database.execute("UPDATE task SET agent_url = NULL", []).expect("our table");
    assert_eq!(forgotten, 2);
    let options = [&options[..], &["--max-workers=2", "--server-address=ip"]].concat();
    let mut upgraded = Mining::on(earlier.mesos, &options);
    upgraded.until_worker_mines("miner-worker-3");
    let unknown = "is not known (--server-address=ip)";
    let said = upgraded.scheduler.stderr().iter().filter(|line| line.contains(unknown)).count();
    assert_eq!(said, 1, "{:#?}", upgraded.scheduler.stderr());
    let url = "SELECT agent_url FROM task WHERE id = 'miner-server-1'";
    let url: String = database.query_row(url, [], |row| row.get(0)).expect("the address is recorded");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    upgraded.end();
}

/// The resources of an agent: 2 CPUs, 1024 MB, two of these ports, and more.
fn resources(ports: &ReservedPorts, more: &str) -> String {
    let first = ports.first();
    format!("--agent-flag=resources=cpus:2;mem:1024;ports:[{first}-{}]{more}", first + 1)
}

#[test]
fn a_server_never_gets_port_0() {
    let ports = ReservedPorts::take(2);
    let first = ports.first();
    let agent = format!("--agent-flag=resources=cpus:2;mem:1024;ports:[0-0,{first}-{}]", first + 1);
    let Some(mut mining) = Mining::start(&[&agent], &[]) else { return };
    let server = mining.until_mining("miner-server-1");
    assert_eq!(server["resources"]["ports"], format!("[{first}-{}]", first + 1));
    mining.end();
}

#[test]
fn agents_with_gpus_are_used_on_request_and_their_gpus_are_left() {
    let ports = ReservedPorts::take(2);
    let Some(mut mining) = Mining::start(&[&resources(&ports, ";gpus:1")], &["--gpu-agents"]) else { return };
    mining.until_mining("miner-server-1");
    let used = mining.mesos.state()["slaves"][0]["used_resources"].clone();
    assert_eq!((&used["cpus"], &used["gpus"]), (&json!(2.0), &json!(0.0)), "{used}");
    mining.end();
}

#[test]
fn agents_in_another_region_are_used_on_request_and_constraints_choose_among_regions() {
    let domain = |flag: &str, region: &str| {
        let domain = json!({"fault_domain": {"region": {"name": region}, "zone": {"name": "z"}}});
        format!("--{flag}-flag=domain={domain}")
    };
    let options =
        ["--remote-regions", "--constraint=@region:CLUSTER:far", "--server-constraint=@zone:LIKE:z"];
    let agent = [domain("master", "near"), domain("agent", "far")];
    let Some(mut mining) = Mining::start(&agent.each_ref().map(String::as_str), &options) else { return };
    mining.until_mining("miner-server-1");
    mining.end();
}

/// Everything that the agent has is reserved for the role `a`, in its configuration, and then refined for `a/b` by an operator.
#[test]
fn reservations_that_refine_others_are_used() {
    let Some(command) = peer::mesos() else { return };
    let ports = ReservedPorts::take(2);
    let reservation = |kind: &str, role: &str| json!({"type": kind, "role": role});
    let resources = |reservations: &[Value]| {
        let scalar =
            |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
        let range = json!([{"begin": ports.first(), "end": ports.first() + 1}]);
        let range = json!({"name": "ports", "type": "RANGES", "ranges": {"range": range}});
        let mut all = vec![scalar("cpus", 2.0), scalar("mem", 1024.0), range];
        all.iter_mut().for_each(|piece| piece["reservations"] = json!(reservations));
        json!(all)
    };
    let own = reservation("STATIC", "a");
    let agent = format!("--agent-flag=resources={}", resources(std::slice::from_ref(&own)));
    let mesos = MesosBox::with_options(&command, 1, &[&agent]);
    let mut refined = reservation("DYNAMIC", "a/b");
    refined["labels"] = json!({"labels": [{"key": "team", "value": "mining"}]});
    let agent_id = json!({"value": mesos.state()["slaves"][0]["id"]});
    let reserve = json!({"agent_id": agent_id, "resources": resources(&[own, refined])});
    let call = json!({"type": "RESERVE_RESOURCES", "reserve_resources": reserve});
    assert_eq!(http::post_json(mesos.master, "/api/v1", &call).expect("the master answers"), 202);
    until("the resources are reserved", DEADLINE, || {
        let reserved = mesos.state()["slaves"][0]["reserved_resources"]["a/b"]["cpus"].clone();
        (reserved == 2.0).then_some(())
    });
    let mut mining = Mining::on(mesos, &["--role=a/b"]);
    let server = mining.until_mining("miner-server-1");
    assert_eq!(server["resources"]["cpus"], 0.99, "{server}");
    mining.end();
}
