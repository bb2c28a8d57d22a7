//! The accounts of all workers: exact totals, and rows for a bounded number of shares.

mod block_history;
mod hashrate;
mod record;
mod work_windows;
mod worker_summary;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use task::{Account, ShareRow, Totals, Verdict};

use self::block_history::BlockHistory;
pub use self::block_history::{BEATEN, BlockState, BlockSummary, LOST, MAX_BLOCKS};
pub use self::hashrate::HashrateMeter;
pub use self::record::{
    BlockRecord, FoundRecord, RecoveredAccounts, ShareRecord, UnsavedChanges, WorkerRecord,
};
pub use self::work_windows::Hashrates;
use self::work_windows::WorkWindows;
pub use self::worker_summary::WorkerSummary;
use crate::clock::Now;
use crate::share::{FoundBlock, JudgedShare, RejectionCounts};

/// Maximum number of shares of one worker that are kept as rows between two reports; further shares are only counted.
const MAX_ROWS_PER_WORKER: usize = 128;
/// Maximum number of shares of all workers together that are kept as rows between two reports; further shares are only counted.
const MAX_ROWS: usize = 8_192;
/// Maximum number of accepted shares that wait to be written to disk; further shares count in the totals, but get no row on disk.
const MAX_UNSAVED: usize = 65_536;
/// Maximum number of workers that get an account of their own.
pub const MAX_WORKERS: usize = 65_536;
/// The account that all workers beyond [`MAX_WORKERS`] have in common. Miners choose the names, so the number of accounts must be
/// limited.
pub const OVERFLOW: &str = "(others)";
/// In the estimate of a worker's hashrate, the weight of a share falls to 1/e within this time. The pool's hashrate is the sum of
/// its workers' hashrates, so it is an estimate over the same time.
pub const HASHRATE_MEMORY: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Entry {
    worker: Arc<str>,
    meter: HashrateMeter,
    /// The work of the last day; `None` before the first accepted share of this run.
    windows: Option<Box<WorkWindows>>,
    /// The highest difficulty of an accepted share's hash, in this and all earlier runs; 0 without any.
    best_share: f64,
    /// When the last share was accepted, in milliseconds since the Unix epoch; `None` without any.
    last_share_ms: Option<u64>,
    /// Why shares were rejected in this and all earlier runs.
    rejections: RejectionCounts,
    /// The worker's totals from earlier runs of the pool.
    before: Totals,
    /// The worker's totals in this run of the pool.
    totals: Totals,
    rows: Vec<ShareRow>,
    rows_omitted: u64,
    changed: bool,
    /// Whether the worker is already in the changes that have yet to be written to disk.
    unsaved: bool,
}

impl Entry {
    /// A worker with this record of earlier runs.
    fn new(worker: Arc<str>, before: WorkerRecord, now: Instant) -> Self {
        let WorkerRecord { totals: before, best_share, last_share_ms, rejections } = before;
        Entry {
            worker,
            meter: HashrateMeter::new(HASHRATE_MEMORY.as_secs_f64(), now),
            windows: None,
            best_share,
            last_share_ms,
            rejections,
            before,
            totals: Totals::default(),
            rows: Vec::new(),
            rows_omitted: 0,
            changed: false,
            unsaved: false,
        }
    }

    /// Adds an accepted share to the figures. A new worker found its first share in about `first_share`.
    fn accept(&mut self, difficulty: f64, work: u128, first_share: Duration, now: Now) {
        self.meter.add(work as f64, now.at);
        let windows = self.windows.get_or_insert_with(|| Box::new(WorkWindows::new(first_share, now.at)));
        windows.add(work as f64, now.at);
        self.best_share = self.best_share.max(difficulty);
        self.last_share_ms = Some(now.unix_ms);
    }

    /// Adds the worker to the changes that have yet to be written to disk. The worker's totals are filled in when the
    /// changes are taken.
    fn add_to(&mut self, unsaved: &mut UnsavedChanges) {
        if !std::mem::replace(&mut self.unsaved, true) {
            unsaved.workers.push((self.worker.clone(), WorkerRecord::default()));
        }
    }

    /// The worker's totals in this and all earlier runs of the pool.
    fn lifetime(&self) -> Totals {
        let mut sum = self.before;
        sum += self.totals;
        sum
    }

    fn record(&self) -> WorkerRecord {
        let Entry { best_share, last_share_ms, rejections, .. } = *self;
        WorkerRecord { totals: self.lifetime(), best_share, last_share_ms, rejections }
    }

    fn summary(&self, now: Instant) -> WorkerSummary {
        let WorkerRecord { totals, best_share, last_share_ms, rejections } = self.record();
        let hashrates = self.windows.as_ref().map(|windows| windows.hashrates(now)).unwrap_or_default();
        let (worker, hashrate) = (self.worker.clone(), self.meter.hashrate(now));
        WorkerSummary { worker, totals, hashrate, hashrates, best_share, last_share_ms, rejections }
    }
}

