//! Trees in memory, which replace ZooKeeper in tests.

use std::collections::BTreeMap;

use super::tree::{Tree, WriteError};
use super::tree_state::{NodeWrite, TreeState};
use super::znode::{CONTROLS, FRAMEWORK, FRAMEWORK_1};
use crate::journal::{Change, ChangeId, Records, RecoveredState};

/// A tree, and the state of the leader that writes it.
#[derive(Debug, Default)]
pub(crate) struct FakeTree {
    state: TreeState,
    pub(super) content: BTreeMap<String, Vec<u8>>,
}

impl FakeTree {
    /// The nodes in a dump of format 1, converted to the current format.
    pub fn of_format_1(dump: &str) -> Self {
        let nodes: BTreeMap<String, String> = serde_json::from_str(dump).unwrap();
        let content = nodes.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        let state = read(&content);
        let mut nodes = FakeTree { state, content: BTreeMap::new() };
        nodes.flush();
        nodes
    }

    pub fn write(&mut self, batch: &[(ChangeId, Change)]) {
        for (_, change) in batch {
            if TreeState::must_be_written_alone(change) {
                self.flush();
            }
            self.state.apply(change, 1);
            if TreeState::must_be_written_alone(change) {
                self.flush();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        for transaction in self.state.take_transactions() {
            put(&mut self.content, &transaction);
        }
    }

    /// The records that the next leader would read.
    pub fn read(&self) -> RecoveredState {
        read(&self.content).recovered()
    }

    /// Lets the next leader read the tree and continue to write it.
    pub fn hand_over(&mut self) -> RecoveredState {
        self.state = read(&self.content);
        self.state.recovered()
    }

    /// Whether a task was written.
    pub fn knows(&self, task: &str) -> bool {
        let Ok(known) = self.state.task(task);
        known.is_some()
    }

    /// Whether a task has retired.
    pub fn has_retired(&self, task: &str) -> bool {
        let Ok(retired) = self.state.has_retired(task);
        retired
    }

    /// Whether the task's account of this worker contains the report with this sequence number, or a later report.
    pub fn has(&self, task: &str, worker: &str, sequence: u64) -> bool {
        let Ok(entry) = self.state.account(task, worker);
        entry.is_some_and(|entry| entry.sequence >= sequence)
    }

    pub fn len(&self) -> usize {
        self.content.len()
    }
}

pub(super) fn put(content: &mut BTreeMap<String, Vec<u8>>, writes: &[NodeWrite]) {
    for NodeWrite { name, data } in writes {
        let known = [CONTROLS, FRAMEWORK, FRAMEWORK_1].contains(&name.as_str());
        assert!(known || name.starts_with("miner-") || name.starts_with("avoided+"), "{name}");
        match data {
            Some(data) => {
                assert!(data.len() < 1_000_000, "{name} has {} bytes", data.len());
                content.insert(name.clone(), data.clone());
            }
            None => drop(content.remove(name)),
        }
    }
}

pub(super) fn read(content: &BTreeMap<String, Vec<u8>>) -> TreeState {
    let mut nodes = content.clone();
    nodes.remove(FRAMEWORK_1);
    match nodes.remove(FRAMEWORK) {
        Some(framework) => TreeState::read(&framework, &nodes).unwrap(),
        None => TreeState::default(),
    }
}

/// A tree whose commits fail with the errors in `failures`, the last error first, and then succeed.
#[derive(Debug, Default)]
pub(super) struct FlakyTree {
    pub content: BTreeMap<String, Vec<u8>>,
    /// The number of transactions that were committed.
    pub commits: usize,
    /// The size in bytes of the largest transaction that was committed.
    pub largest: usize,
    pub failures: Vec<WriteError>,
}

impl Tree for &mut FlakyTree {
    async fn commit(&mut self, transactions: &[&[NodeWrite]]) -> Vec<Result<(), WriteError>> {
        transactions.iter().map(|writes| self.commit_one(writes)).collect()
    }
}

impl FlakyTree {
    fn commit_one(&mut self, writes: &[NodeWrite]) -> Result<(), WriteError> {
        if let Some(failure) = self.failures.pop() {
            return Err(failure);
        }
        self.commits += 1;
        let size = |write: &NodeWrite| write.name.len() + write.data.as_ref().map_or(0, Vec::len);
        self.largest = self.largest.max(writes.iter().map(size).sum());
        put(&mut self.content, writes);
        Ok(())
    }
}
