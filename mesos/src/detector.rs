//! Finds the leading master: in a fixed list of masters, or in ZooKeeper.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let detector = mesos::detector::Detector::new("zk://z1,z2,z3/mesos".parse()?);
//! let mut leader = detector.leader_other_than(None).await;
//! loop {
//!     println!("{} leads", leader.address);
//!     leader = detector.leader_other_than(Some(&leader)).await;
//! }
//! # }
//! ```

mod leader;
mod watch;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use text::InWords;
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::leader::Leader;
use crate::address::HostPort;
use crate::masters::Masters;
use crate::zookeeper::{Ensemble, SessionError};

/// Why ZooKeeper names no leader.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// There is no session with ZooKeeper.
    #[error("no session with ZooKeeper at {ensemble}")]
    Unreachable {
        /// The ensemble.
        ensemble: Ensemble,
        /// The cause.
        #[source]
        source: SessionError,
    },
    /// The credentials do not allow reading the node.
    #[error(
        "no permission to read {ensemble}; give credentials with access: zk://USER:PASSWORD@HOST:PORT/PATH"
    )]
    Forbidden {
        /// The ensemble.
        ensemble: Ensemble,
    },
    /// The node does not exist.
    #[error("no master has ever stood for election at {ensemble}; check the path")]
    NoElection {
        /// The ensemble.
        ensemble: Ensemble,
    },
    /// No master stands for election at the moment.
    #[error("no master leads at {ensemble} for the time being")]
    NoCandidate {
        /// The ensemble.
        ensemble: Ensemble,
    },
    /// The leader's node does not describe a master.
    #[error("the node {node} in ZooKeeper does not describe a master: {found}")]
    Unreadable {
        /// The path of the node.
        node: String,
        /// Why the node does not describe a master.
        found: String,
    },
    /// ZooKeeper did not respond in time.
    #[error("{ensemble} has not named a leader within {}", InWords(*.after))]
    Slow {
        /// The ensemble.
        ensemble: Ensemble,
        /// The time limit.
        after: Duration,
    },
}

impl DetectError {
    /// Whether the error may disappear without a change of settings.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Forbidden { .. })
    }
}

/// The state of the election, as last read from ZooKeeper.
#[derive(Debug, Clone, Default)]
struct Election {
    /// The last known leader. An error of the session with ZooKeeper does not reset this field, because the leader may still be
    /// leading.
    leader: Option<Leader>,
    /// Why no leader is known, or why the last known leader may be out of date.
    error: Option<DetectError>,
}

/// Finds the leading master. Clones share the session with ZooKeeper. The session begins with the first query and ends when the
/// last clone is dropped. Must be used within a tokio runtime.
#[derive(Debug, Clone)]
pub struct Detector {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    masters: Masters,
    by_name: bool,
    watch: OnceLock<Watch>,
}

#[derive(Debug)]
struct Watch {
    election: channel::Receiver<Election>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Detector {
    /// A detector for these masters. Does no I/O yet.
    pub fn new(masters: Masters) -> Self {
        Self { shared: Arc::new(Shared { masters, by_name: false, watch: OnceLock::new() }) }
    }

    /// A detector that prefers the leader's host name to its IP address, because certificates contain host names. Does no I/O
    /// yet.
    pub fn by_name(masters: Masters) -> Self {
        Self { shared: Arc::new(Shared { masters, by_name: true, watch: OnceLock::new() }) }
    }

    /// The masters that this detector looks for.
    pub fn masters(&self) -> &Masters {
        &self.shared.masters
    }

    /// The masters to try now, in order: the whole fixed list, or the leader that ZooKeeper names.
    ///
    /// # Errors
    /// When ZooKeeper names no leader within the time limit, or immediately if ZooKeeper cannot be reached or denies access.
    pub async fn candidates(&self, within: Duration) -> Result<Vec<HostPort>, DetectError> {
        let Some(ensemble) = self.masters().ensemble() else {
            return Ok(self.masters().addresses().to_vec());
        };
        let mut election = self.watch(ensemble);
        let failed = |election: &Election| {
            matches!(election.error, Some(DetectError::Unreachable { .. } | DetectError::Forbidden { .. }))
        };
        let waited =
            timeout(within, election.wait_for(|election| election.leader.is_some() || failed(election)))
                .await;
        drop(waited);
        let Election { leader, error } = election.borrow().clone();
        let slow = || DetectError::Slow { ensemble: ensemble.clone(), after: within };
        leader.map(|leader| vec![leader.address]).ok_or_else(|| error.unwrap_or_else(slow))
    }

    /// The leader that ZooKeeper named last; `None` with a fixed list of masters.
    pub fn leader(&self) -> Option<Leader> {
        self.shared.watch.get().and_then(|watch| watch.election.borrow().leader.clone())
    }

    /// Waits until ZooKeeper names a leader other than `known`. If the masters were given as a fixed list, waits for ever. A
    /// restarted master counts as another leader. The future is cancel-safe.
    pub async fn leader_other_than(&self, known: Option<&Leader>) -> Leader {
        if let Some(ensemble) = self.masters().ensemble() {
            let mut election = self.watch(ensemble);
            let new = |election: &Election| election.leader.is_some() && election.leader.as_ref() != known;
            if let Ok(election) = election.wait_for(new).await
                && let Some(leader) = election.leader.clone()
            {
                return leader;
            }
        }
        std::future::pending().await
    }

    /// Waits until the leader differs from the leader at the time of this call. If the masters were given as a fixed list, waits
    /// for ever. A new leader is a reason to end a pause early and subscribe.
    pub fn changed(&self) -> impl Future<Output = Leader> + Send + 'static {
        let (detector, known) = (self.clone(), self.leader());
        async move { detector.leader_other_than(known.as_ref()).await }
    }

    fn watch(&self, ensemble: &Ensemble) -> channel::Receiver<Election> {
        let start = || {
            let (sender, election) = channel::channel(Election::default());
            Watch { election, task: tokio::spawn(watch::run(ensemble.clone(), self.shared.by_name, sender)) }
        };
        self.shared.watch.get_or_init(start).election.clone()
    }
}

#[cfg(test)]
mod tests;
