//! The election among several schedulers: the one whose ephemeral node in ZooKeeper has the lowest number leads.
//!
//! Three things keep a former leader from doing harm, in this order:
//!
//! 1. Its own clock: a leader stops before its session can have expired ([`Lease`]).
//! 2. ZooKeeper: the leader sends launches and acknowledgements only after a write to ZooKeeper in its session. The write fails
//!    once the session has expired.
//! 3. Mesos: a scheduler subscribes only after ZooKeeper has confirmed that it leads, and acts on the subscription only after a
//!    second confirmation. So the next leader subscribes after the former leader, with the same framework id. From then on, the
//!    master refuses the former leader's calls.

mod lease;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use mesos::backoff::Backoff;
use mesos::zookeeper::{Ensemble, SessionError};
use serde::{Deserialize, Serialize};
use text::InWords;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error as ZkError, LockOptions, LockPrefix, OwnedLockClient,
};

pub(crate) use self::lease::Lease;
use crate::display::Display;
use crate::query::{SchedulerPhase, Standby};
use crate::subscription_problem::no_election;

/// The first and the longest pause between two attempts to open a session.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How long a scheduler that leaves the election waits for ZooKeeper to delete its election node. If ZooKeeper does not answer in
/// time, the node disappears only when the session expires.
const RELEASE: Duration = Duration::from_secs(2);
/// The name of an election node without the number at its end, as in Apache Curator's leader latch.
const LATCH: &str = "latch-";

/// Where several schedulers hold their election and share their state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZkConfig {
    /// The ZooKeeper servers, and the path below which the schedulers create their nodes.
    pub ensemble: Ensemble,
    /// ZooKeeper ends a leader's session, and so its leadership, if it has received nothing from the leader for this time.
    pub session_timeout: Duration,
}

/// A scheduler that stands for election: the content of its election node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    host: String,
    process: u32,
    /// The address of its HTTP API, if others can reach one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<String>,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { host, process, http } = self;
        write!(f, "{host} (process {process}")?;
        http.iter().try_for_each(|http| write!(f, ", {http}"))?;
        f.write_str(")")
    }
}

impl Candidate {
    fn this_process(http: Option<&str>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Candidate { host, process: std::process::id(), http: http.map(str::to_owned) }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// This scheduler's leadership. It is valid while the lease is valid.
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
    /// The client of the leader's ZooKeeper session. Each write through this client also checks that the election node still
    /// exists.
    pub fn lock(&self) -> &Arc<OwnedLockClient> {
        &self.lock
    }

    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The ZooKeeper ensemble that is used for the election.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// This machine's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Ends the leadership immediately, so that another scheduler need not wait until the session expires.
    pub async fn release(&self) {
        // If this fails, the node disappears when the session expires.
        let _ = timeout(RELEASE, self.lock.client().delete(self.lock.lock_path(), None)).await;
    }
}

/// Why a scheduler stopped running the framework before the framework ended.
#[derive(Debug)]
pub(crate) enum RunError {
    /// This scheduler has lost the leadership, or may have lost it, for this reason.
    LeadershipLost(String),
    /// This scheduler cannot continue, because of this error.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for RunError {
    fn from(error: anyhow::Error) -> Self {
        RunError::Failed(error)
    }
}

impl From<RunError> for anyhow::Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::LeadershipLost(why) => anyhow::anyhow!(why),
            RunError::Failed(error) => error,
        }
    }
}

/// Asks ZooKeeper whether this scheduler still leads. Without an election (`None`), a scheduler always leads.
pub(crate) async fn confirm(leadership: Option<&Leadership>) -> Result<(), RunError> {
    if let Some(Leadership { lock, lease, .. }) = leadership {
        ask_zookeeper(lock, lease).await;
    }
    check_lease(leadership)
}

/// Asks only this scheduler's own clock whether it still leads.
pub(crate) fn check_lease(leadership: Option<&Leadership>) -> Result<(), RunError> {
    match leadership {
        Some(Leadership { lease, .. }) if !lease.is_valid(Instant::now()) => {
            Err(RunError::LeadershipLost(lease.why()))
        }
        _ => Ok(()),
    }
}

