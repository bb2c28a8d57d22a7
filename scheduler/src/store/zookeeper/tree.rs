//! Reads and writes the nodes. A new leader reads them once; from then on it only writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use zookeeper_client::{Client, CreateOptions, Error as ZkError, OwnedLockClient};

use super::tree_state::{self, NodeWrite, UnreadableNode};
use super::znode::{FRAMEWORK, FRAMEWORK_1, SHARD_COUNT, SHARDS, TASKS_1, node_path, shard, shard_path};
use crate::election::{Leadership, Lease, persistent};

/// Maximum number of nodes that a new leader requests from ZooKeeper at the same time.
const READS: usize = 1000;
/// Maximum number of transactions that are sent to ZooKeeper at once. This is faster than one at a time, because ZooKeeper
/// processes some while its disk writes others.
const IN_FLIGHT: usize = 4;
/// The pause after the connection was lost, before the tree is read again.
pub(super) const RETRY: Duration = Duration::from_millis(200);

/// Why a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    /// Another scheduler leads, or may lead.
    LeadershipLost,
    /// The write failed, for this reason, and should be repeated.
    Again(String),
}

/// A tree of nodes that can be written.
pub(super) trait Tree: Send {
    /// Commits transactions in any order, each of them completely or not at all. The results are in the order of the arguments.
    fn commit(
        &mut self,
        transactions: &[&[NodeWrite]],
    ) -> impl Future<Output = Vec<Result<(), WriteError>>> + Send;
}

/// The content of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct TreeContent {
    /// The content of the framework node, if the node exists.
    pub framework: Option<Vec<u8>>,
    /// Name of a node → its content, for all other valid nodes. Their content has the format whose number is in the framework
    /// node.
    pub nodes: BTreeMap<String, Vec<u8>>,
    /// The names of nodes that a leader wrote to the shards before it was stopped during the conversion from format 1. These
    /// nodes are not valid and must be deleted.
    pub unfinished: Vec<String>,
    /// The latest time at which a node in a shard was written, in milliseconds since the Unix epoch. `None` if there is no such
    /// node.
    pub last_written_ms: Option<u64>,
}

/// Why the tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    ZooKeeper(#[from] ZkError),
    #[error(transparent)]
    Unreadable(#[from] UnreadableNode),
}

/// The tree in ZooKeeper, written in the session of the leader's election node.
pub(super) struct ZooKeeperTree {
    lock: Arc<OwnedLockClient>,
    lease: Lease,
    path: String,
    options: CreateOptions<'static>,
    /// The names of the nodes that exist in the tree. `None` after a failed write: it may nevertheless have been committed, so
    /// the names are not known.
    present: Option<BTreeSet<String>>,
}