/// The accounts of all workers. Accounts outlive connections.
#[derive(Debug, Default)]
pub struct Accounts {
    /// The time between two shares of one miner that the pool aims at.
    share_interval: Duration,
    /// All accounts. None is ever removed, so readers can take them in slices.
    entries: Vec<Entry>,
    /// The places of the accounts.
    places: HashMap<Arc<str>, usize>,
    rows: usize,
    /// The accepted work of all workers in this and all earlier runs.
    work: u128,
    /// The last found blocks.
    blocks: BlockHistory,
    /// The highest difficulty of an accepted share's hash in this run of the pool; 0 without any.
    best_share: f64,
    /// Number of found blocks that the chain refused.
    rejected_blocks: u64,
    /// See [`RecoveredAccounts::uncounted`].
    uncounted: Vec<BlockHash>,
    /// Changes that are not on disk yet, if there is a data folder.
    unsaved: Option<UnsavedChanges>,
}

impl Accounts {
    /// No accounts yet. `share_interval` is the time between two shares of one miner that the pool aims at.
    pub fn new(share_interval: Duration) -> Self {
        Accounts { share_interval, ..Accounts::default() }
    }

    /// Continues with the accounts on disk, and collects changes for the disk from now on.
    pub fn restore(&mut self, recovered: RecoveredAccounts, now: Instant) {
        self.unsaved = Some(UnsavedChanges::default());
        self.rejected_blocks = recovered.refused_blocks;
        self.uncounted = recovered.uncounted;
        self.blocks = BlockHistory::restore(recovered.found, recovered.round);
        for (worker, before) in recovered.workers {
            self.work = self.work.saturating_add(before.totals.accepted_work);
            self.insert(Entry::new(worker, before, now));
        }
    }

    fn insert(&mut self, entry: Entry) -> usize {
        let place = self.entries.len();
        self.places.insert(entry.worker.clone(), place);
        self.entries.push(entry);
        place
    }

    /// The place of the account that counts a worker's shares, which is made if it is missing.
    fn place_of(&mut self, worker: Arc<str>, now: Instant) -> usize {
        let full = self.entries.len() >= MAX_WORKERS && !self.places.contains_key(&worker);
        let worker = if full { OVERFLOW.into() } else { worker };
        match self.places.get(&worker) {
            Some(place) => *place,
            None => {
                let mut entry = Entry::new(worker, WorkerRecord::default(), now);
                // A new worker found its first share before it was observed: in about the time for which its difficulty was chosen.
                entry.meter.assume(0.0, self.share_interval.as_secs_f64(), now);
                self.insert(entry)
            }
        }
    }

    /// Counts a share, whatever its verdict.
    pub fn count(&mut self, judged: JudgedShare, now: Now) {
        let JudgedShare { worker, row, work, candidate, rejection } = judged;
        let accepted = row.verdict == Verdict::Accepted;
        let place = self.place_of(worker, now.at);
        let entry = &mut self.entries[place];
        entry.changed = true;
        if accepted {
            entry.accept(row.difficulty, work, self.share_interval, now);
            self.best_share = self.best_share.max(row.difficulty);
            self.work = self.work.saturating_add(work);
        }
        if let Some(rejection) = rejection {
            entry.rejections.count(rejection);
        }
        entry.totals.count(row.verdict, work);
        entry.totals.candidates += u64::from(candidate && accepted);
        if let Some(unsaved) = &mut self.unsaved {
            if accepted {
                unsaved.add_share(&entry.worker, &row, work, now.unix_ms);
            }
            entry.add_to(unsaved);
        }
        if entry.rows.len() < MAX_ROWS_PER_WORKER && self.rows < MAX_ROWS {
            entry.rows.push(row);
            self.rows += 1;
        } else {
            entry.rows_omitted += 1;
            // If there is no room, a candidate replaces the worker's last row.
            if candidate && let Some(last) = entry.rows.last_mut() {
                *last = row;
            }
        }
    }

