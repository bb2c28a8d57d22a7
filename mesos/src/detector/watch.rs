//! Watches the candidates in ZooKeeper. When the session with ZooKeeper is lost, starts a new session. This is the detector's
//! only I/O.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch::Sender;
use tokio::time::timeout;
use zookeeper_client::{Client, Error as ZkError, EventType, OneshotWatcher, SessionState, WatchedEvent};

use super::{DetectError, Election, leader};
use crate::backoff::Backoff;
use crate::zookeeper::{Ensemble, SessionError};

/// The timeout of a session with ZooKeeper; the default of Mesos' masters and agents.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest pause before a new session with ZooKeeper, after a session was lost or could not be opened.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A leader's node that does not describe a master is read again after this time, or as soon as the election changes.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Publishes the state of the election for ever.
pub(super) async fn run(ensemble: Ensemble, by_name: bool, election: Sender<Election>) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let Err(error) = session(&ensemble, by_name, &election, &mut backoff).await;
        tracing::debug!(%ensemble, ?error, "no session with ZooKeeper");
        // Keep the last known leader: the leader's own session with ZooKeeper may still be alive.
        election.send_modify(|election| election.error = Some(error));
        tokio::time::sleep(backoff.delay()).await;
    }
}

/// Runs one session until the session is lost. Within a session, the client reconnects by itself.
async fn session(
    ensemble: &Ensemble,
    by_name: bool,
    election: &Sender<Election>,
    backoff: &mut Backoff,
) -> Result<Infallible, DetectError> {
    let failed = |source: SessionError| match source {
        SessionError::ZooKeeper(ZkError::NoAuth | ZkError::AuthFailed) => {
            DetectError::Forbidden { ensemble: ensemble.clone() }
        }
        source => DetectError::Unreachable { ensemble: ensemble.clone(), source },
    };
    let client = ensemble.connect(SESSION_TIMEOUT).await.map_err(failed)?;
    loop {
        let (now, watcher) =
            read_election(&client, ensemble, by_name).await.map_err(SessionError::from).map_err(failed)?;
        backoff.reset();
        let unreadable = matches!(now.error, Some(DetectError::Unreadable { .. }));
        if let Some(leader) = &now.leader {
            tracing::debug!(address = %leader.address, id = leader.id, "leader");
        }
        election.send_replace(now);
        let limit = if unreadable { READ_AGAIN } else { Duration::MAX };
        if let Some(lost) = timeout(limit, watcher.changed()).await.ok().and_then(lost) {
            return Err(failed(lost.into()));
        }
    }
}

/// The state of the election now, and a watch on its next change.
async fn read_election(
    client: &Client,
    ensemble: &Ensemble,
    by_name: bool,
) -> Result<(Election, OneshotWatcher), ZkError> {
    loop {
        let path = ensemble.path();
        let none = |error| Election { leader: None, error: Some(error) };
        let (nodes, watcher) = match client.list_and_watch_children(path).await {
            Ok(found) => found,
            Err(ZkError::NoNode) => {
                let (stat, watcher) = client.check_and_watch_stat(path).await?;
                // If the node has been created in the meantime, list the candidates again.
                if stat.is_some() {
                    continue;
                }
                return Ok((none(DetectError::NoElection { ensemble: ensemble.clone() }), watcher));
            }
            Err(error) => return Err(error),
        };
        let Some(first) = leader::first(&nodes) else {
            return Ok((none(DetectError::NoCandidate { ensemble: ensemble.clone() }), watcher));
        };
        let node = format!("{path}/{first}");
        let data = match client.get_data(&node).await {
            Ok((data, _)) => data,
            // The candidate's node has been deleted in the meantime: list the candidates again.
            Err(ZkError::NoNode) => continue,
            Err(error) => return Err(error),
        };
        let election = match leader::read(&data, by_name) {
            Ok(leader) => Election { leader: Some(leader), error: None },
            Err(found) => none(DetectError::Unreadable { node, found }),
        };
        return Ok((election, watcher));
    }
}

/// The reason why this event ends the session; `None` if the session continues.
fn lost(event: WatchedEvent) -> Option<ZkError> {
    match (event.event_type, event.session_state) {
        (EventType::Session, SessionState::Expired) => Some(ZkError::SessionExpired),
        (EventType::Session, SessionState::AuthFailed) => Some(ZkError::AuthFailed),
        (EventType::Session, SessionState::Closed) => Some(ZkError::ClientClosed),
        _ => None,
    }
}