impl ZooKeeperTree {
    /// Creates the shards, which are the parent nodes of the tasks' nodes, if they are missing. Then reads the tree.
    pub async fn open(leadership: &Leadership) -> Result<(Self, TreeContent), ReadError> {
        let ensemble = leadership.ensemble();
        let mut tree = Self {
            lock: Arc::clone(leadership.lock()),
            lease: leadership.lease().clone(),
            path: ensemble.path().to_owned(),
            options: persistent(ensemble),
            present: None,
        };
        loop {
            let found = async {
                tree.create_shards().await?;
                let content = read(tree.lock.client(), &tree.path).await?;
                tree.present = Some(tree.existing_nodes().await?);
                Ok(content)
            };
            match found.await {
                Ok(content) => return Ok((tree, content)),
                Err(ReadError::ZooKeeper(ZkError::ConnectionLoss)) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn create_shards(&self) -> Result<(), ZkError> {
        let client = self.lock.client();
        let shards = format!("{}/{SHARDS}", self.path);
        client.mkdir(&shards, &self.options).await?;
        let there: BTreeSet<String> = client.list_children(&shards).await?.into_iter().collect();
        let mut writer = self.lock.new_check_writer();
        let mut missing = false;
        for shard in (0..SHARD_COUNT).map(shard_path) {
            if !there.contains(shard.trim_start_matches(SHARDS).trim_start_matches('/')) {
                writer.add_create(&format!("{}/{shard}", self.path), &[], &self.options)?;
                missing = true;
            }
        }
        if missing { Ok(writer.commit().await.map(drop)?) } else { Ok(()) }
    }

    async fn existing_nodes(&self) -> Result<BTreeSet<String>, ZkError> {
        let client = self.lock.client();
        let mut names: BTreeSet<String> = names_in_shards(client, &self.path).await?.into_iter().collect();
        for name in [FRAMEWORK, FRAMEWORK_1] {
            if client.check_stat(&format!("{}/{name}", self.path)).await?.is_some() {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    async fn write(&self, present: &BTreeSet<String>, writes: &[NodeWrite]) -> Result<(), ZkError> {
        let mut writer = self.lock.new_check_writer();
        for NodeWrite { name, data } in writes {
            let path = format!("{}/{}", self.path, node_path(name));
            match (data, present.contains(name)) {
                (Some(data), true) => writer.add_set_data(&path, data, None)?,
                (Some(data), false) => writer.add_create(&path, data, &self.options)?,
                (None, true) => writer.add_delete(&path, None)?,
                (None, false) => {}
            }
        }
        Ok(writer.commit().await.map(drop)?)
    }

    fn failure(&self, error: &ZkError) -> WriteError {
        match error {
            ZkError::SessionExpired
            | ZkError::SessionMoved
            | ZkError::ClientClosed
            | ZkError::RuntimeInconsistent => {
                self.lease.end(error.to_string());
                WriteError::LeadershipLost
            }
            error => WriteError::Again(error.to_string()),
        }
    }
}

impl Tree for ZooKeeperTree {
    async fn commit(&mut self, transactions: &[&[NodeWrite]]) -> Vec<Result<(), WriteError>> {
        let present = match self.present.take() {
            Some(present) => Ok(present),
            None => self.existing_nodes().await,
        };
        let mut present = match present {
            Ok(present) => present,
            Err(error) => {
                let failure = self.failure(&error);
                return vec![Err(failure); transactions.len()];
            }
        };
        let mut results = Vec::new();
        for some in transactions.chunks(IN_FLIGHT) {
            results.extend(join_all(some.iter().map(|writes| self.write(&present, writes))).await);
        }
        let written = transactions.iter().zip(&results).filter(|(_, result)| result.is_ok());
        for NodeWrite { name, data } in written.flat_map(|(writes, _)| *writes) {
            match data {
                Some(_) => present.insert(name.clone()),
                None => present.remove(name),
            };
        }
        if results.iter().all(Result::is_ok) {
            self.present = Some(present);
        }
        results.into_iter().map(|result| result.map_err(|error| self.failure(&error))).collect()
    }
}

/// Reads the framework node alone; `None` if there is none.
pub(super) async fn read_framework(client: &Client, path: &str) -> Result<Option<Vec<u8>>, ZkError> {
    Ok(get(client, &format!("{path}/{FRAMEWORK}")).await?.map(|(data, _)| data))
}

/// Reads the tree.
pub(super) async fn read(client: &Client, path: &str) -> Result<TreeContent, ReadError> {
    let framework = read_framework(client, path).await?;
    let format = framework.as_deref().map(tree_state::format).transpose()?;
    let (mut nodes, mut unfinished, mut last_written_ms) = (BTreeMap::new(), Vec::new(), None);
    if format.is_none_or(|format| format == 1) {
        unfinished = names_in_shards(client, path).await?;
    }
    match format {
        None => {}
        Some(1) => {
            let names = children(client, &format!("{path}/{TASKS_1}")).await?;
            last_written_ms =
                read_nodes(client, names, |name| format!("{path}/{TASKS_1}/{name}"), &mut nodes).await?;
        }
        Some(_) => {
            let names = names_in_shards(client, path).await?;
            last_written_ms =
                read_nodes(client, names, |name| format!("{path}/{}", node_path(name)), &mut nodes).await?;
        }
    }
    Ok(TreeContent { framework, nodes, unfinished, last_written_ms })
}

/// The names of all nodes in the shards. Nodes in the wrong shard were not written by this program and are ignored.
async fn names_in_shards(client: &Client, path: &str) -> Result<Vec<String>, ZkError> {
    let shards: Vec<String> = (0..SHARD_COUNT).map(|shard| format!("{path}/{}", shard_path(shard))).collect();
    let found = join_all(shards.iter().map(|shard| children(client, shard))).await;
    let mut names = Vec::new();
    for (number, found) in (0..SHARD_COUNT).zip(found) {
        names.extend(found?.into_iter().filter(|name| shard(name) == number));
    }
    Ok(names)
}

/// Reads nodes into `nodes`. Returns the time of the latest write to one of them, in milliseconds since the Unix epoch.
async fn read_nodes(
    client: &Client,
    names: Vec<String>,
    path_of: impl Fn(&str) -> String,
    nodes: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Option<u64>, ZkError> {
    let mut last = None;
    for names in names.chunks(READS) {
        let paths: Vec<String> = names.iter().map(|name| path_of(name)).collect();
        let answers = join_all(paths.iter().map(|path| get(client, path))).await;
        for (name, answer) in names.iter().zip(answers) {
            let Some((data, written_ms)) = answer? else { continue };
            nodes.insert(name.clone(), data);
            last = last.max(Some(written_ms));
        }
    }
    Ok(last)
}

/// A node's content, and when it was written, in milliseconds since the Unix epoch; `None` if there is no such node.
async fn get(client: &Client, path: &str) -> Result<Option<(Vec<u8>, u64)>, ZkError> {
    match client.get_data(path).await {
        Ok((data, stat)) => Ok(Some((data, u64::try_from(stat.mtime).unwrap_or(0)))),
        Err(ZkError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn children(client: &Client, path: &str) -> Result<Vec<String>, ZkError> {
    match client.list_children(path).await {
        Err(ZkError::NoNode) => Ok(Vec::new()),
        names => names,
    }
}
