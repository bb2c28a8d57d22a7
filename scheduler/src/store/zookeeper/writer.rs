//! Changes → transactions, which are committed to ZooKeeper and repeated until they succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use database::now_ms;
use tokio::sync::mpsc::UnboundedReceiver;

use super::tree::{Tree, WriteError};
use super::tree_state::{NodeWrite, TreeState};
use super::znode::{FRAMEWORK, FRAMEWORK_1};
use crate::journal::{Change, ChangeId};
use crate::store::{OnStoreEvent, StoreEvent, StorePlace};

/// When a batch has at least this number of changes, further changes wait for the next batch.
const BATCH: usize = 1000;
/// Maximum number of nodes that one transaction deletes after an interrupted conversion from format 1.
const DELETIONS: usize = 1000;
/// The pause after a failed write, before the write is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// The only writer of the tree.
pub(super) struct Writer<T> {
    pub state: TreeState,
    pub tree: T,
    pub notify: OnStoreEvent,
    /// True while the scheduler waits for the last writes before it ends. Then failed writes are not repeated.
    pub closing: Arc<AtomicBool>,
}

impl<T: Tree> Writer<T> {
    /// Writes until the queue is closed. Returns whether everything was written.
    pub async fn run(mut self, mut queue: UnboundedReceiver<Vec<(ChangeId, Change)>>) -> bool {
        while let Some(mut batch) = queue.recv().await {
            while batch.len() < BATCH
                && let Ok(more) = queue.try_recv()
            {
                batch.extend(more);
            }
            if !self.write_batch(&batch).await {
                return false;
            }
            (self.notify)(StoreEvent::Persisted(batch.into_iter().map(|(change_id, _)| change_id).collect()));
        }
        true
    }

    /// Deletes the `unfinished` nodes, which a leader left when it stopped in the middle of a conversion from format 1. Then
    /// writes the changed nodes. Returns whether everything was written.
    pub async fn begin(&mut self, unfinished: Vec<String>) -> bool {
        for names in unfinished.chunks(DELETIONS) {
            let delete = |name: &String| NodeWrite { name: name.clone(), data: None };
            if !self.commit(&[names.iter().map(delete).collect()]).await {
                return false;
            }
        }
        self.write().await
    }

    async fn write_batch(&mut self, batch: &[(ChangeId, Change)]) -> bool {
        let now = now_ms();
        for (_, change) in batch {
            let alone = TreeState::must_be_written_alone(change);
            if alone && !self.write().await {
                return false;
            }
            self.state.apply(change, now);
            if alone && !self.write().await {
                return false;
            }
        }
        self.write().await
    }

    /// Writes the changed nodes. Returns `false` if another scheduler leads, or if a write has failed while this scheduler
    /// closes.
    pub async fn write(&mut self) -> bool {
        for together in independent_groups(&self.state.take_transactions()) {
            if !self.commit(together).await {
                return false;
            }
        }
        true
    }

    /// Commits these transactions in any order, and repeats those that fail. Returns whether all have been committed.
    async fn commit(&mut self, transactions: &[Vec<NodeWrite>]) -> bool {
        let mut left: Vec<&[NodeWrite]> = transactions.iter().map(Vec::as_slice).collect();
        let mut failed = false;
        loop {
            let results = self.tree.commit(&left).await;
            let (mut again, mut reason) = (Vec::new(), None);
            for (transaction, result) in left.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(WriteError::LeadershipLost) => return false,
                    Err(WriteError::Again(why)) => {
                        again.push(transaction);
                        reason = Some(why);
                    }
                }
            }
            let Some(why) = reason else {
                if failed {
                    (self.notify)(StoreEvent::WritesAgain(StorePlace::ZooKeeper));
                }
                return true;
            };
            failed = true;
            let why = format!("cannot write to ZooKeeper: {why}");
            (self.notify)(StoreEvent::WriteFailed { place: StorePlace::ZooKeeper, why });
            if self.closing.load(Ordering::Relaxed) {
                return false;
            }
            tokio::time::sleep(RETRY).await;
            left = again;
        }
    }
}

/// Splits the transactions into groups, to be committed one group after another. The transactions of one group may be committed
/// in any order, because their nodes do not depend on each other. A transaction with the framework node is a group of its own,
/// because that node decides whether other nodes are valid.
fn independent_groups(transactions: &[Vec<NodeWrite>]) -> impl Iterator<Item = &[Vec<NodeWrite>]> {
    let alone = |writes: &[NodeWrite]| {
        writes.iter().any(|write| [FRAMEWORK, FRAMEWORK_1].contains(&write.name.as_str()))
    };
    transactions.chunk_by(move |one, next| !alone(one) && !alone(next))
}

#[cfg(test)]
mod tests;
