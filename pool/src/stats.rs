//! Counters of the whole pool, and sums over its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bitcoin::BlockHash;
use tokio::sync::watch;

/// Counts since the pool started. Each change wakes the subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Number of judged shares, whatever the verdict.
    pub shares: u64,
    /// Number of found blocks that a node, or the built-in chain, has accepted in this run of the pool.
    pub blocks: u64,
    /// How many of them have left the node's chain, less those that have come back.
    pub orphaned: u64,
    /// Height and hash of the last accepted block.
    pub last_block: Option<(u32, BlockHash)>,
}

/// Sums over all connections.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    authorized: AtomicU32,
    /// The sum of the hashrates in H/s. Miners may claim any hashrate, so the sum has more bits than a single hashrate.
    hashrate: watch::Sender<u128>,
}

impl ConnectionStats {
    /// Number of connections with an authorized worker.
    pub fn authorized(&self) -> u32 {
        self.authorized.load(Ordering::Relaxed)
    }

    /// The estimated hashrate of all connections, in H/s.
    pub fn hashrate(&self) -> f64 {
        *self.hashrate.borrow() as f64
    }

    /// Subscribes to changes of the hashrate.
    pub fn subscribe_hashrate(&self) -> watch::Receiver<u128> {
        self.hashrate.subscribe()
    }
}

/// One connection's contribution to the sums; dropping the guard removes the contribution.
#[derive(Debug)]
pub struct ConnectionStatsGuard {
    stats: Arc<ConnectionStats>,
    hashrate: u64,
    authorized: bool,
}

impl ConnectionStatsGuard {
    /// A connection without an authorized worker and with an unknown hashrate.
    pub fn new(stats: Arc<ConnectionStats>) -> Self {
        Self { stats, hashrate: 0, authorized: false }
    }

    /// Counts the connection as one with an authorized worker.
    pub fn authorize(&mut self) {
        if !std::mem::replace(&mut self.authorized, true) {
            self.stats.authorized.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets the estimated hashrate of the connection, in H/s.
    pub fn set_hashrate(&mut self, hashrate: u64) {
        let before = std::mem::replace(&mut self.hashrate, hashrate);
        self.stats.hashrate.send_modify(|sum| *sum = *sum + u128::from(hashrate) - u128::from(before));
    }
}

impl Drop for ConnectionStatsGuard {
    fn drop(&mut self) {
        self.set_hashrate(0);
        if self.authorized {
            self.stats.authorized.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_once_and_not_after_its_end() {
        let stats = Arc::new(ConnectionStats::default());
        let sums = || (stats.authorized(), stats.hashrate());
        let mut guard = ConnectionStatsGuard::new(stats.clone());
        let other = ConnectionStatsGuard::new(stats.clone());
        for hashrate in [5, 1_000, 7] {
            guard.authorize();
            guard.set_hashrate(hashrate);
            assert_eq!(sums(), (1, hashrate as f64));
        }
        drop(other);
        assert_eq!(sums(), (1, 7.0));
        drop(guard);
        assert_eq!(sums(), (0, 0.0));
    }
}
