//! The only I/O with ZooKeeper's nodes: read once by who begins to lead, then only written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use zookeeper_client::{Client, CreateOptions, Error as ZkError, OwnedLockClient};

use super::mirror::{HEAD, Write};
use crate::election::{Leadership, Lease, persistent};

/// So many nodes are asked for at once.
const ASK: usize = 100;
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// Why a write came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    /// Another scheduler leads, or may lead.
    Deposed,
    /// Worth another try.
    Again(String),
}

/// Where nodes are written. All writes of a call come about, or none.
pub(super) trait Tree: Send {
    fn commit(&mut self, writes: &[Write]) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// The head's content and that of the nodes below `tasks`.
pub(super) type Content = (Option<Vec<u8>>, BTreeMap<String, Vec<u8>>);

pub(super) struct ZooKeeper {
    lock: Arc<OwnedLockClient>,
    lease: Lease,
    path: String,
    options: CreateOptions<'static>,
    /// The nodes that there are; `None` after a write of which nobody knows whether it came about.
    present: Option<BTreeSet<String>>,
}

impl ZooKeeper {
    /// Makes the folder of the tasks, and reads all that is there.
    pub async fn open(leadership: &Leadership) -> Result<(ZooKeeper, Content), ZkError> {
        let ensemble = leadership.ensemble();
        let mut tree = ZooKeeper {
            lock: Arc::clone(leadership.lock()),
            lease: leadership.lease().clone(),
            path: ensemble.path().to_owned(),
            options: persistent(ensemble),
            present: None,
        };
        let tasks = format!("{}/tasks", tree.path);
        loop {
            let found = async {
                tree.lock.client().mkdir(&tasks, &tree.options).await?;
                read(tree.lock.client(), &tree.path).await
            };
            match found.await {
                Ok(content) => {
                    let names = content.1.keys().cloned().chain(content.0.is_some().then(|| HEAD.to_owned()));
                    tree.present = Some(names.collect());
                    return Ok((tree, content));
                }
                Err(ZkError::ConnectionLoss) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    fn place(&self, name: &str) -> String {
        if name == HEAD { format!("{}/{HEAD}", self.path) } else { format!("{}/tasks/{name}", self.path) }
    }

    async fn look(&self) -> Result<BTreeSet<String>, ZkError> {
        let client = self.lock.client();
        let mut names: BTreeSet<String> =
            client.list_children(&format!("{}/tasks", self.path)).await?.into_iter().collect();
        if client.check_stat(&self.place(HEAD)).await?.is_some() {
            names.insert(HEAD.to_owned());
        }
        Ok(names)
    }

    async fn write(&self, present: &BTreeSet<String>, writes: &[Write]) -> Result<(), ZkError> {
        let mut writer = self.lock.new_check_writer();
        for Write { name, data } in writes {
            let place = self.place(name);
            match (data, present.contains(name)) {
                (Some(data), true) => writer.add_set_data(&place, data, None)?,
                (Some(data), false) => writer.add_create(&place, data, &self.options)?,
                (None, true) => writer.add_delete(&place, None)?,
                (None, false) => {}
            }
        }
        Ok(writer.commit().await.map(drop)?)
    }
}

impl Tree for ZooKeeper {
    async fn commit(&mut self, writes: &[Write]) -> Result<(), WriteError> {
        let tried = async {
            let mut present = match self.present.take() {
                Some(present) => present,
                None => self.look().await?,
            };
            self.write(&present, writes).await?;
            for Write { name, data } in writes {
                match data {
                    Some(_) => present.insert(name.clone()),
                    None => present.remove(name),
                };
            }
            Ok(present)
        };
        match tried.await {
            Ok(present) => {
                self.present = Some(present);
                Ok(())
            }
            Err(
                error @ (ZkError::SessionExpired
                | ZkError::SessionMoved
                | ZkError::ClientClosed
                | ZkError::RuntimeInconsistent),
            ) => {
                self.lease.lose(error.to_string());
                Err(WriteError::Deposed)
            }
            Err(error) => Err(WriteError::Again(error.to_string())),
        }
    }
}

/// Reads all that is there.
pub(super) async fn read(client: &Client, path: &str) -> Result<Content, ZkError> {
    let found = |found: Result<(Vec<u8>, _), ZkError>| match found {
        Ok((data, _)) => Ok(Some(data)),
        Err(ZkError::NoNode) => Ok(None),
        Err(error) => Err(error),
    };
    let head = found(client.get_data(&format!("{path}/{HEAD}")).await)?;
    let tasks = format!("{path}/tasks");
    let names = match client.list_children(&tasks).await {
        Err(ZkError::NoNode) => Vec::new(),
        names => names?,
    };
    let mut nodes = BTreeMap::new();
    for names in names.chunks(ASK) {
        let asked = names.iter().map(|name| client.get_data(&format!("{tasks}/{name}")));
        for (name, answer) in names.iter().zip(join_all(asked.collect::<Vec<_>>()).await) {
            nodes.extend(found(answer)?.map(|data| (name.clone(), data)));
        }
    }
    Ok((head, nodes))
}
