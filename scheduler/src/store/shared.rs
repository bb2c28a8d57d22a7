//! The part of the store that all schedulers share: nodes in ZooKeeper, written by the one that leads.
//!
//! ```text
//! PATH/election/…            one ephemeral node a scheduler; the first leads
//! PATH/framework             id, leader, and the sums of tasks of the past
//! PATH/tasks/miner-worker-7  a task (its launch intent, at first) and all accounts of it
//! PATH/tasks/miner-server-1+0  accounts of those who are no tasks
//! ```
//!
//! Every write is one transaction that also checks the leader's election node, in the session to which that node
//! belongs: nothing is written by whoever leads no more.

#[cfg(test)]
pub(super) mod fake;
mod mirror;
mod node;
mod tree;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::mirror::{Mirror, Unreadable};
pub use self::node::Leader;
use self::tree::ZooKeeper;
use self::writer::Writer;
use super::adopt::Adopted;
use super::values::now_ms;
use super::{Batch, Books, Notify};
use crate::config::Zk;
use crate::election::Leadership;
use crate::record::Recovered;

/// How long [`Shared::finish`] waits for a ZooKeeper that does not answer.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Why what schedulers share can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// ZooKeeper refuses.
    #[error("cannot use {path} in ZooKeeper")]
    ZooKeeper {
        /// The node.
        path: String,
        /// Why.
        #[source]
        source: zookeeper_client::Error,
    },
    /// Something else stands there.
    #[error("{0:#}")]
    Unreadable(#[source] anyhow::Error),
    /// No scheduler has led there.
    #[error(
        "there is no ledger at {path} in ZooKeeper: name the schedulers' path with --zk; or the framework is torn down, and \
             its ledger in the --state-dir of whoever led"
    )]
    NoLedger {
        /// The node.
        path: String,
    },
    /// Another scheduler leads now.
    #[error("this scheduler does not lead any more ({why})")]
    Deposed {
        /// What has shown it.
        why: String,
    },
    /// The last changes could not be written.
    #[error("the last changes could not be written to ZooKeeper within {} s", CLOSE_DEADLINE.as_secs())]
    Unwritten,
}

impl From<Unreadable> for SharedError {
    fn from(error: Unreadable) -> SharedError {
        SharedError::Unreadable(error.into())
    }
}

impl Leader {
    /// From now on.
    pub fn new(folder: &str, host: &str) -> Leader {
        Leader { folder: folder.to_owned(), host: host.to_owned(), since_ms: now_ms() }
    }
}

/// The task that writes.
pub(super) struct Shared {
    task: JoinHandle<bool>,
    closing: Arc<AtomicBool>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Reads what the leader before has left, writes down who leads now, and begins to take changes. `own` is gone on
    /// with if nobody has ever led.
    pub async fn take_over(
        leadership: &Leadership,
        leader: Leader,
        own: Recovered,
        notify: Notify,
    ) -> Result<(Shared, UnboundedSender<Batch>, Adopted), SharedError> {
        let path = leadership.ensemble().path().to_owned();
        let opened = ZooKeeper::open(leadership).await;
        let (tree, (head, nodes)) = opened.map_err(|source| SharedError::ZooKeeper { path, source })?;
        let mut mirror = match head {
            Some(head) => Mirror::read(&head, &nodes)?,
            None => Mirror::of(own),
        };
        let continued = mirror.leader().is_none_or(|before| before.folder == leader.folder);
        mirror.lead(leader);
        let adopted = Adopted { recovered: mirror.recovered().clone(), continued };
        let closing = Arc::new(AtomicBool::new(false));
        let mut writer = Writer { mirror, tree, notify, closing: Arc::clone(&closing) };
        if !writer.write().await {
            return Err(SharedError::Deposed { why: leadership.lease().why() });
        }
        let (queue, receiver) = unbounded_channel();
        Ok((Shared { task: tokio::spawn(writer.run(receiver)), closing }, queue, adopted))
    }

    /// Waits until all is written, when nothing more can come.
    ///
    /// # Errors
    /// If ZooKeeper does not take it.
    pub async fn finish(mut self) -> Result<(), SharedError> {
        self.closing.store(true, Ordering::Relaxed);
        match timeout(CLOSE_DEADLINE, &mut self.task).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(SharedError::Unwritten),
        }
    }
}

/// Reads the last framework's books in ZooKeeper, beside whoever leads.
///
/// # Errors
/// If there are none, or they can't be read.
pub async fn shared_books(zk: &Zk) -> Result<Books, SharedError> {
    let ensemble = &zk.ensemble;
    let failed = |source| SharedError::ZooKeeper { path: ensemble.to_string(), source };
    let client = ensemble.connect(zk.session_timeout).await.map_err(failed)?;
    let (head, nodes) = tree::read(&client, ensemble.path()).await.map_err(failed)?;
    let no_ledger = || SharedError::NoLedger { path: ensemble.to_string() };
    let Recovered { framework, tasks, ledger, .. } =
        Mirror::read(&head.ok_or_else(no_ledger)?, &nodes)?.recovered().clone();
    let framework = framework.ok_or_else(no_ledger)?;
    let frameworks = vec![framework.id];
    Ok(Books { frameworks, tasks, ledger, ..Books::default() })
}