/// Waits until this scheduler no longer leads, and returns the reason.
pub(crate) async fn lost(leadership: Option<&Leadership>) -> String {
    match leadership {
        Some(leadership) => leadership.lease().ended().await,
        None => std::future::pending().await,
    }
}

/// The permissions of the nodes. If there are credentials, only their owner has access, because whoever changes the nodes changes
/// the framework's state.
pub(crate) fn acls(ensemble: &Ensemble) -> Acls<'static> {
    if ensemble.has_credentials() { Acls::creator_all() } else { Acls::anyone_all() }
}

/// The options of nodes that outlive the session.
pub(crate) fn persistent(ensemble: &Ensemble) -> CreateOptions<'static> {
    CreateMode::Persistent.with_acls(acls(ensemble))
}

/// Stands for election until this scheduler leads. Returns `None` if `stop` is cancelled before it leads. `http` is the address of this
/// scheduler's HTTP API, if others can reach one: those that stand by tell it to those who ask them.
///
/// # Errors
/// If ZooKeeper denies access, or cannot be reached and `retry` is off.
pub(crate) async fn win(
    zk: &ZkConfig,
    http: Option<&str>,
    retry: bool,
    display: &Display,
    phase: &watch::Sender<SchedulerPhase>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Leadership>> {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let error = match stand(zk, http, display, phase, &mut backoff, stop).await {
            Ok(won) => return Ok(won),
            Err(error) => error,
        };
        let ensemble = &zk.ensemble;
        if let SessionError::ZooKeeper(ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidAcl) = error {
            let advice = "give credentials with access: zk://USER:PASSWORD@HOST:PORT/PATH";
            return Err(error).context(format!("no permission to write at {ensemble}; {advice}"));
        }
        if !retry {
            return Err(error).context(format!("no session with ZooKeeper at {ensemble}"));
        }
        let problem = Some(no_election(ensemble, &error));
        phase.send_replace(SchedulerPhase::Standby(Standby { problem, leader: None }));
        let pause = backoff.delay();
        let next = InWords(pause);
        display.warn(format!("no session with ZooKeeper at {ensemble}, retrying in {next} ({error})"));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// Opens a session and waits in it until this scheduler leads. Returns `None` if `stop` is cancelled before it leads.
async fn stand(
    zk: &ZkConfig,
    http: Option<&str>,
    display: &Display,
    phase: &watch::Sender<SchedulerPhase>,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> Result<Option<Leadership>, SessionError> {
    let sent = Instant::now();
    let client = tokio::select! {
        client = zk.ensemble.connect(zk.session_timeout) => client?,
        () = stop.cancelled() => return Ok(None),
    };
    backoff.reset();
    phase.send_replace(SchedulerPhase::Standby(Standby::default()));
    let folder = format!("{}/election", zk.ensemble.path());
    let candidate = Candidate::this_process(http);
    let options = LockOptions::new(acls(&zk.ensemble)).with_ancestor_options(persistent(&zk.ensemble))?;
    let (prefix, content) = (LockPrefix::new_curator(&folder, LATCH)?, candidate.to_json());
    let lock = tokio::select! {
        lock = client.lock(prefix, &content, options) => lock?.into_owned(),
        Err(error) = log_leaders(&client, &folder, &candidate, display, phase) => return Err(error.into()),
        () = stop.cancelled() => {
            // If this scheduler's election node stayed, it could become the node with the lowest number. Then no scheduler would
            // lead until the session expires.
            let _ = timeout(RELEASE, withdraw(&client, &folder)).await;
            return Ok(None);
        }
    };
    let lock = Arc::new(lock);
    let lease = Lease::new(client.session_timeout(), sent);
    // Waiting for the lock may have taken longer than a lease lasts, so the lease starts now.
    lease.renew(Instant::now());
    if !ask_zookeeper(&lock, &lease).await {
        return Err(ZkError::SessionExpired.into());
    }
    display.log(format!("this scheduler leads, according to {}", zk.ensemble));
    let keeper = tokio::spawn(renew(Arc::clone(&lock), lease.clone()));
    Ok(Some(Leadership { lock, lease, ensemble: zk.ensemble.clone(), host: candidate.host, keeper }))
}

/// Deletes the election nodes that this session has created.
async fn withdraw(client: &Client, folder: &str) -> Result<(), ZkError> {
    for node in client.list_children(folder).await? {
        let path = format!("{folder}/{node}");
        if client.check_stat(&path).await?.is_some_and(|stat| stat.ephemeral_owner == client.session_id().0) {
            // The lock client may have deleted the node already.
            let _ = client.delete(&path, None).await;
        }
    }
    Ok(())
}

/// Logs the leader's name whenever it changes, and publishes it with the scheduler's phase.
async fn log_leaders(
    client: &Client,
    folder: &str,
    this: &Candidate,
    display: &Display,
    phase: &watch::Sender<SchedulerPhase>,
) -> Result<Infallible, ZkError> {
    let mut logged = None;
    loop {
        let (nodes, watcher) = match client.list_and_watch_children(folder).await {
            Ok(found) => found,
            // Try again: the election folder is created together with this scheduler's own election node, and a lost connection
            // is opened again.
            Err(ZkError::NoNode | ZkError::ConnectionLoss) => {
                tokio::time::sleep(RETRY.0).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(node) = leading_node(&nodes) {
            let leader = match client.get_data(&format!("{folder}/{node}")).await {
                Ok((data, _)) => serde_json::from_slice::<Candidate>(&data).ok(),
                // The leader's node was deleted after the nodes were listed, so list the nodes again.
                Err(ZkError::NoNode) => continue,
                Err(ZkError::ConnectionLoss) => None,
                Err(error) => return Err(error),
            };
            if let Some(leader) = leader.filter(|leader| leader != this && logged.as_ref() != Some(leader)) {
                display.log(format!("waiting for {leader}, which leads"));
                let leader_text = Some(leader.to_string());
                phase.send_replace(SchedulerPhase::Standby(Standby { problem: None, leader: leader_text }));
                logged = Some(leader);
            }
        }
        watcher.changed().await;
    }
}

/// The leader's node: the one whose name ends with the lowest number.
fn leading_node(nodes: &[String]) -> Option<&String> {
    let number = |node: &String| node.rsplit_once(LATCH).and_then(|(_, number)| number.parse::<u64>().ok());
    nodes.iter().filter_map(|node| Some((number(node)?, node))).min().map(|(_, node)| node)
}

/// Renews the lease while the session lasts.
async fn renew(lock: Arc<OwnedLockClient>, lease: Lease) {
    while ask_zookeeper(&lock, &lease).await {
        tokio::time::sleep(lease.length() / 4).await;
    }
}

/// Asks ZooKeeper whether this scheduler's election node exists, until ZooKeeper answers or the lease has ended. Returns
/// whether the lease is still valid.
async fn ask_zookeeper(lock: &OwnedLockClient, lease: &Lease) -> bool {
    let asking = async {
        loop {
            let sent = Instant::now();
            // A ZooKeeper server may have old data; `sync` brings it up to date.
            let asked = match lock.client().sync(lock.lock_path()).await {
                Ok(()) => lock.client().check_stat(lock.lock_path()).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(Some(_)) => return lease.renew(sent),
                Ok(None) => return lease.end("the election node in ZooKeeper is gone".to_owned()),
                Err(ZkError::ConnectionLoss) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => return lease.end(error.to_string()),
            }
        }
    };
    tokio::select! {
        () = asking => {}
        _ = lease.ended() => {}
    }
    lease.is_valid(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_leads_whatever_the_prefix() {
        let nodes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let standing =
            nodes(&["_c_ffff-latch-0000000009", "_c_0000-latch-0000000010", "something", "_c_1-latch-x"]);
        assert_eq!(leading_node(&standing).unwrap(), "_c_ffff-latch-0000000009");
        assert_eq!(leading_node(&nodes(&["something"])), None);
    }
}
