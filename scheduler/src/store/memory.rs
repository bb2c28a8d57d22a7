//! The same tables without a file or a thread, and the same nodes without a ZooKeeper, for tests that decide when
//! something is written.

use std::path::Path;

use rusqlite::Connection;

use super::adopt::{Adopted, adopt};
use super::shared::fake::Nodes;
use super::{read, schema, write};
use crate::ledger::Ledger;
use crate::record::{Change, Recovered, Ticket};

/// A disk and a ZooKeeper in memory.
pub(crate) struct Memory {
    connection: Connection,
    framework: Option<String>,
    nodes: Nodes,
}

fn empty() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    schema::prepare(&connection, Path::new("memory")).unwrap();
    connection
}

impl Memory {
    pub fn new() -> Memory {
        Memory { connection: empty(), framework: None, nodes: Nodes::default() }
    }

    pub fn write(&mut self, batch: &[(Ticket, Change)]) {
        write::write(&mut self.connection, &mut self.framework, batch).unwrap();
        self.nodes.write(batch);
    }

    /// What is on disk.
    pub fn recover(&self) -> Recovered {
        read::recover(&self.connection).unwrap()
    }

    /// Another scheduler leads, on a machine with an empty disk, or one that has led before; what it goes on with.
    pub fn hand_over(&mut self, empty_disk: bool) -> Recovered {
        let recovered = self.nodes.hand_over();
        if empty_disk {
            self.connection = empty();
        }
        let adopted = Adopted { recovered: recovered.clone(), continued: !empty_disk };
        adopt(&mut self.connection, &adopted).unwrap();
        adopt(&mut self.connection, &adopted).unwrap();
        self.framework = recovered.framework.as_ref().map(|framework| framework.id.clone());
        self.assert_agreement();
        recovered
    }

    /// Disk and ZooKeeper tell the same sums.
    pub fn assert_agreement(&self) {
        let Some(framework) = self.framework.as_deref() else { return };
        let mut here = Ledger::default();
        read::ledger(&self.connection, framework, &mut here).unwrap();
        assert_eq!(here.sum().0, self.nodes.read().ledger.sum().0);
    }

    /// Whether disk and ZooKeeper know of a task.
    pub fn knows(&self, task: &str) -> bool {
        let known = |recovered: &Recovered| recovered.tasks.iter().any(|record| record.id == task);
        known(&self.recover()) && known(self.nodes.written())
    }

    /// Whether disk and ZooKeeper have a report of a task, or a later one; in ZooKeeper it may be part of a sum.
    pub fn has(&self, task: &str, worker: &str, sequence: u64) -> bool {
        let has = |recovered: &Recovered| {
            let entry = recovered.ledger.entry(task, worker);
            entry.is_some_and(|entry| entry.sequence >= sequence)
        };
        let shared = self.nodes.written();
        let over = shared.past.done.contains_task(task) || shared.past.lost.contains_task(task);
        over || has(&self.recover()) && has(shared)
    }

    /// What is in ZooKeeper.
    pub fn shared(&self) -> Recovered {
        self.nodes.read()
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }
}
