//! Changed nodes → transactions of bounded size, in an order in which the next leader may be left with the first few.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::{TreeState, Write};
use crate::store::zookeeper::node::{FRAMEWORK, FRAMEWORK_1};

/// So many bytes and nodes at most go into one transaction; a request to ZooKeeper may have a million bytes. Several are on
/// their way at once: with fewer nodes in each, ZooKeeper works at one while its disk takes another.
pub(super) const BYTES: usize = 500_000;
pub(super) const NODES: usize = 250;
/// What a write takes beside its name and its content.
const OVERHEAD: usize = 100;

/// Writes that go together.
#[derive(Default)]
struct Transaction {
    writes: Vec<Write>,
    bytes: usize,
}

impl Transaction {
    /// Adds a write unless it is too much.
    fn add(&mut self, write: Write) -> Result<(), Write> {
        let size = OVERHEAD + write.name.len() + write.data.as_ref().map_or(0, Vec::len);
        if !self.writes.is_empty() && (self.bytes + size > BYTES || self.writes.len() >= NODES) {
            return Err(write);
        }
        self.bytes += size;
        self.writes.push(write);
        Ok(())
    }
}

impl TreeState {
    /// What has changed since the last call:
    ///
    /// 1. nodes with news;
    /// 2. the framework's node, together with the nodes whose accounts move to its sum: in portions, each with the sum
    ///    as far as it has come;
    /// 3. nodes of tasks that have retired, or of a framework that has ended, as the framework's node says by then.
    ///
    /// While a tree of format 1 is taken over, it is all nodes, and then the framework's node.
    pub fn take_transactions(&mut self) -> Vec<Vec<Write>> {
        if self.copy.is_some() {
            return self.take_new_format();
        }
        let (changed, moved, dropped) =
            (mem::take(&mut self.changed), mem::take(&mut self.moved), mem::take(&mut self.dropped));
        let later = |name: &&String| !moved.contains_key(*name) && !dropped.contains(*name);
        let mut transactions = self.in_portions(changed.iter().filter(later));
        let dropped: BTreeSet<String> =
            dropped.into_iter().filter(|name| !moved.contains_key(name)).collect();
        if mem::take(&mut self.framework_changed) {
            transactions.extend(self.with_framework_node(moved));
        }
        transactions.extend(self.in_portions(dropped.iter()));
        transactions
    }

    /// The nodes in the shards count only from when the framework's node says that they do, and those of format 1 no more
    /// from then on: it comes last, with the whole sum. Until then the next leader begins anew.
    fn take_new_format(&mut self) -> Vec<Vec<Write>> {
        let mut names = mem::take(&mut self.changed);
        names.extend(mem::take(&mut self.moved).into_keys());
        names.extend(mem::take(&mut self.dropped));
        // The others are only in format 1, where they stay.
        names.retain(|name| self.node(name).is_some());
        let mut transactions = self.in_portions(names.iter());
        self.framework_changed = false;
        self.written_sum = self.ledger.aggregated();
        transactions.push(self.closed_by_framework_node(Transaction::default()));
        transactions
    }

    fn in_portions<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<Vec<Write>> {
        let (mut transactions, mut current) = (Vec::new(), Transaction::default());
        for name in names {
            if let Err(write) = current.add(self.write_of(name)) {
                transactions.push(mem::take(&mut current).writes);
                // The first one always fits.
                let _ = current.add(write);
            }
        }
        transactions.push(current.writes);
        transactions.retain(|writes| !writes.is_empty());
        transactions
    }

    fn with_framework_node(
        &mut self,
        moved: BTreeMap<String, (crate::journal::LedgerLine, u64)>,
    ) -> Vec<Vec<Write>> {
        let (mut transactions, mut current) = (Vec::new(), Transaction::default());
        for (name, (line, blocks)) in moved {
            if let Err(write) = current.add(self.write_of(&name)) {
                transactions.push(self.closed_by_framework_node(mem::take(&mut current)));
                let _ = current.add(write);
            }
            let (sum, sum_blocks) = &mut self.written_sum;
            sum.worker += line.worker;
            sum.pool += line.pool;
            *sum_blocks = sum_blocks.saturating_add(blocks);
        }
        self.written_sum = self.ledger.aggregated();
        transactions.push(self.closed_by_framework_node(current));
        transactions
    }

    fn closed_by_framework_node(&mut self, mut transaction: Transaction) -> Vec<Write> {
        let copy = self.copy.take();
        transaction.writes.extend(copy.map(|data| Write { name: FRAMEWORK_1.to_owned(), data: Some(data) }));
        let data = Some(json(&self.framework_node()));
        transaction.writes.push(Write { name: FRAMEWORK.to_owned(), data });
        transaction.writes
    }

    fn write_of(&self, name: &str) -> Write {
        Write { name: name.to_owned(), data: self.node(name).as_ref().map(json) }
    }
}

fn json(node: &impl serde::Serialize) -> Vec<u8> {
    // Maps with text for keys, numbers and text: there is nothing in it that JSON has not.
    serde_json::to_vec(node).unwrap_or_default()
}