    /// A block was found. The share that solved it has already been counted.
    pub fn found(&mut self, found: &FoundBlock) {
        let record = self.blocks.found(found, self.work);
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.found.push(record);
        }
    }

    /// Counts a block that the chain has accepted or refused, and its share if that was lost when an earlier run was killed: what
    /// such a share was worth is not known any more, so it counts no work.
    pub fn count_block(&mut self, record: BlockRecord, now: Instant) {
        let uncounted = self.uncounted.iter().position(|hash| *hash == record.hash);
        let lost = u64::from(uncounted.map(|index| self.uncounted.swap_remove(index)).is_some());
        let accepted = u64::from(record.refused.is_none());
        self.rejected_blocks += 1 - accepted;
        // If an earlier run of the pool found the block, its worker may have no account in this run yet.
        if accepted + lost > 0 {
            self.change_block(&record, now, |totals| {
                totals.accepted += lost;
                totals.candidates += lost;
                totals.blocks += accepted;
            });
        }
        if !self.blocks.has(record.hash) {
            let found = self.blocks.found_before(&record, self.work);
            if let Some(unsaved) = &mut self.unsaved {
                unsaved.found.push(found);
            }
        }
        self.set_block(record);
    }

    /// Keeps what has become of a block.
    fn set_block(&mut self, record: BlockRecord) {
        self.blocks.judged(&record);
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.blocks.push(record);
        }
    }

    /// Counts a block as refused that [`count_block`](Self::count_block) has counted as accepted.
    pub fn uncount_block(&mut self, record: BlockRecord, reason: String, now: Instant) {
        self.change_block(&record, now, |totals| {
            totals.blocks = totals.blocks.saturating_sub(1);
            totals.orphaned = totals.orphaned.saturating_sub(record.orphaned.into());
        });
        self.rejected_blocks += 1;
        self.set_block(BlockRecord { refused: Some(reason), orphaned: false, ..record });
    }

    /// Counts a block as accepted that [`count_block`](Self::count_block) has counted as refused.
    pub fn count_won(&mut self, record: BlockRecord, now: Instant) {
        self.change_block(&record, now, |totals| totals.blocks += 1);
        self.rejected_blocks = self.rejected_blocks.saturating_sub(1);
        self.set_block(record);
    }

    /// Counts an accepted block as orphaned, or as back in the chain, as its record says.
    pub fn count_place(&mut self, record: BlockRecord, now: Instant) {
        self.change_block(&record, now, |totals| {
            totals.orphaned = match record.orphaned {
                true => totals.orphaned + 1,
                false => totals.orphaned.saturating_sub(1),
            };
        });
        self.set_block(record);
    }

    /// Changes the totals of the worker of a block: those of the run that has counted it.
    fn change_block(&mut self, record: &BlockRecord, now: Instant, change: impl Fn(&mut Totals)) {
        let place = self.place_of(record.worker.clone(), now);
        let entry = &mut self.entries[place];
        entry.changed = true;
        change(if record.restored { &mut entry.before } else { &mut entry.totals });
        if let Some(unsaved) = &mut self.unsaved {
            entry.add_to(unsaved);
        }
    }

    /// The highest difficulty of an accepted share's hash in this run of the pool; 0 without any.
    pub fn best_share(&self) -> f64 {
        self.best_share
    }

    /// Number of found blocks that the chain refused.
    pub fn rejected_blocks(&self) -> u64 {
        self.rejected_blocks
    }

    /// The last found blocks, oldest first.
    pub fn blocks(&self) -> Vec<BlockSummary> {
        self.blocks.blocks().cloned().collect()
    }

    /// The pool's accepted work since the last block was found, in percent of the `expected` hashes that a block takes on average;
    /// `None` if it is unknown.
    pub fn effort(&self, expected: f64) -> Option<f64> {
        self.blocks.effort(self.work, expected)
    }

    /// Takes the changes that are not on disk yet. They must be written before the changes that the next call returns.
    pub fn take_unsaved(&mut self) -> UnsavedChanges {
        let Some(unsaved) = &mut self.unsaved else { return UnsavedChanges::default() };
        let mut unsaved = std::mem::take(unsaved);
        for (worker, record) in &mut unsaved.workers {
            if let Some(place) = self.places.get(worker) {
                let entry = &mut self.entries[*place];
                entry.unsaved = false;
                *record = entry.record();
            }
        }
        unsaved
    }

    /// Takes the accounts that have changed since they were last taken, sorted by name. Each account contains the rows added
    /// since then.
    pub fn take_changed(&mut self) -> Vec<Account> {
        self.take(|entry| entry.changed)
    }

    /// Takes all accounts of this run of the pool, sorted by name. Each account contains the rows added since it was last taken.
    pub fn take_all(&mut self) -> Vec<Account> {
        self.take(|entry| entry.totals != Totals::default())
    }

    fn take(&mut self, wanted: fn(&Entry) -> bool) -> Vec<Account> {
        self.rows = 0;
        let mut accounts: Vec<Account> = self
            .entries
            .iter_mut()
            .filter(|entry| wanted(entry))
            .map(|entry| {
                entry.changed = false;
                Account {
                    worker: entry.worker.to_string(),
                    totals: entry.totals,
                    rows: std::mem::take(&mut entry.rows),
                    rows_omitted: entry.rows_omitted,
                }
            })
            .collect();
        accounts.sort_unstable_by(|a, b| a.worker.cmp(&b.worker));
        accounts
    }

    /// Summaries of the workers with these places. A new account gets the next place.
    pub fn summaries(&self, places: Range<usize>, now: Instant) -> impl Iterator<Item = WorkerSummary> {
        self.entries.iter().take(places.end).skip(places.start).map(move |entry| entry.summary(now))
    }
}

impl UnsavedChanges {
    fn add_share(&mut self, worker: &Arc<str>, row: &ShareRow, work: u128, accepted_ms: u64) {
        if self.shares.len() < MAX_UNSAVED {
            self.shares.push(ShareRecord { worker: worker.clone(), row: row.clone(), work, accepted_ms });
        } else {
            self.shares_omitted += 1;
        }
    }
}

#[cfg(test)]
mod tests;
