//! Which of several schedulers leads: the one whose ephemeral node in ZooKeeper came first.
//!
//! What keeps a scheduler that no longer leads from doing harm, in this order:
//!
//! 1. Its own clock: it stops before its session can have expired ([`Lease`]).
//! 2. ZooKeeper: launches and acknowledgements wait for a write in its session, and there is none without one.
//! 3. Mesos: it subscribes only after ZooKeeper has said that it leads, and acts only if ZooKeeper says so again
//!    after that. So whoever leads next subscribes later, under the same framework id, and from then on the master
//!    takes no more calls of this one.

mod lease;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use mesos::backoff::Backoff;
use mesos::zookeeper::Ensemble;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error as ZkError, LockOptions, LockPrefix, OwnedLockClient,
};

pub(crate) use self::lease::Lease;
use crate::config::Zk;
use crate::display::Display;

/// First and longest pause between two attempts to get a session.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Time for ZooKeeper to take the end of leadership.
const RELEASE: Duration = Duration::from_secs(2);
/// Part of the node names of Apache Curator's leader election.
const LATCH: &str = "latch-";

/// A scheduler that stands for election, as its node names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    host: String,
    process: u32,
}

impl Candidate {
    fn this() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Candidate { host, process: std::process::id() }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The leadership of this scheduler, for as long as the lease holds.
pub(crate) struct Leadership {
    lock: Arc<OwnedLockClient>,
    lease: Lease,
    ensemble: Ensemble,
    host: String,
    keeper: JoinHandle<()>,
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Leadership {
    /// The session; with every write it checks that the election node still exists.
    pub fn lock(&self) -> &Arc<OwnedLockClient> {
        &self.lock
    }

    /// The time until which it leads.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The ZooKeeper that holds the election.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// This machine's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks ZooKeeper whether it still leads.
    pub async fn confirm(&self) -> bool {
        ask_zookeeper(&self.lock, &self.lease).await
    }

    /// Ends the leadership, so that another scheduler can lead at once.
    pub async fn release(&self) {
        // If this fails, the leadership ends when the session expires.
        let _ = timeout(RELEASE, self.lock.client().delete(self.lock.lock_path(), None)).await;
    }
}

/// Why a term as the leader ended before the framework did.
#[derive(Debug)]
pub(crate) enum TermError {
    /// Another scheduler leads, or may lead; why.
    Deposed(String),
    /// This scheduler cannot go on.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for TermError {
    fn from(error: anyhow::Error) -> Self {
        TermError::Failed(error)
    }
}

impl From<TermError> for anyhow::Error {
    fn from(error: TermError) -> Self {
        match error {
            TermError::Deposed(why) => anyhow::anyhow!(why),
            TermError::Failed(error) => error,
        }
    }
}

/// Asks ZooKeeper whether this scheduler leads. Where it is the only one, it does.
pub(crate) async fn confirm(leadership: Option<&Leadership>) -> Result<(), TermError> {
    match leadership {
        Some(leadership) if !leadership.confirm().await => Err(TermError::Deposed(leadership.lease().why())),
        _ => Ok(()),
    }
}

/// The same, but asks only this scheduler's own clock.
pub(crate) fn check_lease(leadership: Option<&Leadership>) -> Result<(), TermError> {
    match leadership {
        Some(leadership) if !leadership.lease().holds(Instant::now()) => {
            Err(TermError::Deposed(leadership.lease().why()))
        }
        _ => Ok(()),
    }
}

/// Waits until this scheduler no longer leads; why.
pub(crate) async fn lost(leadership: Option<&Leadership>) -> String {
    match leadership {
        Some(leadership) => leadership.lease().lost().await,
        None => std::future::pending().await,
    }
}

/// The permissions of the nodes. With credentials only their owner may touch them: the whole framework depends on them.
pub(crate) fn acls(ensemble: &Ensemble) -> Acls<'static> {
    if ensemble.has_credentials() { Acls::creator_all() } else { Acls::anyone_all() }
}

/// Options for nodes that outlive the session.
pub(crate) fn persistent(ensemble: &Ensemble) -> CreateOptions<'static> {
    CreateMode::Persistent.with_acls(acls(ensemble))
}

