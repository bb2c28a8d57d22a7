//! Divides the changed nodes into transactions of bounded size. The transactions are ordered so that the leader may stop after
//! any of them: the next leader can then continue from what has been written.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::{NodeWrite, TreeState};
use crate::journal::LedgerLine;
use crate::store::zookeeper::znode::{FRAMEWORK, FRAMEWORK_1};

/// Maximum number of bytes in one transaction. ZooKeeper limits a request to about a million bytes.
pub(super) const MAX_BYTES: usize = 500_000;
/// Maximum number of nodes in one transaction. Small transactions overlap: ZooKeeper processes one while its disk writes another.
pub(super) const MAX_NODES: usize = 250;
/// The number of bytes that a request is assumed to need for each node, in addition to the node's name and content.
const OVERHEAD: usize = 100;

/// Writes that are committed together.
#[derive(Default)]
struct Transaction {
    writes: Vec<NodeWrite>,
    bytes: usize,
}

impl Transaction {
    /// Adds a write, or gives it back if the transaction is full.
    fn add(&mut self, write: NodeWrite) -> Result<(), NodeWrite> {
        let size = OVERHEAD + write.name.len() + write.data.as_ref().map_or(0, Vec::len);
        if !self.writes.is_empty() && (self.bytes + size > MAX_BYTES || self.writes.len() >= MAX_NODES) {
            return Err(write);
        }
        self.bytes += size;
        self.writes.push(write);
        Ok(())
    }
}

impl TreeState {
    /// The transactions for everything that has changed since the last call:
    ///
    /// 1. changed nodes;
    /// 2. nodes whose accounts are added to the sum in the framework node. Each transaction writes a portion of these nodes, and
    ///    the framework node with the new sum;
    /// 3. deletions of nodes of retired tasks, or of a framework that ended; by then the framework node records the retirement or
    ///    the end.
    ///
    /// A tree of format 1 is converted by writing all nodes and then the framework node.
    pub fn take_transactions(&mut self) -> Vec<Vec<NodeWrite>> {
        if self.format_1_backup.is_some() {
            return self.take_conversion();
        }
        let (changed, moved, dropped) =
            (mem::take(&mut self.changed), mem::take(&mut self.moved), mem::take(&mut self.dropped));
        let later = |name: &&String| !moved.contains_key(*name) && !dropped.contains(*name);
        let mut transactions = self.in_portions(changed.iter().filter(later));
        let dropped: BTreeSet<String> =
            dropped.into_iter().filter(|name| !moved.contains_key(name)).collect();
        if mem::take(&mut self.framework_changed) {
            transactions.extend(self.moves_to_sum(moved));
        }
        transactions.extend(self.in_portions(dropped.iter()));
        transactions
    }

    /// The transactions that convert a tree of format 1. The framework node comes last, because its format number decides whether
    /// the nodes of format 1 or those of the present format are valid. If the leader stops before it has written the framework
    /// node, the next leader converts the tree again.
    fn take_conversion(&mut self) -> Vec<Vec<NodeWrite>> {
        let mut names = mem::take(&mut self.changed);
        names.extend(mem::take(&mut self.moved).into_keys());
        names.extend(mem::take(&mut self.dropped));
        // A node that would have no content is not written.
        names.retain(|name| self.node(name).is_some());
        let mut transactions = self.in_portions(names.iter());
        self.framework_changed = false;
        self.written_sum = self.ledger.aggregated();
        transactions.push(self.with_framework_node(Transaction::default()));
        transactions
    }

    fn in_portions<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<Vec<NodeWrite>> {
        let (mut transactions, mut current) = (Vec::new(), Transaction::default());
        for name in names {
            if let Err(write) = current.add(self.write_of(name)) {
                transactions.push(mem::take(&mut current).writes);
                // The first write of a transaction always fits.
                let _ = current.add(write);
            }
        }
        transactions.push(current.writes);
        transactions.retain(|writes| !writes.is_empty());
        transactions
    }

    fn moves_to_sum(&mut self, moved: BTreeMap<String, (LedgerLine, u64)>) -> Vec<Vec<NodeWrite>> {
        let (mut transactions, mut current) = (Vec::new(), Transaction::default());
        for (name, (line, blocks)) in moved {
            if let Err(write) = current.add(self.write_of(&name)) {
                transactions.push(self.with_framework_node(mem::take(&mut current)));
                let _ = current.add(write);
            }
            let (sum, sum_blocks) = &mut self.written_sum;
            sum.worker += line.worker;
            sum.pool += line.pool;
            *sum_blocks = sum_blocks.saturating_add(blocks);
        }
        self.written_sum = self.ledger.aggregated();
        transactions.push(self.with_framework_node(current));
        transactions
    }

    /// The transaction's writes, followed by the write of the framework node.
    fn with_framework_node(&mut self, mut transaction: Transaction) -> Vec<NodeWrite> {
        let copy = self.format_1_backup.take();
        transaction
            .writes
            .extend(copy.map(|data| NodeWrite { name: FRAMEWORK_1.to_owned(), data: Some(data) }));
        let data = Some(json(&self.framework_node()));
        transaction.writes.push(NodeWrite { name: FRAMEWORK.to_owned(), data });
        transaction.writes
    }

    fn write_of(&self, name: &str) -> NodeWrite {
        NodeWrite { name: name.to_owned(), data: self.node(name).as_ref().map(json) }
    }
}

fn json(node: &impl serde::Serialize) -> Vec<u8> {
    // Nodes consist of numbers, text, and maps with text keys, so this cannot fail.
    serde_json::to_vec(node).unwrap_or_default()
}
