//! Who leads: a fixed list of masters to be asked, or whom ZooKeeper names.
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

use tokio::sync::watch as channel;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::leader::Leader;
use crate::address::HostPort;
use crate::masters::Masters;
use crate::zookeeper::Ensemble;

/// Why there is no leader to be had from ZooKeeper.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// No session with ZooKeeper.
    #[error("no session with ZooKeeper at {ensemble}")]
    Unreachable {
        /// Which one.
        ensemble: Ensemble,
        /// Why.
        #[source]
        source: zookeeper_client::Error,
    },
    /// It does not let us read.
    #[error("{ensemble} may not be read; give credentials that may: zk://USER:PASSWORD@HOST:PORT/PATH")]
    Forbidden {
        /// What.
        ensemble: Ensemble,
    },
    /// There is no such node.
    #[error("no master has ever stood for election at {ensemble}; check the path")]
    NoElection {
        /// Where.
        ensemble: Ensemble,
    },
    /// Nobody stands for election, for the time being.
    #[error("no master leads at {ensemble} for the time being")]
    NoCandidate {
        /// Where.
        ensemble: Ensemble,
    },
    /// The leader describes itself in a way that is not understood.
    #[error("the node {node} in ZooKeeper does not describe a master: {found}")]
    Unreadable {
        /// Its path.
        node: String,
        /// What is odd about it.
        found: String,
    },
    /// ZooKeeper is slow.
    #[error("{ensemble} has not named a leader within {after:?}")]
    Slow {
        /// Where.
        ensemble: Ensemble,
        /// The time limit.
        after: Duration,
    },
}

impl DetectError {
    /// Whether time alone may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Forbidden { .. })
    }
}

/// What ZooKeeper has said so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Stays during troubles with ZooKeeper: the leader need not have them.
    leader: Option<Leader>,
    /// Why no leader is known, or why what is known may be out of date.
    trouble: Option<DetectError>,
}

/// Knows whom to ask for the leader. Clones share the session with ZooKeeper, which begins with the first
/// question and ends with the last clone. Must be used within a tokio runtime.
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
    seen: channel::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Detector {
    /// Does nothing yet.
    pub fn new(masters: Masters) -> Self {
        Self { shared: Arc::new(Shared { masters, by_name: false, watch: OnceLock::new() }) }
    }

    /// Prefers leaders' host names to their IP addresses, as certificates do. Does nothing yet.
    pub fn by_name(masters: Masters) -> Self {
        Self { shared: Arc::new(Shared { masters, by_name: true, watch: OnceLock::new() }) }
    }

    /// Where it looks.
    pub fn masters(&self) -> &Masters {
        &self.shared.masters
    }

    /// Whom to ask now, one after the other: the whole fixed list, or the leader alone as ZooKeeper names it.
    ///
    /// # Errors
    /// When ZooKeeper does not name one within the time limit; at once if it cannot be asked.
    pub async fn candidates(&self, within: Duration) -> Result<Vec<HostPort>, DetectError> {
        let Some(ensemble) = self.masters().ensemble() else {
            return Ok(self.masters().addresses().to_vec());
        };
        let mut seen = self.watch(ensemble);
        let hopeless = |seen: &Seen| {
            matches!(seen.trouble, Some(DetectError::Unreachable { .. } | DetectError::Forbidden { .. }))
        };
        let waited = timeout(within, seen.wait_for(|seen| seen.leader.is_some() || hopeless(seen))).await;
        drop(waited);
        let Seen { leader, trouble } = seen.borrow().clone();
        let slow = || DetectError::Slow { ensemble: ensemble.clone(), after: within };
        leader.map(|leader| vec![leader.address]).ok_or_else(|| trouble.unwrap_or_else(slow))
    }

    /// The leader as ZooKeeper has named it last; `None` with a fixed list.
    pub fn leader(&self) -> Option<Leader> {
        self.shared.watch.get().and_then(|watch| watch.seen.borrow().leader.clone())
    }

    /// Waits until ZooKeeper names a leader other than that one; with a fixed list, for ever.
    /// A master that was started anew counts as another one. Cancelling the future does no harm.
    pub async fn leader_other_than(&self, known: Option<&Leader>) -> Leader {
        if let Some(ensemble) = self.masters().ensemble() {
            let mut seen = self.watch(ensemble);
            let new = |seen: &Seen| seen.leader.is_some() && seen.leader.as_ref() != known;
            if let Ok(seen) = seen.wait_for(new).await
                && let Some(leader) = seen.leader.clone()
            {
                return leader;
            }
        }
        std::future::pending().await
    }

    /// Waits until ZooKeeper names a leader other than the one at the time of this call, as a reason to try
    /// again before a pause is over; with a fixed list, for ever.
    pub fn changed(&self) -> impl Future<Output = Leader> + Send + 'static {
        let (detector, known) = (self.clone(), self.leader());
        async move { detector.leader_other_than(known.as_ref()).await }
    }

    fn watch(&self, ensemble: &Ensemble) -> channel::Receiver<Seen> {
        let start = || {
            let (sender, seen) = channel::channel(Seen::default());
            Watch { seen, task: tokio::spawn(watch::run(ensemble.clone(), self.shared.by_name, sender)) }
        };
        self.shared.watch.get_or_init(start).seen.clone()
    }
}

#[cfg(test)]
mod tests;