/// Stands for election until it wins; `None` if stopped before.
///
/// # Errors
/// If ZooKeeper does not let this scheduler take part, or cannot be reached and `retry` is off.
pub(crate) async fn win(
    zk: &Zk,
    retry: bool,
    display: &Display,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Leadership>> {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let error = match stand(zk, display, &mut backoff, stop).await {
            Ok(won) => return Ok(won),
            Err(error) => error,
        };
        let ensemble = &zk.ensemble;
        if matches!(error, ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidAcl) {
            let advice = "give credentials that may: zk://USER:PASSWORD@HOST:PORT/PATH";
            return Err(error).context(format!("{ensemble} may not be written; {advice}"));
        }
        if !retry {
            return Err(error).context(format!("no session with ZooKeeper at {ensemble}"));
        }
        let pause = backoff.delay();
        let seconds = pause.as_secs_f64();
        display.log(format!("no session with ZooKeeper at {ensemble}, retrying in {seconds:.1} s ({error})"));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// One session, until the election is won or the session lost; `None` if stopped before.
async fn stand(
    zk: &Zk,
    display: &Display,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> Result<Option<Leadership>, ZkError> {
    let sent = Instant::now();
    let client = tokio::select! {
        client = zk.ensemble.connect(zk.session_timeout) => client?,
        () = stop.cancelled() => return Ok(None),
    };
    backoff.reset();
    let folder = format!("{}/election", zk.ensemble.path());
    let candidate = Candidate::this();
    let options = LockOptions::new(acls(&zk.ensemble)).with_ancestor_options(persistent(&zk.ensemble))?;
    let (prefix, content) = (LockPrefix::new_curator(&folder, LATCH)?, candidate.to_json());
    let lock = tokio::select! {
        lock = client.lock(prefix, &content, options) => lock?.into_owned(),
        Err(error) = watch(&client, &folder, &candidate, display) => return Err(error),
        () = stop.cancelled() => {
            // If the node stayed, its turn would come, and nobody would lead until the session expires.
            let _ = timeout(RELEASE, withdraw(&client, &folder)).await;
            return Ok(None);
        }
    };
    let lock = Arc::new(lock);
    let lease = Lease::new(client.session_timeout(), sent);
    // It may have waited for long.
    lease.confirmed(Instant::now());
    if !ask_zookeeper(&lock, &lease).await {
        return Err(ZkError::SessionExpired);
    }
    display.log(format!("leading, as {} says", zk.ensemble));
    let keeper = tokio::spawn(renew(Arc::clone(&lock), lease.clone()));
    Ok(Some(Leadership { lock, lease, ensemble: zk.ensemble.clone(), host: candidate.host, keeper }))
}

/// Deletes the election nodes of this session.
async fn withdraw(client: &Client, folder: &str) -> Result<(), ZkError> {
    for node in client.list_children(folder).await? {
        let path = format!("{folder}/{node}");
        if client.check_stat(&path).await?.is_some_and(|stat| stat.ephemeral_owner == client.session_id().0) {
            // The lock may have deleted it.
            let _ = client.delete(&path, None).await;
        }
    }
    Ok(())
}

/// Logs who leads, whenever that changes.
async fn watch(
    client: &Client,
    folder: &str,
    this: &Candidate,
    display: &Display,
) -> Result<Infallible, ZkError> {
    let mut said = None;
    loop {
        let (nodes, watcher) = match client.list_and_watch_children(folder).await {
            Ok(found) => found,
            // The folder comes with this scheduler's own node.
            Err(ZkError::NoNode | ZkError::ConnectionLoss) => {
                tokio::time::sleep(RETRY.0).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(first) = first(&nodes) {
            let leader = match client.get_data(&format!("{folder}/{first}")).await {
                Ok((data, _)) => serde_json::from_slice::<Candidate>(&data).ok(),
                // It is gone meanwhile: another one leads.
                Err(ZkError::NoNode) => continue,
                Err(ZkError::ConnectionLoss) => None,
                Err(error) => return Err(error),
            };
            if let Some(leader) = leader.filter(|leader| leader != this && said.as_ref() != Some(leader)) {
                display.log(format!("waiting for {} (process {}), which leads", leader.host, leader.process));
                said = Some(leader);
            }
        }
        watcher.changed().await;
    }
}

/// The node that was created first: its name ends with the lowest number.
fn first(nodes: &[String]) -> Option<&String> {
    let number = |node: &String| node.rsplit_once(LATCH).and_then(|(_, number)| number.parse::<u64>().ok());
    nodes.iter().filter_map(|node| Some((number(node)?, node))).min().map(|(_, node)| node)
}

/// Renews the lease, as long as the session lives.
async fn renew(lock: Arc<OwnedLockClient>, lease: Lease) {
    while ask_zookeeper(&lock, &lease).await {
        tokio::time::sleep(lease.length() / 4).await;
    }
}

/// Asks until there is an answer or the lease is over; whether the lease holds then.
async fn ask_zookeeper(lock: &OwnedLockClient, lease: &Lease) -> bool {
    let asking = async {
        loop {
            let sent = Instant::now();
            // A server of ZooKeeper may lag behind; after `sync` it does not.
            let asked = match lock.client().sync(lock.lock_path()).await {
                Ok(()) => lock.client().check_stat(lock.lock_path()).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(Some(_)) => return lease.confirmed(sent),
                Ok(None) => return lease.lose("its node in ZooKeeper is gone".to_owned()),
                Err(ZkError::ConnectionLoss) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => return lease.lose(error.to_string()),
            }
        }
    };
    tokio::select! {
        () = asking => {}
        _ = lease.lost() => {}
    }
    lease.holds(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_leads_whatever_stands_before_it() {
        let nodes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let standing =
            nodes(&["_c_ffff-latch-0000000009", "_c_0000-latch-0000000010", "something", "_c_1-latch-x"]);
        assert_eq!(first(&standing).unwrap(), "_c_ffff-latch-0000000009");
        assert_eq!(first(&nodes(&["something"])), None);
    }
}
