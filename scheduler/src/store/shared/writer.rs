//! Changes → transactions in ZooKeeper, one after the other, until each has come about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::mirror::{HEAD, Mirror, Write};
use super::tree::{Tree, WriteError};
use crate::record::{Change, Ticket};
use crate::store::values::now_ms;
use crate::store::{Notice, Notify};

/// So many changes at most are written at once.
const BATCH: usize = 1000;
/// So many bytes and nodes at most go into one transaction; a request to ZooKeeper may have a million bytes.
const BYTES: usize = 500_000;
const NODES: usize = 1000;
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Writer<T> {
    pub mirror: Mirror,
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
            let now = now_ms();
            for (_, change) in &batch {
                self.mirror.apply(change, now);
            }
            if !self.write().await {
                return false;
            }
            (self.notify)(Notice::Persisted(batch.into_iter().map(|(ticket, _)| ticket).collect()));
        }
        true
    }

    /// Writes what has changed in the mirror; `false` if somebody else leads.
    pub async fn write(&mut self) -> bool {
        for bundle in bundles(self.mirror.take_writes()) {
            loop {
                match self.tree.commit(&bundle).await {
                    Ok(()) => break,
                    Err(WriteError::Deposed) => return false,
                    Err(WriteError::Again(why)) => {
                        let text = format!("cannot write to ZooKeeper, trying again: {why}");
                        (self.notify)(Notice::Refused(text));
                    }
                }
                if self.closing.load(Ordering::Relaxed) {
                    return false;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
        true
    }
}

/// Writes → transactions of bounded size. What is added to the head's sums vanishes from its nodes in the same one; the
/// rest may come about in parts, as it is not acknowledged before all of it has.
fn bundles(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let (last, contents): (Vec<Write>, Vec<Write>) =
        writes.into_iter().partition(|write| write.name == HEAD || write.data.is_none());
    let (mut bundles, mut bytes) = (vec![Vec::new()], 0);
    for write in contents {
        let size = write.name.len() + write.data.as_ref().map_or(0, Vec::len);
        if let Some(bundle) = bundles.last_mut()
            && (bundle.is_empty() || bytes + size <= BYTES && bundle.len() < NODES)
        {
            bytes += size;
            bundle.push(write);
        } else {
            bytes = size;
            bundles.push(vec![write]);
        }
    }
    bundles.push(last);
    bundles.retain(|bundle| !bundle.is_empty());
    bundles
}

#[cfg(test)]
mod tests;
