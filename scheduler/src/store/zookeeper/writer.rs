//! Changes → transactions in ZooKeeper, one after the other, until each has come about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::node::{FRAMEWORK, FRAMEWORK_1};
use super::tree::{Tree, WriteError};
use super::tree_state::{TreeState, Write};
use crate::journal::{Change, Ticket};
use crate::store::sqlite::values::now_ms;
use crate::store::{Notify, StoreEvent};

/// So many changes at most are written at once.
const BATCH: usize = 1000;
/// So many nodes at most are deleted at once.
const NODES: usize = 1000;
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Writer<T> {
    pub state: TreeState,
    pub tree: T,
    pub notify: Notify,
    /// The scheduler waits for the end: no more than one try.
    pub closing: Arc<AtomicBool>,
}

impl<T: Tree> Writer<T> {
    /// Writes until the queue is closed; whether all was written.
    pub async fn run(mut self, mut queue: UnboundedReceiver<Vec<(Ticket, Change)>>) -> bool {
        while let Some(mut batch) = queue.recv().await {
            while batch.len() < BATCH
                && let Ok(more) = queue.try_recv()
            {
                batch.extend(more);
            }
            if !self.write_batch(&batch).await {
                return false;
            }
            (self.notify)(StoreEvent::Persisted(batch.into_iter().map(|(ticket, _)| ticket).collect()));
        }
        true
    }

    /// Removes what somebody left unfinished, then writes what has changed; `false` if somebody else leads.
    pub async fn begin(&mut self, unfinished: Vec<String>) -> bool {
        for names in unfinished.chunks(NODES) {
            let delete = |name: &String| Write { name: name.clone(), data: None };
            if !self.commit(&[names.iter().map(delete).collect()]).await {
                return false;
            }
        }
        self.write().await
    }

    async fn write_batch(&mut self, batch: &[(Ticket, Change)]) -> bool {
        let now = now_ms();
        for (_, change) in batch {
            let alone = TreeState::stands_alone(change);
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

    /// Writes what has changed; `false` if somebody else leads.
    pub async fn write(&mut self) -> bool {
        for together in in_any_order(&self.state.take_transactions()) {
            if !self.commit(together).await {
                return false;
            }
        }
        true
    }

    /// Waits until all of these have come about, in any order.
    async fn commit(&mut self, transactions: &[Vec<Write>]) -> bool {
        let mut left: Vec<&[Write]> = transactions.iter().map(Vec::as_slice).collect();
        loop {
            let results = self.tree.commit(&left).await;
            let (mut again, mut reason) = (Vec::new(), None);
            for (transaction, result) in left.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(WriteError::Deposed) => return false,
                    Err(WriteError::Again(why)) => {
                        again.push(transaction);
                        reason = Some(why);
                    }
                }
            }
            let Some(why) = reason else { return true };
            let text = format!("cannot write to ZooKeeper, trying again: {why}");
            (self.notify)(StoreEvent::Refused(text));
            if self.closing.load(Ordering::Relaxed) {
                return false;
            }
            tokio::time::sleep(RETRY).await;
            left = again;
        }
    }
}

/// The same transactions in groups, one group after the other: nodes in the shards are each complete, so that they may
/// come about in any order. The framework's node says what has become of others; it waits for those before it.
fn in_any_order(transactions: &[Vec<Write>]) -> impl Iterator<Item = &[Vec<Write>]> {
    let alone =
        |writes: &[Write]| writes.iter().any(|write| [FRAMEWORK, FRAMEWORK_1].contains(&write.name.as_str()));
    transactions.chunk_by(move |one, next| !alone(one) && !alone(next))
}

#[cfg(test)]
mod tests;
