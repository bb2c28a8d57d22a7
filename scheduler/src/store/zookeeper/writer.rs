//! Changes → transactions in ZooKeeper, one after the other, until each has come about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

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
            if !self.commit(&names.iter().map(delete).collect::<Vec<_>>()).await {
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
        for transaction in self.state.take_transactions() {
            if !self.commit(&transaction).await {
                return false;
            }
        }
        true
    }

    async fn commit(&mut self, transaction: &[Write]) -> bool {
        loop {
            match self.tree.commit(transaction).await {
                Ok(()) => return true,
                Err(WriteError::Deposed) => return false,
                Err(WriteError::Again(why)) => {
                    let text = format!("cannot write to ZooKeeper, trying again: {why}");
                    (self.notify)(StoreEvent::Refused(text));
                }
            }
            if self.closing.load(Ordering::Relaxed) {
                return false;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests;
