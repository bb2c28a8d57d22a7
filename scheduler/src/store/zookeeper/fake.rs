//! Nodes in memory, in ZooKeeper's place.

use std::collections::BTreeMap;

use super::node::{FRAMEWORK, FRAMEWORK_1};
use super::tree::{Tree, WriteError};
use super::tree_state::{TreeState, Write};
use crate::journal::{Change, Records, RecoveredState, Ticket};

/// The nodes as the next leader finds them.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    state: TreeState,
    pub(super) content: BTreeMap<String, Vec<u8>>,
}

impl Nodes {
    /// The nodes in a dump of format 1, taken over by this program.
    pub fn of_format_1(dump: &str) -> Nodes {
        let nodes: BTreeMap<String, String> = serde_json::from_str(dump).unwrap();
        let content = nodes.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        let state = read(&content);
        let mut nodes = Nodes { state, content: BTreeMap::new() };
        nodes.flush();
        nodes
    }

    pub fn write(&mut self, batch: &[(Ticket, Change)]) {
        for (_, change) in batch {
            if TreeState::stands_alone(change) {
                self.flush();
            }
            self.state.apply(change, 1);
            if TreeState::stands_alone(change) {
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

    /// What the next leader finds.
    pub fn read(&self) -> RecoveredState {
        read(&self.content).recovered()
    }

    /// The same, and the next leader goes on writing.
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

    /// Whether a report of a task, or a later one, was written.
    pub fn has(&self, task: &str, worker: &str, sequence: u64) -> bool {
        let Ok(entry) = self.state.account(task, worker);
        entry.is_some_and(|entry| entry.sequence >= sequence)
    }

    pub fn len(&self) -> usize {
        self.content.len()
    }
}

pub(super) fn put(content: &mut BTreeMap<String, Vec<u8>>, writes: &[Write]) {
    for Write { name, data } in writes {
        let known = [FRAMEWORK, FRAMEWORK_1].contains(&name.as_str());
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

/// A tree that fails as told: what comes first is what happens next.
#[derive(Debug, Default)]
pub(super) struct Flaky {
    pub content: BTreeMap<String, Vec<u8>>,
    /// How many commits there were, and the largest of them in bytes.
    pub commits: usize,
    pub largest: usize,
    pub failures: Vec<WriteError>,
}

impl Tree for &mut Flaky {
    async fn commit(&mut self, transactions: &[&[Write]]) -> Vec<Result<(), WriteError>> {
        transactions.iter().map(|writes| self.commit_one(writes)).collect()
    }
}

impl Flaky {
    fn commit_one(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        if let Some(failure) = self.failures.pop() {
            return Err(failure);
        }
        self.commits += 1;
        let size = |write: &Write| write.name.len() + write.data.as_ref().map_or(0, Vec::len);
        self.largest = self.largest.max(writes.iter().map(size).sum());
        put(&mut self.content, writes);
        Ok(())
    }
}
