//! The connected miners, for those who ask: since when, from where, with which program and difficulty.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::accounts::MAX_WORKERS;

/// Maximum length of a user agent, in characters. A miner may send any text.
const MAX_USER_AGENT: usize = 100;

/// One connection of a miner.
#[derive(Debug)]
pub struct MinerSession {
    /// The miner's address.
    pub peer: SocketAddr,
    /// When it connected, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    user_agent: OnceLock<Box<str>>,
    /// The bits of the difficulty; 0 before the miner got one.
    difficulty: AtomicU64,
}

impl MinerSession {
    /// The name and version of its program, if it has sent any.
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.get().map(|agent| &**agent)
    }

    /// The difficulty of its shares; `None` before it got one.
    pub fn difficulty(&self) -> Option<f64> {
        Some(f64::from_bits(self.difficulty.load(Ordering::Relaxed))).filter(|difficulty| *difficulty > 0.0)
    }
}

/// The sessions of each worker with a connection. Shares do not wait for this table.
#[derive(Debug, Default)]
pub struct MinerSessions(Mutex<SessionTable>);

type SessionTable = HashMap<Arc<str>, Vec<Arc<MinerSession>>>;

impl MinerSessions {
    /// The sessions of each worker, oldest first.
    pub fn by_worker(&self) -> HashMap<Arc<str>, Vec<Arc<MinerSession>>> {
        self.lock().clone()
    }

    /// Number of workers with a session.
    pub fn workers(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's entries in the table; dropping the guard removes them.
#[derive(Debug)]
pub struct MinerSessionGuard {
    sessions: Arc<MinerSessions>,
    session: Arc<MinerSession>,
    workers: Vec<Arc<str>>,
}

impl MinerSessionGuard {
    /// A connection without workers.
    pub fn new(sessions: Arc<MinerSessions>, peer: SocketAddr, since_ms: u64) -> Self {
        let (user_agent, difficulty) = (OnceLock::new(), AtomicU64::new(0));
        let session = Arc::new(MinerSession { peer, since_ms, user_agent, difficulty });
        MinerSessionGuard { sessions, session, workers: Vec::new() }
    }

    /// Keeps the name of the miner's program. The first one counts.
    pub fn set_user_agent(&self, agent: &str) {
        self.session.user_agent.get_or_init(|| agent.chars().take(MAX_USER_AGENT).collect());
    }

    /// Sets the difficulty of the miner's shares.
    pub fn set_difficulty(&self, difficulty: f64) {
        self.session.difficulty.store(difficulty.to_bits(), Ordering::Relaxed);
    }

    /// Adds the connection to the sessions of a worker. Miners choose the names, so there is a limit to their number: as many as there
    /// are accounts.
    pub fn add_worker(&mut self, worker: Arc<str>) {
        let mut table = self.sessions.lock();
        if table.len() >= MAX_WORKERS && !table.contains_key(&worker) {
            return;
        }
        table.entry(worker.clone()).or_default().push(self.session.clone());
        self.workers.push(worker);
    }
}

impl Drop for MinerSessionGuard {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        for worker in &self.workers {
            if let Some(sessions) = table.get_mut(worker) {
                sessions.retain(|session| !Arc::ptr_eq(session, &self.session));
                if sessions.is_empty() {
                    table.remove(worker);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(sessions: &Arc<MinerSessions>, port: u16) -> MinerSessionGuard {
        MinerSessionGuard::new(sessions.clone(), ([127, 0, 0, 1], port).into(), 7)
    }

    fn ports(sessions: &MinerSessions, worker: &str) -> Vec<u16> {
        let table = sessions.by_worker();
        table.get(worker).into_iter().flatten().map(|session| session.peer.port()).collect()
    }

    #[test]
    fn a_worker_has_the_sessions_of_its_connections_until_they_end() {
        let sessions = Arc::default();
        let (mut first, mut second) = (guard(&sessions, 1), guard(&sessions, 2));
        first.add_worker("a".into());
        second.add_worker("a".into());
        second.add_worker("b".into());
        assert_eq!((ports(&sessions, "a"), ports(&sessions, "b")), (vec![1, 2], vec![2]));
        drop(first);
        assert_eq!(ports(&sessions, "a"), [2]);
        drop(second);
        assert!(sessions.by_worker().is_empty());
    }

    #[test]
    fn a_session_says_what_its_miner_has_sent_and_got() {
        let sessions = Arc::default();
        let mut guard = guard(&sessions, 1);
        guard.add_worker("a".into());
        let session = sessions.by_worker()["a"][0].clone();
        assert_eq!((session.user_agent(), session.difficulty(), session.since_ms), (None, None, 7));
        for (agent, difficulty) in [("é".repeat(500), 0.5), ("other".to_owned(), 2.0)] {
            guard.set_user_agent(&agent);
            guard.set_difficulty(difficulty);
            assert_eq!(session.difficulty(), Some(difficulty));
        }
        assert_eq!(session.user_agent(), Some(&*"é".repeat(MAX_USER_AGENT)));
    }

    #[test]
    fn names_are_limited() {
        let sessions = Arc::default();
        let mut guard = guard(&sessions, 1);
        (0..MAX_WORKERS + 3).for_each(|name| guard.add_worker(name.to_string().into()));
        assert_eq!(sessions.by_worker().len(), MAX_WORKERS);
        guard.add_worker("0".into());
        drop(guard);
        assert!(sessions.by_worker().is_empty());
    }
}
