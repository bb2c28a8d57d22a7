//! An in-memory store for tests: the store's tables without a file and a thread, and its nodes without ZooKeeper. The test
//! decides when changes are written.

use std::path::Path;

use rusqlite::Connection;

use super::sqlite::sync_folder::{Handover, sync_folder};
use super::sqlite::{migration, read, records};
use super::zookeeper::fake::FakeTree;
use crate::journal::{Change, ChangeId, Ledger, RecoveredState, SpecificationKey};

/// A disk and a ZooKeeper tree in memory.
pub(crate) struct Memory {
    connection: Connection,
    framework: Option<String>,
    nodes: FakeTree,
}

fn empty() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migration::prepare(&mut connection, Path::new("memory")).unwrap();
    connection
}

/// Adds a specification key to records that have none. All folders of a test get the same key.
fn with_key(recovered: RecoveredState) -> RecoveredState {
    let key = SpecificationKey::from_hex(&"01".repeat(32));
    RecoveredState { specification_key: recovered.specification_key.or(key), ..recovered }
}

impl Memory {
    pub fn new() -> Self {
        Memory { connection: empty(), framework: None, nodes: FakeTree::default() }
    }

    pub fn write(&mut self, batch: &[(ChangeId, Change)]) {
        records::write(&mut self.connection, &mut self.framework, batch).unwrap();
        self.nodes.write(batch);
    }

    /// The records on disk.
    pub fn recover(&self) -> RecoveredState {
        with_key(read::recover(&self.connection).unwrap())
    }

    /// Lets another scheduler lead, either on a machine with an empty disk or on this machine. Returns the records that it
    /// recovers.
    pub fn hand_over(&mut self, empty_disk: bool) -> RecoveredState {
        let recovered = self.nodes.hand_over();
        if empty_disk {
            self.connection = empty();
        }
        let handover = Handover { recovered: recovered.clone(), was_last_leader: !empty_disk };
        sync_folder(&mut self.connection, &handover).unwrap();
        sync_folder(&mut self.connection, &handover).unwrap();
        self.framework = recovered.framework.as_ref().map(|framework| framework.id.clone());
        self.assert_agreement();
        with_key(recovered)
    }

    /// Asserts that the sums on disk and in ZooKeeper are equal.
    pub fn assert_agreement(&self) {
        let Some(framework) = self.framework.as_deref() else { return };
        let mut here = Ledger::default();
        read::ledger(&self.connection, framework, &mut here).unwrap();
        assert_eq!(here.sum().0, self.nodes.read().ledger.sum().0);
    }

    /// Whether both the disk and ZooKeeper have a task.
    pub fn knows(&self, task: &str) -> bool {
        self.recover().tasks.iter().any(|record| record.id == task) && self.nodes.knows(task)
    }

    /// Whether both the disk and ZooKeeper have this report of a task or a later one. In ZooKeeper the report may be part of a
    /// sum.
    pub fn has(&self, task: &str, worker: &str, sequence: u64) -> bool {
        let here =
            || self.recover().ledger.entry(task, worker).is_some_and(|entry| entry.sequence >= sequence);
        self.nodes.has_retired(task) || here() && self.nodes.has(task, worker, sequence)
    }

    /// The records in ZooKeeper.
    pub fn shared(&self) -> RecoveredState {
        self.nodes.read()
    }

    /// The number of nodes in ZooKeeper.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

/// The records that a scheduler recovers from a state folder of format 1. An old version of this program wrote the folder.
pub(crate) fn folder_of_format_1() -> RecoveredState {
    let folder = tempfile::tempdir().unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1/scheduler.sqlite");
    std::fs::copy(fixture, folder.path().join(super::STATE_FOLDER.database)).unwrap();
    let (state_folder, recovered) = super::sqlite::StateFolder::open(folder.path()).unwrap();
    state_folder.close().unwrap();
    recovered
}

/// The records that a scheduler recovers from a ZooKeeper tree of format 1. An old version of this program wrote the tree.
pub(crate) fn tree_of_format_1() -> RecoveredState {
    FakeTree::of_format_1(include_str!("../../tests/fixtures/format-1/tree.json")).read()
}
