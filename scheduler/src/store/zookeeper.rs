//! The part of the store that all schedulers share: nodes in ZooKeeper, written by the leader.
//!
//! ```text
//! PATH/election/…            one ephemeral node for each scheduler; the one with the lowest number leads
//! PATH/framework             framework id, leader, and the sums of retired tasks
//! PATH/shards/NN/…           one node for each task, see [`znode`]
//! ```
//!
//! Every write is a transaction that also checks the leader's election node, in the session that owns that node. So a
//! scheduler that has lost the leadership cannot write.

#[cfg(test)]
pub(super) mod fake;
mod tree;
mod tree_state;
mod writer;
mod znode;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use database::now_ms;
use mesos::zookeeper::SessionError;
use text::InWords;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::tree::{RETRY, ReadError, ZooKeeperTree};
use self::tree_state::{TreeState, UnreadableNode};
use self::writer::Writer;
pub use self::znode::Leader;
use super::sqlite::sync_folder::Handover;
use super::{Batch, LedgerSnapshot, OnStoreEvent};
use crate::election::{Leadership, RunError, ZkConfig};
use crate::journal::{FrameworkRecord, RecoveredState};

/// How long [`SharedTree::finish`] waits for ZooKeeper to accept the last writes.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Why the tree in ZooKeeper cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// A request failed.
    #[error("cannot use {path} in ZooKeeper")]
    ZooKeeper {
        /// The path of the schedulers' tree.
        path: String,
        /// The client's error.
        #[source]
        source: SessionError,
    },
    /// A node has unknown content.
    #[error("{0:#}")]
    Unreadable(#[source] anyhow::Error),
    /// No scheduler has led under this path.
    #[error(
        "there is no ledger at {path} in ZooKeeper: give the schedulers' path with --zk; if the framework was torn down, its \
         ledger is in the --state-dir of the last leader"
    )]
    NoLedger {
        /// The addresses of the ZooKeeper servers, and the path that was searched for a ledger.
        path: String,
    },
    /// Another scheduler leads, or may lead.
    #[error("this scheduler no longer leads ({why})")]
    LeadershipLost {
        /// How the loss was noticed.
        why: String,
    },
    /// The last changes could not be written.
    #[error("the last changes could not be written to ZooKeeper within {}", InWords(CLOSE_DEADLINE))]
    Unwritten,
}

impl SharedError {
    fn reading(path: impl Into<String>, error: ReadError) -> Self {
        match error {
            ReadError::ZooKeeper(error) => SharedError::ZooKeeper { path: path.into(), source: error.into() },
            ReadError::Unreadable(error) => error.into(),
        }
    }
}

impl From<UnreadableNode> for SharedError {
    fn from(error: UnreadableNode) -> Self {
        SharedError::Unreadable(error.into())
    }
}

impl From<SharedError> for RunError {
    fn from(error: SharedError) -> Self {
        match error {
            SharedError::LeadershipLost { why } => RunError::LeadershipLost(why),
            error => RunError::Failed(error.into()),
        }
    }
}

impl Leader {
    /// A scheduler that begins to lead now.
    pub fn new(folder: &str, host: &str) -> Self {
        Self { folder: folder.to_owned(), host: host.to_owned(), since_ms: now_ms() }
    }
}

/// The tree that this scheduler writes as the leader.
pub(super) struct SharedTree {
    task: JoinHandle<bool>,
    closing: Arc<AtomicBool>,
    /// The latest time at which an earlier leader wrote a task's record, in milliseconds since the Unix epoch. `None` if there is
    /// no task.
    pub last_written_ms: Option<u64>,
}

impl Drop for SharedTree {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SharedTree {
    /// Reads the tree, converts it to the current format, records the new leader in it, and starts the task that writes changes.
    /// If no scheduler has ever led, the tree starts with the records in `own`.
    pub async fn take_over(
        leadership: &Leadership,
        leader: Leader,
        own: RecoveredState,
        notify: OnStoreEvent,
    ) -> Result<(SharedTree, UnboundedSender<Batch>, Handover), SharedError> {
        let failed = |error| SharedError::reading(leadership.ensemble().path(), error);
        let (tree, content) = ZooKeeperTree::open(leadership).await.map_err(failed)?;
        let key = own.specification_key.clone();
        let mut state = match &content.framework {
            Some(framework) => TreeState::read(framework, &content.nodes)?,
            None => TreeState::of(own),
        };
        let was_last_leader = state.leader().is_none_or(|before| before.folder == leader.folder);
        state.set_leader(leader, key);
        let handover = Handover { recovered: state.recovered(), was_last_leader };
        let closing = Arc::new(AtomicBool::new(false));
        let mut writer = Writer { state, tree, notify, closing: Arc::clone(&closing) };
        if !writer.begin(content.unfinished).await {
            return Err(SharedError::LeadershipLost { why: leadership.lease().why() });
        }
        let (queue, receiver) = unbounded_channel();
        let task = tokio::spawn(writer.run(receiver));
        Ok((SharedTree { task, closing, last_written_ms: content.last_written_ms }, queue, handover))
    }

    /// Waits for the last writes, after the queue of changes was closed.
    ///
    /// # Errors
    /// If ZooKeeper does not complete the writes in time.
    pub async fn finish(mut self) -> Result<(), SharedError> {
        self.closing.store(true, Ordering::Relaxed);
        match timeout(CLOSE_DEADLINE, &mut self.task).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err(SharedError::Unwritten),
        }
    }
}

/// Reads the framework that the schedulers share. The outer `None` means that no scheduler has ever led.
///
/// # Errors
/// If the framework node cannot be read.
pub(super) async fn shared_framework(
    leadership: &Leadership,
) -> Result<Option<Option<FrameworkRecord>>, SharedError> {
    let failed = |error| SharedError::reading(leadership.ensemble().path(), error);
    let path = leadership.ensemble().path();
    let node = loop {
        match tree::read_framework(leadership.lock().client(), path).await {
            Err(zookeeper_client::Error::ConnectionLoss) => tokio::time::sleep(RETRY).await,
            node => break node.map_err(|error| failed(error.into()))?,
        }
    };
    Ok(node
        .map(|node| TreeState::read(&node, &BTreeMap::new()))
        .transpose()?
        .map(|it| it.recovered().framework))
}

/// Reads the last framework's ledger from ZooKeeper, in any known format, without disturbing the leader.
///
/// # Errors
/// If there is no ledger, or it cannot be read.
pub async fn shared_ledger_snapshot(zk: &ZkConfig) -> Result<LedgerSnapshot, SharedError> {
    let ensemble = &zk.ensemble;
    let failed = |error| SharedError::reading(ensemble.to_string(), error);
    let client = ensemble
        .connect(zk.session_timeout)
        .await
        .map_err(|source| SharedError::ZooKeeper { path: ensemble.to_string(), source })?;
    let content = tree::read(&client, ensemble.path()).await.map_err(failed)?;
    let no_ledger = || SharedError::NoLedger { path: ensemble.to_string() };
    let framework = content.framework.ok_or_else(no_ledger)?;
    let RecoveredState { framework, tasks, ledger, .. } =
        TreeState::read(&framework, &content.nodes)?.recovered();
    let framework = framework.ok_or_else(no_ledger)?;
    let frameworks = vec![framework.id];
    Ok(LedgerSnapshot { frameworks, tasks, ledger, ..LedgerSnapshot::default() })
}
