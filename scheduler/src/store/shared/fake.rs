//! Nodes in memory, in ZooKeeper's place.

use std::collections::BTreeMap;

use super::mirror::{HEAD, Mirror, Write};
use super::tree::{Tree, WriteError};
use crate::record::{Change, Recovered, Ticket};

/// The nodes as the next leader finds them.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    mirror: Mirror,
    pub(super) content: BTreeMap<String, Vec<u8>>,
}

impl Nodes {
    pub fn write(&mut self, batch: &[(Ticket, Change)]) {
        for (_, change) in batch {
            self.mirror.apply(change, 1);
        }
        let writes = self.mirror.take_writes();
        put(&mut self.content, &writes);
    }

    /// What the next leader finds.
    pub fn read(&self) -> Recovered {
        read(&self.content).recovered().clone()
    }

    /// The same, and the next leader goes on writing.
    pub fn hand_over(&mut self) -> Recovered {
        self.mirror = read(&self.content);
        self.mirror.recovered().clone()
    }

    /// The same as it was written, without reading it.
    pub fn written(&self) -> &Recovered {
        self.mirror.recovered()
    }

    pub fn len(&self) -> usize {
        self.content.len()
    }
}

pub(super) fn put(content: &mut BTreeMap<String, Vec<u8>>, writes: &[Write]) {
    for Write { name, data } in writes {
        assert!(name == HEAD || name.starts_with("miner-"), "{name}");
        match data {
            Some(data) => {
                assert!(data.len() < 1_000_000, "{name} has {} bytes", data.len());
                content.insert(name.clone(), data.clone());
            }
            None => drop(content.remove(name)),
        }
    }
}

pub(super) fn read(content: &BTreeMap<String, Vec<u8>>) -> Mirror {
    let mut nodes = content.clone();
    match nodes.remove(HEAD) {
        Some(head) => Mirror::read(&head, &nodes).unwrap(),
        None => Mirror::default(),
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
    async fn commit(&mut self, writes: &[Write]) -> Result<(), WriteError> {
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
