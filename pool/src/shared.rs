//! What the pool's tasks share. Each part has one lock or none, and no lock is held across an await.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bitcoin::Block;
use task::PoolLive;
use tokio::sync::{Notify, mpsc, watch};

use crate::accounts::{Accounts, Judged};
use crate::config::Config;
use crate::handle::Changes;
use crate::job::{EXTRANONCE1_SIZE, Job};

/// Blocks that wait for the chain. There is one per tip, so more than one hardly ever does.
const FOUND_QUEUE: usize = 16;

/// The pool as its connections see it.
#[derive(Debug)]
pub struct Shared {
    /// What the pool was told.
    pub config: Config,
    /// The present job, if there is one.
    pub job: watch::Sender<Option<Arc<Job>>>,
    /// Where found blocks go.
    pub found: mpsc::Sender<Box<Block>>,
    /// Hashrate of all connections.
    pub hashrate: Hashrate,
    /// Connections with an authorized worker.
    pub authorized: AtomicU32,
    changes: watch::Sender<Changes>,
    accounts: Mutex<Accounts>,
    next_extranonce1: AtomicU32,
}

impl Shared {
    /// A pool without work, and the end of its queue of found blocks.
    pub fn new(config: Config) -> (Shared, mpsc::Receiver<Box<Block>>) {
        let (found, blocks) = mpsc::channel(FOUND_QUEUE);
        let shared = Shared {
            config,
            job: watch::Sender::new(None),
            found,
            hashrate: Hashrate::default(),
            authorized: AtomicU32::new(0),
            changes: watch::Sender::new(Changes::default()),
            accounts: Mutex::default(),
            next_extranonce1: AtomicU32::new(rand::random()),
        };
        (shared, blocks)
    }

    /// An extranonce1 that no other open connection has: there are fewer than 2^32.
    pub fn new_extranonce1(&self) -> [u8; EXTRANONCE1_SIZE] {
        self.next_extranonce1.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }

    /// Counts a share and tells those who wait for news.
    pub fn count(&self, judged: Judged) {
        let block = judged.block;
        self.accounts().count(judged, Instant::now());
        self.changes.send_modify(|changes| {
            changes.shares += 1;
            changes.blocks += u64::from(block);
        });
    }

    /// The accounts, locked.
    pub fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Counting does not panic; if it did, the counts so far would still be right.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News of shares and blocks.
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// Makes a template the present job.
    pub fn publish(&self, template: crate::chain::Template) {
        self.job.send_modify(|job| *job = Some(Arc::new(Job::next(job.as_deref(), template))));
    }

    /// What the pool does now.
    pub fn live(&self) -> PoolLive {
        let job = self.job.borrow();
        PoolLive {
            connections: self.authorized.load(Ordering::Relaxed),
            height: job.as_ref().map_or(0, |job| job.template.height),
            difficulty: job.as_ref().map_or(0.0, |job| job.difficulty),
        }
    }
}

/// The sum of what the connections estimate of their miners.
#[derive(Debug, Default)]
pub struct Hashrate {
    /// Wide enough for any number of connections that claim anything.
    total: Mutex<u128>,
    changed: Notify,
}

impl Hashrate {
    /// H/s of all connections.
    pub fn total(&self) -> f64 {
        *self.lock() as f64
    }

    fn replace(&self, old: u64, new: u64) {
        {
            let mut total = self.lock();
            *total = *total + u128::from(new) - u128::from(old);
        }
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, u128> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a connection's estimate changes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// One connection's part in the pool's numbers; gone when it is dropped.
#[derive(Debug)]
pub struct Presence {
    shared: Arc<Shared>,
    hashrate: u64,
    authorized: bool,
}

impl Presence {
    /// A connection of which nothing is known.
    pub fn new(shared: Arc<Shared>) -> Presence {
        Presence { shared, hashrate: 0, authorized: false }
    }

    /// The connection has an authorized worker.
    pub fn authorize(&mut self) {
        if !std::mem::replace(&mut self.authorized, true) {
            self.shared.authorized.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The connection's miner is estimated anew, in H/s.
    pub fn set_hashrate(&mut self, hashrate: u64) {
        let old = std::mem::replace(&mut self.hashrate, hashrate);
        self.shared.hashrate.replace(old, hashrate);
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.set_hashrate(0);
        if self.authorized {
            self.shared.authorized.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
