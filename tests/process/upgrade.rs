//! A scheduler migrates the state folder and the ZooKeeper tree from format 1, even without a master.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testing::ports::closed_address;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions};

use crate::support::ledger::Ledger;
use crate::support::process::{Process, mesos_miner};
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The nodes of the fixture: name → content.
const TREE: &str = include_str!("../../scheduler/tests/fixtures/format-1/tree.json");
/// The database in the fixture's state folder.
const DATABASE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/scheduler/tests/fixtures/format-1/scheduler.sqlite");

/// A ZooKeeper client, as simple as `zkCli`.
struct Nodes {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Nodes {
    fn connect(zookeeper: &ZooKeeper) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let address = zookeeper.address("");
        let address = address.trim_start_matches("zk://").trim_end_matches('/');
        let client = until("a session with ZooKeeper", LONG_DEADLINE, || {
            runtime.block_on(Client::connect(address)).ok()
        });
        Nodes { runtime, client }
    }

    fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.runtime.block_on(self.client.get_data(path)).ok().map(|(data, _)| data)
    }

    fn children(&self, path: &str) -> Vec<String> {
        self.runtime.block_on(self.client.list_children(path)).unwrap_or_default()
    }

    fn create(&self, path: &str, data: &str) {
        let options: CreateOptions<'_> = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let folder = path.rsplit_once('/').expect("a path").0;
        self.runtime.block_on(async {
            self.client.mkdir(folder, &options).await.expect("a folder");
            self.client.create(path, data.as_bytes(), &options).await.expect("a node");
        });
    }

    /// Creates a tree of format 1 below `path`.
    fn fill(&self, path: &str) {
        for (name, text) in tree() {
            let place = if name == "framework" { name } else { format!("tasks/{name}") };
            self.create(&format!("{path}/{place}"), &text);
        }
    }

    fn format(&self, path: &str) -> Value {
        let framework = self.get(&format!("{path}/framework")).expect("the framework's node");
        serde_json::from_slice::<Value>(&framework).expect("JSON")["format"].clone()
    }

    /// The names of the nodes in all shards, sorted.
    fn in_shards(&self, path: &str) -> Vec<String> {
        let shards = self.children(&format!("{path}/shards"));
        let mut names: Vec<String> =
            shards.iter().flat_map(|shard| self.children(&format!("{path}/shards/{shard}"))).collect();
        names.sort();
        names
    }

    fn assert_copy(&self, path: &str) {
        for (name, text) in tree() {
            let place = match (name.as_str(), self.format(path) == 2) {
                ("framework", true) => "framework-format-1".to_owned(),
                ("framework", false) => name,
                _ => format!("tasks/{name}"),
            };
            assert_eq!(self.get(&format!("{path}/{place}")), Some(text.into_bytes()), "{place}");
        }
    }
}

fn tree() -> BTreeMap<String, String> {
    serde_json::from_str(TREE).expect("the fixture")
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(DATABASE, folder.path().join("scheduler.sqlite")).expect("a copy");
    folder
}

fn scheduler(zookeeper: &ZooKeeper, path: &str, folder: &Path) -> Process {
    let (unused, zk) = (closed_address().to_string(), zookeeper.address(path));
    let folder = folder.to_str().expect("a path in UTF-8");
    let line =
        ["scheduler", "--master", &unused, "--zk", &zk, "--zk-session-timeout", "4s", "--state-dir", folder];
    mesos_miner(line)
}

fn assert_totals(ledger: &Ledger) {
    let (worker, pool) = (&ledger.total.worker, &ledger.total.pool);
    assert_eq!((worker.accepted, worker.rejected, worker.stale, worker.unanswered), (2600, 862, 646, 516));
    assert_eq!((pool.accepted, pool.rejected, pool.stale, pool.blocks), (69_598, 23_039, 17_221, 1163));
}

#[test]
fn folder_and_zookeeper_are_migrated_whenever_the_scheduler_is_killed() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let zookeeper = ZooKeeper::start(&command);
    let nodes = Nodes::connect(&zookeeper);
    // Each round kills the scheduler at another moment: as soon as it leads, when it has created the shards, or when it has
    // written to the shards. The last round does not kill it.
    for (round, written) in [Some(None), Some(Some(0)), Some(Some(1)), None].into_iter().enumerate() {
        let (name, folder) = (format!("miner{round}"), folder());
        let (path, zk) = (format!("/{name}"), zookeeper.address(&name));
        nodes.fill(&path);
        // Create a stale node in a shard. A scheduler of the new version leaves such a node if it is killed during the migration.
        // A scheduler of the old version that runs afterwards does not update the node.
        nodes.create(&format!("{path}/shards/25/miner-worker-3"), "left over");
        assert_totals(&Ledger::shared(&zk).expect("the ledger in format 1"));
        if let Some(written) = written {
            let mut killed = scheduler(&zookeeper, &name, folder.path());
            killed.wait_for_error(LONG_DEADLINE, |line| line.contains("this scheduler leads,").then_some(()));
            until("it comes so far", LONG_DEADLINE, || match written {
                None => Some(()),
                Some(0) => (nodes.children(&format!("{path}/shards")).len() == 100).then_some(()),
                Some(_) => (nodes.in_shards(&path).len() > 1).then_some(()),
            });
            killed.signal(Signal::KILL);
            killed.wait(DEADLINE);
        }
        nodes.assert_copy(&path);
        assert_totals(&Ledger::shared(&zk).expect("the ledger in between"));
        let mut scheduler = scheduler(&zookeeper, &name, folder.path());
        until("the nodes have format 2", LONG_DEADLINE, || (nodes.format(&path) == 2).then_some(()));
        nodes.assert_copy(&path);
        let mut expected: Vec<String> = tree().into_keys().filter(|name| name != "framework").collect();
        expected.sort();
        assert_eq!(nodes.in_shards(&path), expected);
        scheduler.signal(Signal::TERM);
        let ended = scheduler.wait(DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
        assert_totals(&Ledger::shared(&zk).expect("the ledger in format 2"));
        assert_totals(&Ledger::read(folder.path()).expect("the ledger in the folder"));
        assert!(folder.path().join("scheduler.format-1.sqlite").is_file(), "a copy");
    }
}

#[test]
fn an_unreadable_sum_is_an_error_at_the_start() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let zookeeper = ZooKeeper::start(&command);
    let nodes = Nodes::connect(&zookeeper);
    for (name, text) in tree() {
        let place = if name == "framework" { name.clone() } else { format!("tasks/{name}") };
        let text = if name == "miner-worker-13" {
            text.replacen("\"hashes\":\"", "\"hashes\":\"?", 1)
        } else {
            text
        };
        nodes.create(&format!("/miner/{place}"), &text);
    }
    let folder = folder();
    let ended = scheduler(&zookeeper, "miner", folder.path()).wait(LONG_DEADLINE);
    assert!(!ended.status.success(), "{ended:#?}");
    for part in ["tasks/miner-worker-13", "zkCli.sh", "--zk"] {
        assert!(ended.errors().contains(part), "{ended:#?}");
    }
    assert_eq!(nodes.format("/miner"), 1, "nothing has changed");
}
