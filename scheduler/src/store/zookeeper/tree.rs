//! The only I/O with ZooKeeper's nodes: read once by who begins to lead, then only written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use zookeeper_client::{Client, CreateOptions, Error as ZkError, OwnedLockClient};

use super::node::{FRAMEWORK, FRAMEWORK_1, SHARD_COUNT, SHARDS, TASKS_1, place, shard, shard_place};
use super::tree_state::{self, Unreadable, Write};
use crate::election::{Leadership, Lease, persistent};

/// So many nodes are asked for at once.
const ASK: usize = 1000;
/// So many transactions at most are on their way: while ZooKeeper's disk takes one, it looks at the next.
const IN_FLIGHT: usize = 4;
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// Why a write came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    /// Another scheduler leads, or may lead.
    Deposed,
    /// Worth another try.
    Again(String),
}

/// Where nodes are written. All writes of a transaction come about, or none; several transactions do in any order. What
/// became of each is told in the order in which they are given.
pub(super) trait Tree: Send {
    fn commit(
        &mut self,
        transactions: &[&[Write]],
    ) -> impl Future<Output = Vec<Result<(), WriteError>>> + Send;
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// The framework's node.
    pub framework: Option<Vec<u8>>,
    /// The nodes that belong to it, in its format.
    pub nodes: BTreeMap<String, Vec<u8>>,
    /// Nodes in the shards that belong to nothing: somebody was stopped before the framework's node said that they count.
    pub unfinished: Vec<String>,
}

/// Why the tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    ZooKeeper(#[from] ZkError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

pub(super) struct ZooKeeper {
    lock: Arc<OwnedLockClient>,
    lease: Lease,
    path: String,
    options: CreateOptions<'static>,
    /// The nodes that there are; `None` after a write of which nobody knows whether it came about.
    present: Option<BTreeSet<String>>,
}

impl ZooKeeper {
    /// Makes the shards, and reads all that is there.
    pub async fn open(leadership: &Leadership) -> Result<(ZooKeeper, Content), ReadError> {
        let ensemble = leadership.ensemble();
        let mut tree = ZooKeeper {
            lock: Arc::clone(leadership.lock()),
            lease: leadership.lease().clone(),
            path: ensemble.path().to_owned(),
            options: persistent(ensemble),
            present: None,
        };
        loop {
            let found = async {
                tree.make_shards().await?;
                let content = read(tree.lock.client(), &tree.path).await?;
                tree.present = Some(tree.look().await?);
                Ok(content)
            };
            match found.await {
                Ok(content) => return Ok((tree, content)),
                Err(ReadError::ZooKeeper(ZkError::ConnectionLoss)) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn make_shards(&self) -> Result<(), ZkError> {
        let client = self.lock.client();
        let shards = format!("{}/{SHARDS}", self.path);
        client.mkdir(&shards, &self.options).await?;
        let there: BTreeSet<String> = client.list_children(&shards).await?.into_iter().collect();
        let mut writer = self.lock.new_check_writer();
        let mut missing = false;
        for shard in (0..SHARD_COUNT).map(shard_place) {
            if !there.contains(shard.trim_start_matches(SHARDS).trim_start_matches('/')) {
                writer.add_create(&format!("{}/{shard}", self.path), &[], &self.options)?;
                missing = true;
            }
        }
        if missing { Ok(writer.commit().await.map(drop)?) } else { Ok(()) }
    }

    async fn look(&self) -> Result<BTreeSet<String>, ZkError> {
        let client = self.lock.client();
        let mut names: BTreeSet<String> = names_in_shards(client, &self.path).await?.into_iter().collect();
        for name in [FRAMEWORK, FRAMEWORK_1] {
            if client.check_stat(&format!("{}/{name}", self.path)).await?.is_some() {
                names.insert(name.to_owned());
            }
        }
        Ok(names)
    }

    async fn write(&self, present: &BTreeSet<String>, writes: &[Write]) -> Result<(), ZkError> {
        let mut writer = self.lock.new_check_writer();
        for Write { name, data } in writes {
            let place = format!("{}/{}", self.path, place(name));
            match (data, present.contains(name)) {
                (Some(data), true) => writer.add_set_data(&place, data, None)?,
                (Some(data), false) => writer.add_create(&place, data, &self.options)?,
                (None, true) => writer.add_delete(&place, None)?,
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
                self.lease.lose(error.to_string());
                WriteError::Deposed
            }
            error => WriteError::Again(error.to_string()),
        }
    }
}

impl Tree for ZooKeeper {
    async fn commit(&mut self, transactions: &[&[Write]]) -> Vec<Result<(), WriteError>> {
        let present = match self.present.take() {
            Some(present) => Ok(present),
            None => self.look().await,
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
        for Write { name, data } in written.flat_map(|(writes, _)| *writes) {
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

/// Reads all that is there.
pub(super) async fn read(client: &Client, path: &str) -> Result<Content, ReadError> {
    let framework = get(client, &format!("{path}/{FRAMEWORK}")).await?;
    let format = framework.as_deref().map(tree_state::format).transpose()?;
    let (mut nodes, mut unfinished) = (BTreeMap::new(), Vec::new());
    if format.is_none_or(|format| format == 1) {
        unfinished = names_in_shards(client, path).await?;
    }
    match format {
        None => {}
        Some(1) => {
            let names = children(client, &format!("{path}/{TASKS_1}")).await?;
            read_nodes(client, names, |name| format!("{path}/{TASKS_1}/{name}"), &mut nodes).await?;
        }
        Some(_) => {
            let names = names_in_shards(client, path).await?;
            read_nodes(client, names, |name| format!("{path}/{}", place(name)), &mut nodes).await?;
        }
    }
    Ok(Content { framework, nodes, unfinished })
}

/// The names of all nodes in the shards. One in a shard where it does not belong is not of this program's making.
async fn names_in_shards(client: &Client, path: &str) -> Result<Vec<String>, ZkError> {
    let shards: Vec<String> =
        (0..SHARD_COUNT).map(|shard| format!("{path}/{}", shard_place(shard))).collect();
    let found = join_all(shards.iter().map(|shard| children(client, shard))).await;
    let mut names = Vec::new();
    for (place, found) in (0..SHARD_COUNT).zip(found) {
        names.extend(found?.into_iter().filter(|name| shard(name) == place));
    }
    Ok(names)
}

async fn read_nodes(
    client: &Client,
    names: Vec<String>,
    place: impl Fn(&str) -> String,
    nodes: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), ZkError> {
    for names in names.chunks(ASK) {
        let places: Vec<String> = names.iter().map(|name| place(name)).collect();
        let answers = join_all(places.iter().map(|place| get(client, place))).await;
        for (name, answer) in names.iter().zip(answers) {
            nodes.extend(answer?.map(|data| (name.clone(), data)));
        }
    }
    Ok(())
}

async fn get(client: &Client, place: &str) -> Result<Option<Vec<u8>>, ZkError> {
    match client.get_data(place).await {
        Ok((data, _)) => Ok(Some(data)),
        Err(ZkError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn children(client: &Client, place: &str) -> Result<Vec<String>, ZkError> {
    match client.list_children(place).await {
        Err(ZkError::NoNode) => Ok(Vec::new()),
        names => names,
    }
}
