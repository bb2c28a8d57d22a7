//! The part of the store that all schedulers share: nodes in ZooKeeper, written by the one that leads.
//!
//! ```text
//! PATH/election/…            one ephemeral node a scheduler; the first leads
//! PATH/framework             id, leader, and the sums of tasks that retired
//! PATH/shards/NN/…           one node a task, see [`node`]
//! ```
//!
//! Every write is one transaction that also checks the leader's election node, in the session to which that node
//! belongs: nothing is written by whoever leads no more.

#[cfg(test)]
pub(super) mod fake;
mod node;
mod tree;
mod tree_state;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::node::Leader;
use self::tree::{ReadError, ZooKeeper};
use self::tree_state::{TreeState, Unreadable};
use self::writer::Writer;
use super::sqlite::catch_up::Handover;
use super::sqlite::values::now_ms;
use super::{Batch, LedgerSnapshot, Notify};
use crate::config::Zk;
use crate::election::Leadership;
use crate::journal::RecoveredState;

/// How long [`SharedTree::finish`] waits for a ZooKeeper that does not answer.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Why what schedulers share cannot be used.
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

impl SharedError {
    fn reading(path: impl Into<String>, error: ReadError) -> Self {
        match error {
            ReadError::ZooKeeper(source) => SharedError::ZooKeeper { path: path.into(), source },
            ReadError::Unreadable(error) => error.into(),
        }
    }
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
pub(super) struct SharedTree {
    task: JoinHandle<bool>,
    closing: Arc<AtomicBool>,
}

impl Drop for SharedTree {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SharedTree {
    /// Reads what the leader before has left, brings it to this program's format, writes down who leads now, and begins
    /// to take changes. `own` is gone on with if nobody has ever led.
    pub async fn take_over(
        leadership: &Leadership,
        leader: Leader,
        own: RecoveredState,
        notify: Notify,
    ) -> Result<(SharedTree, UnboundedSender<Batch>, Handover), SharedError> {
        let failed = |error| SharedError::reading(leadership.ensemble().path(), error);
        let (tree, content) = ZooKeeper::open(leadership).await.map_err(failed)?;
        let key = own.specification_key.clone();
        let mut state = match &content.framework {
            Some(framework) => TreeState::read(framework, &content.nodes)?,
            None => TreeState::of(own),
        };
        let continued = state.leader().is_none_or(|before| before.folder == leader.folder);
        state.lead(leader, key);
        let handover = Handover { recovered: state.recovered(), continued };
        let closing = Arc::new(AtomicBool::new(false));
        let mut writer = Writer { state, tree, notify, closing: Arc::clone(&closing) };
        if !writer.begin(content.unfinished).await {
            return Err(SharedError::Deposed { why: leadership.lease().why() });
        }
        let (queue, receiver) = unbounded_channel();
        Ok((SharedTree { task: tokio::spawn(writer.run(receiver)), closing }, queue, handover))
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

/// Reads the last framework's ledger in ZooKeeper, beside whoever leads, in whatever format it is.
///
/// # Errors
/// If there is none, or it cannot be read.
pub async fn shared_ledger_snapshot(zk: &Zk) -> Result<LedgerSnapshot, SharedError> {
    let ensemble = &zk.ensemble;
    let failed = |error| SharedError::reading(ensemble.to_string(), error);
    let client = ensemble.connect(zk.session_timeout).await.map_err(|error| failed(error.into()))?;
    let content = tree::read(&client, ensemble.path()).await.map_err(failed)?;
    let no_ledger = || SharedError::NoLedger { path: ensemble.to_string() };
    let framework = content.framework.ok_or_else(no_ledger)?;
    let RecoveredState { framework, tasks, ledger, .. } =
        TreeState::read(&framework, &content.nodes)?.recovered();
    let framework = framework.ok_or_else(no_ledger)?;
    let frameworks = vec![framework.id];
    Ok(LedgerSnapshot { frameworks, tasks, ledger, ..LedgerSnapshot::default() })
}
