//! The only I/O with ZooKeeper: keeps an eye on the candidates, session after session.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch::Sender;
use tokio::time::timeout;
use zookeeper_client::{Client, Error as ZkError, EventType, OneshotWatcher, SessionState, WatchedEvent};

use super::{DetectError, Seen, leader};
use crate::backoff::Backoff;
use crate::zookeeper::Ensemble;

/// What masters and agents ask for by default, too.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest pause between two sessions.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// When to look again at what makes no sense, if nothing changes before.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Publishes what there is to see, for ever.
pub(super) async fn run(ensemble: Ensemble, by_name: bool, seen: Sender<Seen>) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    loop {
        let Err(error) = session(&ensemble, by_name, &seen, &mut backoff).await;
        tracing::debug!(%ensemble, ?error, "no session with ZooKeeper");
        // Whoever led last may well lead on: its session is another one.
        seen.send_modify(|seen| seen.trouble = Some(error));
        tokio::time::sleep(backoff.delay()).await;
    }
}

/// One session, until it is lost. Losing a connection for a moment does not end it: the client sees to that.
async fn session(
    ensemble: &Ensemble,
    by_name: bool,
    seen: &Sender<Seen>,
    backoff: &mut Backoff,
) -> Result<Infallible, DetectError> {
    let failed = |source| match source {
        ZkError::NoAuth | ZkError::AuthFailed => DetectError::Forbidden { ensemble: ensemble.clone() },
        source => DetectError::Unreachable { ensemble: ensemble.clone(), source },
    };
    let client = ensemble.connect(SESSION_TIMEOUT).await.map_err(failed)?;
    loop {
        let (now, watcher) = look(&client, ensemble, by_name).await.map_err(failed)?;
        backoff.reset();
        let unclear = matches!(now.trouble, Some(DetectError::Unreadable { .. }));
        if let Some(leader) = &now.leader {
            tracing::debug!(address = %leader.address, id = leader.id, "leader");
        }
        seen.send_replace(now);
        let patience = if unclear { SECOND_LOOK } else { Duration::MAX };
        if let Some(lost) = timeout(patience, watcher.changed()).await.ok().and_then(lost) {
            return Err(failed(lost));
        }
    }
}

/// Who leads now, and what tells when to look again.
async fn look(
    client: &Client,
    ensemble: &Ensemble,
    by_name: bool,
) -> Result<(Seen, OneshotWatcher), ZkError> {
    loop {
        let path = ensemble.path();
        let none = |trouble| Seen { leader: None, trouble: Some(trouble) };
        let (nodes, watcher) = match client.list_and_watch_children(path).await {
            Ok(found) => found,
            Err(ZkError::NoNode) => {
                let (stat, watcher) = client.check_and_watch_stat(path).await?;
                // It may have come in between.
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
            // Gone in between.
            Err(ZkError::NoNode) => continue,
            Err(error) => return Err(error),
        };
        let seen = match leader::read(&data, by_name) {
            Ok(leader) => Seen { leader: Some(leader), trouble: None },
            Err(found) => none(DetectError::Unreadable { node, found }),
        };
        return Ok((seen, watcher));
    }
}

/// Why the session is over, if this says so.
fn lost(event: WatchedEvent) -> Option<ZkError> {
    match (event.event_type, event.session_state) {
        (EventType::Session, SessionState::Expired) => Some(ZkError::SessionExpired),
        (EventType::Session, SessionState::AuthFailed) => Some(ZkError::AuthFailed),
        (EventType::Session, SessionState::Closed) => Some(ZkError::ClientClosed),
        _ => None,
    }
}
